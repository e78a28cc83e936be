"""``/outputs``: downloads of results with a signed link or an API key, with ranges; deletion with an API key."""

from __future__ import annotations

import asyncio
import logging
import mimetypes
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi import Path as PathField
from fastapi.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from pydantic import BaseModel, Field

from framepack.api.failures import Problem
from framepack.api.schemas import Message, Success
from framepack.errors import Conflict, FramepackError, NotFound, RangeNotSatisfiable
from framepack.rest.errors import error_response
from framepack.rest.fields import check_query
from framepack.rest.links import OPENAPI, key_of
from framepack.storage.base import object_not_found
from framepack.storage.claims import is_in_use
from framepack.storage.documents import STATE
from framepack.storage.keys import Key
from framepack.storage.open import has_own_links
from framepack.storage.outputs import PUBLIC_ROOT, ResultFolder
from framepack.storage.uploads import UPLOADS

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from framepack.rest.server import Server
    from framepack.storage.base import Storage, StoredObject

log = logging.getLogger("framepack.rest")

_SHOWN_INLINE: Final = frozenset(
    {"image/gif", "image/jpeg", "image/png", "image/webp", "video/mp4", "video/quicktime", "video/webm"}
)
"""Types that browsers may display. All others are downloaded: HTML and SVG files may contain scripts."""

_DELETABLE: Final = (*(folder.key for folder in ResultFolder), UPLOADS)
"""Folders of which single files may be deleted."""

_SAFE_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cache-Control": "private, max-age=3600",
}
_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
# Generators of clients take the first type that they know.
_CONTENT: Final = dict.fromkeys(("application/octet-stream", *sorted(_SHOWN_INLINE), "*/*"), _BINARY)
_HEADERS: Final = {
    name: {"description": meaning, "schema": {"type": "string"}}
    for name, meaning in {
        "Accept-Ranges": "`bytes`: parts can be requested with `Range`",
        "Content-Disposition": "Whether browsers show or save the file, and its name",
        "ETag": "Identifies the content, for `If-None-Match`",
    }.items()
}
_PART: Final = {"Content-Range": {"description": "Which bytes these are, of how many", "schema": {"type": "string"}}}
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The file", "content": _CONTENT, "headers": _HEADERS},
    206: {"description": "The parts that `Range` requests", "content": _CONTENT, "headers": _HEADERS | _PART},
    304: {"description": "The file matches `If-None-Match`"},
    307: {
        "description": "The file is in a bucket, at the URL in `Location`",
        "headers": {"Location": {"description": "URL of the file", "schema": {"type": "string"}}},
    },
    416: {"description": "The range starts after the end of the file", "model": Problem},
}
_LINK: Final = {
    "parameters": [
        {"name": "expires", "in": "query", "schema": {"type": "string"}, "description": "As in an `output_url`"}
    ],
    **OPENAPI,
}
FilePath = Annotated[str, PathField(description="Path of the file below `/outputs/`")]

_PIECE_BYTES: Final = 4 << 20
_RANGE: Final = r"\s*(?:\d{1,18}-\d{0,18}|-\d{1,18})\s*"
_RANGES: Final = re.compile(rf"bytes=({_RANGE}(?:,{_RANGE})*)", re.ASCII)


def file_routes(server: Server) -> APIRouter:
    """The routes of result files. Proxies and browsers may add parameters to the URLs of downloads."""
    router = APIRouter(tags=["files"])

    @router.head("/outputs/{path:path}", include_in_schema=False)
    @router.get("/outputs/{path:path}", response_class=Response, responses=_ANSWERS, openapi_extra=_LINK)
    async def get_output(request: Request, path: FilePath) -> Response:
        """Download a result or a part of it. A signed link (`output_url`) needs no API key."""
        key = key_of(path)
        if key is None or key.segments[0] == STATE.text:
            raise object_not_found()
        return await asyncio.to_thread(_response, server, key, request)

    _add_deletion(router, server)
    return router


class DeletedOutput(BaseModel):
    """A result or an upload was deleted."""

    success: Success = True
    message: Message
    output_path: str = Field(description="Its path")


def _add_deletion(router: APIRouter, server: Server) -> None:
    """Add the route that deletes a result."""

    @router.delete("/outputs/{path:path}", dependencies=[Depends(check_query)])
    async def delete_output(path: FilePath) -> DeletedOutput:
        """Delete a result or an upload, by its path or its file name. Frame folders have a route of their own."""
        key = await asyncio.to_thread(_deleted, server, path)
        return DeletedOutput(message=f"Deleted '{key.name}'", output_path=f"{PUBLIC_ROOT}{key}")


def _deleted(server: Server, path: str) -> Key:
    """Delete a result or an upload; return its key.

    Raises:
        NotFound: there is no such file, or it is neither a result nor an upload.
        Conflict: a running job has made it and is not done with it.
    """
    storage, settings = server.runtime.storage, server.runtime.settings
    key = key_of(path)
    if key is None:
        raise object_not_found()
    given = [key] if len(key.segments) > 1 else [folder / key.text for folder in _DELETABLE]
    for each in given:
        if Key(each.text.rpartition("/")[0]) not in _DELETABLE or storage.stat(each) is None:
            continue
        if is_in_use(storage, each.name, datetime.now(UTC), timedelta(seconds=settings.claim_lifetime_seconds)):
            raise Conflict(f"'{each.name}' belongs to a running job; delete it when the job has ended.")
        if storage.delete(each):
            return each
    raise object_not_found()


