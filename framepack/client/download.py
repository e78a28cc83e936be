"""Downloads: resumed where they were cut, and under their final name only when they are complete."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import httpx

from framepack.client.api import Api, Sending
from framepack.client.errors import ServerUnreachable

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
        return path / unquote(urlsplit(address).path.rpartition("/")[2])
    if os.fspath(to).endswith(("/", os.sep)):
        raise NotADirectoryError(f"{to} is not a folder.")
    return path


async def _fetch(api: Api, address: str, file: BinaryIO) -> None:
    """Write the whole file, in as many requests as it takes."""
    etag, fruitless, pauses = "", 0, api.timing.pauses()
    while True:
        received = file.tell()
        is_resumed = received > 0 and etag
        resuming = {"Range": f"bytes={received}-", "If-Range": etag} if is_resumed else {}
        response = await _opened(api, address, resuming)
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            file.seek(0)
            file.truncate()
        etag = _strong_etag(response)
        try:
            async for chunk in api.network.chunks(response):
                await api.network.call(partial(file.write, chunk))
        except httpx.TransportError as error:
            fruitless = 0 if file.tell() > received else fruitless + 1
            if fruitless == _MAX_FRUITLESS:
                raise ServerUnreachable(f"The download of {urlsplit(address).path} is cut each time.") from error
            await api.network.sleep(next(pauses))
        else:
            return
        finally:
            await api.network.close_response(response)


async def _opened(api: Api, address: str, headers: dict[str, str]) -> httpx.Response:
    """The response with the file. Only requests to the server itself have its key."""
    headers = {"Accept-Encoding": "identity", **headers}
    for _ in range(_MAX_REDIRECTS):
        sending = Sending("GET", address, headers=headers, is_streamed=True, may_redirect=True)
        response = await api.send(sending)
        if not response.has_redirect_location:
            return response
        await api.network.close_response(response)
        address = str(response.request.url.join(response.headers["location"]))
    raise ServerUnreachable(f"{api.url} redirects more than {_MAX_REDIRECTS} times.")


def _strong_etag(response: httpx.Response) -> str:
    """What identifies the content of a file; empty if the server does not say it."""
    etag = response.headers.get("etag", "")
    return "" if etag.startswith("W/") else str(etag)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
