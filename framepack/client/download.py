"""Downloads: resumed where they were cut, and under their final name only when they are complete."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import httpx

from framepack.client.api import Api, Sending, undecodable
from framepack.client.errors import ApiError, ClientError, ServerUnreachable, UnexpectedAnswer
from framepack.filenames import clean_filename, is_segment

_ADDRESSES: Final = ("/", "http://", "https://")
_MAX_REDIRECTS: Final = 5
_MAX_FRUITLESS: Final = 5


async def download(api: Api, address: str, to: str | os.PathLike[str]) -> Path:
    """Download a file.

    Args:
        api: The server.
        address: A path of the server, or an address.
        to: Path of the file to write, or a folder, in which it gets its own name.

    Returns:
        The path of the written file.

    Raises:
        ApiError: The file does not exist, or its link has expired.
        ServerUnreachable: The server does not answer, or cuts every connection before anything arrives.
        OSError: The file cannot be written.
    """
    if not address.startswith(_ADDRESSES):
        raise ClientError(f"{address!r} is neither a path of the server, which begins with a slash, nor an address.")
    target = await api.network.call(partial(_target, to, address))
    part = target.with_name(f".{target.name}.{uuid4().hex[:8]}.part")
    try:
        with part.open("xb") as file:
            await _fetch(api, address, file)
            await api.network.call(partial(_flush, file))
        part.replace(target)
    finally:
        with suppress(OSError):  # it has its final name, or the folder does not exist
            part.unlink(missing_ok=True)
    return target


def _target(to: str | os.PathLike[str], address: str) -> Path:
    """The path of the file to write."""
    path = Path(to)
    if path.is_dir():
        return path / _name(address)
    if os.fspath(to).endswith(("/", os.sep)):
        raise NotADirectoryError(f"{to} is not a folder.")
    return path


def _name(address: str) -> str:
    """The name of a file at an address, which is never that of another folder, nor hidden."""
    name = unquote(address.partition("?")[0].partition("#")[0].rpartition("/")[2])
    return name if is_segment(name) and not set(name) & set("/:") else clean_filename(re.split(r"[/\\:]", name)[-1])


async def _fetch(api: Api, address: str, file: BinaryIO) -> None:
    """Write the whole file, in as many requests as it takes."""
    etag, furthest, fruitless, pauses = "", 0, 0, api.timing.pauses()
    while True:
        response = await _next(api, address, file.tell(), etag)
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            file.seek(0)
            file.truncate()
        etag = _strong_etag(response)
        try:
            async for chunk in api.network.chunks(response):
                await api.network.call(partial(file.write, chunk))
        except httpx.DecodingError as error:
            raise undecodable(str(response.request.url.host)) from error
        except httpx.TransportError as error:
            fruitless = 0 if file.tell() > furthest else fruitless + 1
            furthest = max(furthest, file.tell())
            if fruitless == _MAX_FRUITLESS:
                raise ServerUnreachable(f"The download of {urlsplit(address).path} is cut each time.") from error
            await api.network.sleep(next(pauses))
        else:
            return
        finally:
            await api.network.close_response(response)


async def _next(api: Api, address: str, received: int, etag: str) -> httpx.Response:
    """The response with what is missing of a file, or with the whole file.

    Some servers and caches do not understand conditions or ranges: what they send is not trusted to go on.
    """
    if received and etag:
        try:
            response = await _opened(api, address, {"Range": f"bytes={received}-", "If-Range": etag})
        except ApiError as error:
            if error.status != httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
        else:
            if response.status_code != httpx.codes.PARTIAL_CONTENT or _goes_on(response, received, etag):
                return response
            await api.network.close_response(response)
    response = await _opened(api, address, {})
    if response.status_code == httpx.codes.PARTIAL_CONTENT:
        await api.network.close_response(response)
        raise UnexpectedAnswer(f"{response.request.url.host} sends a part of a file instead of the file.")
    return response


def _goes_on(response: httpx.Response, received: int, etag: str) -> bool:
    """Whether a part of a file is the one that was asked for, of the same file."""
    is_next = str(response.headers.get("content-range", "")).startswith(f"bytes {received}-")
    return is_next and str(response.headers.get("etag", etag)) == etag


async def _opened(api: Api, address: str, headers: dict[str, str]) -> httpx.Response:
    """The response with the file. Only requests to the server itself have its key."""
    headers = {"Accept-Encoding": "identity", **headers}
    for _ in range(_MAX_REDIRECTS):
        sending = Sending("GET", address, headers=headers, is_streamed=True, may_redirect=True)
        response = await api.send(sending)
        if not response.has_redirect_location:
            return response
        await api.network.close_response(response)
        address = _redirected(response)
    raise ServerUnreachable(f"{api.url} redirects more than {_MAX_REDIRECTS} times.")


def _redirected(response: httpx.Response) -> str:
    """The address that a response leads to."""
    place = str(response.headers["location"])
    address = str(response.request.url.join(place))
    if not address.startswith(_ADDRESSES[1:]):
        raise UnexpectedAnswer(f"{response.request.url.host} redirects to {place!r}, which is not of http or https.")
    return address


def _strong_etag(response: httpx.Response) -> str:
    """What identifies the bytes of a file; empty if the server does not say it, or compresses them."""
    etag = response.headers.get("etag", "")
    return "" if etag.startswith("W/") or "content-encoding" in response.headers else str(etag)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