def _response(server: Server, key: Key, request: Request) -> Response:
    """The file, or a redirect to it if the store is a bucket with presigned links."""
    storage = server.runtime.storage
    stored = storage.stat(key)
    if stored is None:
        raise object_not_found()
    file = server.runtime.file_of(key)
    if file is not None:
        return _file_response(file, request)
    if has_own_links(server.runtime.settings):
        return _streamed(storage, stored, request)
    url = storage.url(key, filename=key.name)
    if url is None:
        raise NotFound("The store does not provide links to its files.")
    return RedirectResponse(url, 307)


def _headers(name: str) -> tuple[str, dict[str, str]]:
    """Media type and safe headers of a file."""
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    kind = "inline" if media_type in _SHOWN_INLINE else "attachment"
    return media_type, {**_SAFE_HEADERS, "Content-Disposition": f"{kind}; filename*=UTF-8''{quote(name)}"}


def _file_response(file: Path, request: Request) -> Response:
    try:
        status = file.lstat()
    except FileNotFoundError as error:
        raise object_not_found() from error
    media_type, headers = _headers(file.name)
    answer = FileResponse(file, media_type=media_type, headers=headers, stat_result=status)
    if answer.headers["etag"] in request.headers.get("if-none-match", ""):
        return _unchanged(answer.headers["etag"])
    ranges = _ranges(request.headers.get("range", ""), status.st_size)
    if ranges is not None and not ranges:
        return _beyond_the_end(status.st_size)
    others = [(name, value) for name, value in request.scope["headers"] if name != b"range"]
    asked = [(b"range", f"bytes={','.join(ranges)}".encode())] if ranges else []
    request.scope["headers"] = others + asked
    return answer


def _streamed(storage: Storage, stored: StoredObject, request: Request) -> Response:
    """The file, or one range of it, read from the store piece by piece as the client takes it."""
    size_bytes = stored.size_bytes
    tag = f'"{stored.sha256 or f"{stored.modified.timestamp():x}-{size_bytes:x}"}"'
    media_type, headers = _headers(stored.key.name)
    modified = format_datetime(stored.modified, usegmt=True)
    headers |= {"ETag": tag, "Last-Modified": modified, "Accept-Ranges": "bytes"}
    if tag in request.headers.get("if-none-match", ""):
        return _unchanged(tag)
    first, last = 0, size_bytes - 1
    if request.headers.get("if-range", tag) in {tag, modified}:
        ranges = _ranges(request.headers.get("range", ""), size_bytes)
        if ranges is not None and not ranges:
            return _beyond_the_end(size_bytes)
        if ranges is not None and len(ranges) == 1:  # several are answered with the whole file, as HTTP permits
            first, last = _bounds(ranges[0], size_bytes)
            headers["Content-Range"] = f"bytes {first}-{last}/{size_bytes}"
    headers["Content-Length"] = str(last - first + 1)
    code = HTTPStatus.PARTIAL_CONTENT if "Content-Range" in headers else HTTPStatus.OK
    if request.method == "HEAD":
        return Response(status_code=code, headers=headers, media_type=media_type)
    return _StoredFile(_pieces(storage, stored, first, last), code, headers, media_type)


class _StoredFile(StreamingResponse):
    """A file from the store. If the store fails in the middle, the log says so, and the connection is cut."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file."""
        try:
            await super().__call__(scope, receive, send)
        except (
            FramepackError
        ) as error:  # its status is sent; the server cuts the connection of an unfinished response
            log.warning("A file was not sent to its end, because the store failed: %s", error.message)


async def _pieces(storage: Storage, stored: StoredObject, first: int, last: int) -> AsyncIterator[bytes]:
    """The bytes from ``first`` to ``last``. While the client takes a piece, no connection to the store is held."""
    while first <= last:
        size_bytes = min(_PIECE_BYTES, last - first + 1)
        yield await asyncio.to_thread(storage.read_part, stored, first, size_bytes)
        first += size_bytes


def _unchanged(tag: str) -> Response:
    return Response(status_code=304, headers={**_SAFE_HEADERS, "ETag": tag})


def _beyond_the_end(size_bytes: int) -> Response:
    refusal = RangeNotSatisfiable(f"The file has {size_bytes} bytes; the range starts after its end.")
    return error_response(refusal, {"Content-Range": f"bytes */{size_bytes}"})


def _ranges(header: str, size_bytes: int) -> list[str] | None:
    """The satisfiable ranges of the header; None if the header is invalid, and is ignored therefore."""
    match = _RANGES.fullmatch(header)
    if match is None:
        return None
    found = []
    for part in match[1].split(","):
        first, _, last = part.strip().partition("-")
        if first and last and int(first) > int(last):
            return None
        if (int(first) < size_bytes) if first else (int(last) > 0 and size_bytes > 0):
            found.append(f"{first}-{last}")
    return found


def _bounds(part: str, size_bytes: int) -> tuple[int, int]:
    """The first and the last byte of a satisfiable range."""
    first, _, last = part.partition("-")
    if not first:
        return max(0, size_bytes - int(last)), size_bytes - 1
    return int(first), min(int(last), size_bytes - 1) if last else size_bytes - 1
