"""The sources of an operation: paths and open files are uploaded, everything else is named to the server."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from shutil import copyfileobj
from typing import IO, TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from framepack.client.answer import StoredFile
from framepack.client.api import Api, Sending
from framepack.client.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Mapping

Source: TypeAlias = str | os.PathLike[str] | IO[bytes] | StoredFile
"""A file: a path or an open file, which is uploaded; an address or a path of the server; an upload or a result."""

_LONGEST_KEY: Final = 255
_ADDRESSES: Final = ("http://", "https://", "/outputs/")


class Upload(StoredFile):
    """An uploaded file, which can be the source of operations."""

    video_url: str
    """Its path on the server."""
    filename: str
    """Its name, without unsafe characters."""
    size_bytes: int
    """Its size."""
    url: str | None = None
    """Link that shows the file without an API key, until it expires."""


@dataclass(frozen=True, slots=True)
class SourceField:
    """A field of the client that holds sources.

    Attributes:
        name: Its name, such as ``video``.
        wire_name: The field of the API that holds the address.
        shape: One source; several; or several objects with a ``video_url`` each.
    """

    name: str
    wire_name: str
    shape: Literal["one", "several", "objects"] = "one"


@dataclass(slots=True)
class Uploads:
    """Uploads the sources of one request.

    Attributes:
        api: The server.
        key: Idempotency-Key of the request. Those of its uploads are made from it, so that a repeated request has the
            same sources.
        made: Paths of the files it has uploaded.
    """

    api: Api
    key: str
    made: list[str] = field(default_factory=list)

    async def fields(self, given: Mapping[str, Any], sources: tuple[SourceField, ...]) -> dict[str, Any]:
        """The fields of a request with the addresses of its sources; fields that are None are left out."""
        found = {name: value for name, value in given.items() if value is not None}
        for each in sources:
            if each.name not in found:
                continue
            value = found.pop(each.name)
            if each.shape == "one":
                found[each.wire_name] = await self._address(value)
            else:
                addresses = [await self._address(source) for source in value]
                is_list = each.shape == "several"
                found[each.wire_name] = addresses if is_list else [{"video_url": url} for url in addresses]
        return found

    async def _address(self, source: Source) -> str:
        if isinstance(source, StoredFile):
            return source.server_path
        if isinstance(source, str) and source.startswith(_ADDRESSES):
            return source
        key = f"{self.key}/{len(self.made)}"
        key = key if len(key) <= _LONGEST_KEY else sha256(key.encode(errors="replace")).hexdigest()
        uploaded = await upload(self.api, source, key)
        self.made.append(uploaded.video_url)
        return uploaded.video_url


async def upload(api: Api, source: str | os.PathLike[str] | IO[bytes], key: str, name: str | None = None) -> Upload:
    """Upload a file.

    Args:
        api: The server.
        source: Its path, or the open file, which is read from its start if it can be.
        key: Idempotency-Key, so that a repeated request does not store it twice.
        name: What the file is called on the server; by default its own name.

    Raises:
        ClientError: It is not open for reading in binary mode, or is changed meanwhile.
        ApiError: The server refused.
        OSError: The file cannot be read.
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if "\0" in str(path):
            raise ClientError(f"{str(path)!r} is not the path of a file.")
        with path.open("rb") as file:  # noqa: ASYNC230 - HTTPX reads it in this thread, too
            return await _sent(api, file, name or path.name, key)
    own_name = getattr(source, "name", None)
    name = name or (Path(own_name).name if isinstance(own_name, str) else "upload")
    if _can_seek(source):
        return await _sent(api, source, name, key)
    with tempfile.TemporaryFile() as copy:  # a stream can be sent only once, and its size is not known
        await api.network.call(lambda: copyfileobj(source, copy))
        return await _sent(api, copy, name, key)


def _can_seek(source: object) -> bool:
    """Whether a source is a file that can be read again, or else a stream.

    Raises:
        ClientError: It is neither.
    """
    read = getattr(source, "read", None)
    if not callable(read):
        kind = type(source).__name__
        raise ClientError(f"A source must be a path, an address, an open file, an upload or a result, not {kind}.")
    try:
        is_text, can_seek = isinstance(read(0), str), getattr(source, "seekable", bool)()
    except ValueError as error:  # it is closed, or open for writing
        raise ClientError(f"A file must be open for reading ({error}).") from error
    if is_text:
        raise ClientError("A file must be open in binary mode.")
    return bool(can_seek)


class _Content:
    """The content of a file as it is when it is sent.

    It has no descriptor: HTTPX would take the size of a file that is not written out yet, or is compressed.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._size = file.seek(0, os.SEEK_END)

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position."""
        return self._file.seek(position, whence)

    def tell(self) -> int:
        """The position."""
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        """Read up to ``size`` bytes.

        Raises:
            ClientError: The file has another size than before.
        """
        content = self._file.read(size)
        end = self._file.tell()
        if end > self._size or (not content and end < self._size):
            raise ClientError("The file was changed while it was being sent.")
        return content


async def _sent(api: Api, file: IO[bytes], name: str, key: str) -> Upload:
    known = name.encode(errors="replace").decode()  # names of files may have bytes that are no UTF-8
    content = cast("IO[bytes]", _Content(file))
    sending = Sending("POST", "/uploads", files={"file": (known, content)}, headers={"Idempotency-Key": key})
    return Upload.of(await api.json(sending), api)
