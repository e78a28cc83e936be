"""``POST /uploads``: store a client's file for use in later requests.

Uploads are deleted after the retention time of ended jobs.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from framepack.api.schemas import Message, Success
from framepack.errors import Busy, FramepackError, InvalidSource, NotFound
from framepack.filenames import clean_filename
from framepack.files.workspace import Workspace
from framepack.rest.auth import caller_id
from framepack.rest.bodies import Pace, body_chunks, check_free, check_length, stated_length
from framepack.rest.fields import check_query
from framepack.rest.idempotency import HEADER, answer_once, repeatable
from framepack.storage.base import CHUNK_BYTES, Storage, storage_errors
from framepack.storage.keys import Key
from framepack.storage.outputs import PUBLIC_ROOT
from framepack.storage.uploads import KeptUploads, keep_upload, kept_uploads, remove_uploads_before
from framepack.units import MB

if TYPE_CHECKING:
    from framepack.answer import Answer
    from framepack.rest.server import Server

_REMOVAL_SECONDS: Final = 600.0
_PACE: Final = Pace(seconds=30, bytes_per_second=50_000)
_MAX_IN_PROGRESS: Final = 16
_WHAT: Final = "An upload"
_FORM: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary", "description": "A video or image"}},
                    "additionalProperties": False,
                }
            }
        },
    }
}


class Upload(BaseModel):
    """An uploaded file."""

    success: Success = True
    message: Message = "File uploaded successfully"
    video_url: str = Field(description="Value for `video_url` or `image_url` in a request")
    url: str | None = Field(None, description="Link that shows the file without an API key, until it expires")
    filename: str = Field(description="Name of the file, without unsafe characters")
    size_bytes: int = Field(description="Size of the file")


@dataclass(frozen=True, slots=True)
class UploadSpace:
    """The space for one upload.

    Attributes:
        max_bytes: What is left of the quota.
        refusal: The error if that is not enough.
    """

    max_bytes: int
    refusal: Busy

    async def limited(self, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """Pass the body on as long as there is space for it.

        Raises:
            Busy: there is not.
        """
        received = 0
        async for chunk in chunks:
            received += len(chunk)
            if received > self.max_bytes:
                raise self.refusal
            yield chunk


@dataclass(slots=True)
class UploadQuota:
    """What one API key may keep in uploads, so that nobody fills the store.

    Attributes:
        storage: Where uploads are kept.
        max_count: Maximum number of uploads.
        max_bytes: Maximum size of all uploads in sum.
        expiry: When uploads are deleted, as the end of a sentence.
        in_progress: The announced sizes of the uploads that are arriving, by owner.
    """

    storage: Storage
    max_count: int
    max_bytes: int
    expiry: str
    in_progress: dict[str, list[int]] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def space(self, owner: str, stated_bytes: int, *, is_repeated: bool = False) -> AsyncIterator[UploadSpace]:
        """Take space for an upload during the ``with`` block.

        Args:
            owner: Id of the API key.
            stated_bytes: The announced size of the request; 0 if it is unknown.
            is_repeated: Whether it was answered before: what it sends again is compared, not kept.

        Raises:
            Busy: too many uploads of the key are arriving, or it may not keep another one.
        """
        arriving = self.in_progress.setdefault(owner, [])
        if len(arriving) >= _MAX_IN_PROGRESS:
            raise Busy(f"At most {_MAX_IN_PROGRESS} uploads of an API key may arrive at a time; try again later.")
        arriving.append(stated_bytes)
        try:
            kept = await asyncio.to_thread(kept_uploads, self.storage, owner)
            others = kept.size_bytes + sum(arriving) - stated_bytes
            left = self.max_bytes - (0 if is_repeated else others)
            space = UploadSpace(left, self._refusal(kept))
            if is_repeated:
                yield space
                return
            if kept.count + len(arriving) > self.max_count or left < max(stated_bytes, 1):
                raise space.refusal
            yield space
        finally:
            arriving.remove(stated_bytes)
            if not arriving:
                self.in_progress.pop(owner, None)

    def _refusal(self, kept: KeptUploads) -> Busy:
        return Busy(
            f"An API key may keep {self.max_count} uploads with {self.max_bytes / MB:g} MB in all, and this one has "
            f"{kept.count} with {kept.size_bytes / MB:.1f} MB: DELETE the video_url of some, or wait until they are "
            f"deleted {self.expiry}."
        )


def upload_routes(server: Server) -> APIRouter:
    """The route of uploads."""
    router = APIRouter(tags=["files"], dependencies=[Depends(check_query)])
    settings = server.runtime.settings
    quota = UploadQuota(
        server.runtime.storage,
        settings.max_uploads,
        round(settings.max_uploads_mb * MB),
        f"{settings.job_retention_hours:g} hours after the upload",
    )

    @router.post("/uploads", openapi_extra=_FORM, response_model=Upload)
    async def upload(request: Request) -> Response:
        """Upload a video or image as `multipart/form-data`, in the field `file`."""
        owner, stated = caller_id(request.scope), stated_length(request)
        check_length(stated, server.max_upload_bytes, _WHAT)
        check_free(Path(tempfile.gettempdir()), stated)
        is_repeated = await _is_known(request, server)
        space_of = quota.space(owner, stated, is_repeated=is_repeated)
        async with space_of as space, _form_file(request, server.max_upload_bytes, space) as file:
            filename = clean_filename(file.filename or "")

            async def keep() -> Answer:
                return (await asyncio.to_thread(_kept, server, file, filename, owner)).model_dump()

            content = await asyncio.to_thread(_identity, file, filename) if HEADER in request.headers else None
            repeated = await repeatable(request, "upload", content, server)
            return await answer_once("upload", repeated, keep, server)

    return router


async def _is_known(request: Request, server: Server) -> bool:
    """Whether an upload with the request's ``Idempotency-Key`` has been answered, or is being stored."""
    repeated = await repeatable(request, "upload", None, server)
    if repeated is None:
        return False
    try:
        await server.jobs.read(repeated.job_id)
    except NotFound:
        return False
    return True


