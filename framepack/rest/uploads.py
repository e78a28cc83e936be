"""``POST /uploads``: store a client's file for use in later requests.

Uploads are deleted after the retention time of ended jobs.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from framepack.errors import FramepackError, InvalidSource
from framepack.filenames import clean_filename
from framepack.files.workspace import Workspace
from framepack.rest.bodies import Pace, body_chunks
from framepack.rest.idempotency import HEADER, answer_once, repeatable
from framepack.storage.base import CHUNK_BYTES, Storage
from framepack.storage.keys import Key
from framepack.storage.outputs import PUBLIC_ROOT
from framepack.storage.uploads import keep_upload, remove_uploads_before

if TYPE_CHECKING:
    from framepack.answer import Answer
    from framepack.rest.server import Server

_REMOVAL_SECONDS: Final = 600.0
_PACE: Final = Pace(seconds=30, bytes_per_second=50_000)
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

    success: bool = True
    message: str = "File uploaded successfully"
    video_url: str = Field(description="Value for `video_url` or `image_url` in a request")
    filename: str = Field(description="Name of the file, without unsafe characters")
    size_bytes: int = Field(description="Size of the file")


def upload_routes(server: Server) -> APIRouter:
    """The route of uploads."""
    router = APIRouter(tags=["files"])

    @router.post("/uploads", openapi_extra=_FORM, response_model=Upload)
    async def upload(request: Request) -> Response:
        """Upload a video or image as `multipart/form-data`, in the field `file`."""
        async with _form_file(request, server.max_upload_bytes) as file:
            filename = clean_filename(file.filename or "")

            async def keep() -> Answer:
                key = await asyncio.to_thread(_stored, server, file, filename)
                video_url, size_bytes = f"{PUBLIC_ROOT}{key}", file.size or 0
                return Upload(video_url=video_url, filename=filename, size_bytes=size_bytes).model_dump()

            content = await asyncio.to_thread(_identity, file, filename) if HEADER in request.headers else None
            repeated = await repeatable(request, "upload", content, server)
            return await answer_once("upload", repeated, keep, server)

    return router


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
async def _form_file(request: Request, max_bytes: int) -> AsyncIterator[UploadFile]:
    """The file of the form.

    Raises:
        InvalidSource: there is not exactly one file, in the field ``file``, or it is empty.
        TooLarge: the form is larger than the limit for sources.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise InvalidSource("The upload must be multipart/form-data with the file in the field 'file'.")
    body = body_chunks(request, max_bytes, "An upload", _PACE)
    try:
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


def _stored(server: Server, file: UploadFile, filename: str) -> Key:
    """Write the file to a working folder, then into the store, which accepts only files with a path."""
    with Workspace(server.runtime.settings.temp_dir) as workspace:
        path = workspace.path("upload")
        with path.open("wb") as copy:
            while chunk := file.file.read(CHUNK_BYTES):
                copy.write(chunk)
        return keep_upload(server.runtime.storage, path, filename)