def _identity(file: UploadFile, filename: str) -> dict[str, str]:
    """What distinguishes an upload from others with the same ``Idempotency-Key``."""
    digest = hashlib.sha256()
    while chunk := file.file.read(CHUNK_BYTES):
        digest.update(chunk)
    file.file.seek(0)
    return {"filename": filename, "sha256": digest.hexdigest()}


async def remove_old_uploads(storage: Storage, keep: timedelta) -> None:
    """Remove uploads that are older than ``keep``, now and then regularly until cancelled."""
    while True:
        with contextlib.suppress(FramepackError):  # the store may be unavailable for a while
            await asyncio.to_thread(remove_uploads_before, storage, datetime.now(UTC) - keep)
        await asyncio.sleep(_REMOVAL_SECONDS)


@contextlib.asynccontextmanager
async def _form_file(request: Request, max_bytes: int, space: UploadSpace) -> AsyncIterator[UploadFile]:
    """The file of the form.

    Raises:
        InvalidSource: there is not exactly one file, in the field ``file``, or it is empty.
        TooLarge: the form is larger than the limit for sources.
        Busy: it is larger than its space.
        DiskFull: the temporary folder of the system has no space for it.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise InvalidSource("The upload must be multipart/form-data with the file in the field 'file'.")
    body = space.limited(body_chunks(request, max_bytes, _WHAT, _PACE))
    try:
        with storage_errors():
            form = await MultiPartParser(request.headers, body, max_files=1, max_fields=0).parse()
    except (MultiPartException, ValueError) as error:
        raise InvalidSource("The upload must be a valid form with exactly one field, the file 'file'.") from error
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile) or not file.size:
            raise InvalidSource("The upload must have a non-empty file in the field 'file'.")
        yield file
    finally:
        await form.close()


def _kept(server: Server, file: UploadFile, filename: str, owner: str) -> Upload:
    key = _stored(server, file, filename, owner)
    url = server.runtime.storage.url(key, filename=key.name)
    return Upload(video_url=f"{PUBLIC_ROOT}{key}", url=url, filename=filename, size_bytes=file.size or 0)


def _stored(server: Server, file: UploadFile, filename: str, owner: str) -> Key:
    """Write the file to a working folder, then into the store, which accepts only files with a path."""
    with Workspace(server.runtime.settings.temp_dir) as workspace:
        path = workspace.path("upload")
        with path.open("wb") as copy:
            while chunk := file.file.read(CHUNK_BYTES):
                copy.write(chunk)
        return keep_upload(server.runtime.storage, path, filename, owner)
