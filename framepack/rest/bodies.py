"""Receiving request bodies: within limits of size and time, and without holding anything scarce meanwhile.

A body goes to an unnamed temporary file as it arrives. Only complete bodies take a slot: slow clients delay nobody.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Final

from starlette.requests import Request as HttpRequest

from framepack.errors import BadRequest, DiskFull, InvalidField, TooLarge, Unavailable
from framepack.files.scratch import free_bytes
from framepack.storage.base import storage_errors
from framepack.units import MB

MAX_VALUES: Final = 100_000
"""Maximum number of values in a JSON body: parsed, each takes about 100 bytes, however short it is."""

_MEMORY_BYTES: Final = 65_536  # of a body that is not complete; the rest of it is in a file
_INLINE_BYTES: Final = 16_384  # what the event loop itself may count and parse
_LARGE_BYTES: Final = 1_000_000
_LARGE_BODIES: Final = 1  # each takes about three times its size while it is parsed and stored
_SPOOLED_BODIES: Final = 16  # of the maximum size, in files at a time
_JSON_TYPES: Final = ("", "application/json")


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a body must arrive.

    Attributes:
        seconds: Time that every body has.
        bytes_per_second: How fast it must arrive on average, after this time.
    """

    seconds: float
    bytes_per_second: float = math.inf

    def allowed_seconds(self, received: int) -> float:
        """How long it may take until the next bytes arrive, since the start of the request."""
        return self.seconds + received / self.bytes_per_second

    def refusal(self, what: str) -> BadRequest:
        """The error for a body that is too slow."""
        if math.isinf(self.bytes_per_second):
            return BadRequest(f"{what} must arrive within {self.seconds:g} seconds.")
        rate = f"{self.bytes_per_second / 1e3:g} kB per second"
        return BadRequest(f"{what} must arrive at {rate} or faster, after {self.seconds:g} seconds.")


class ValueCounter:
    """Counts the values of JSON text that arrives in pieces, without parsing it.

    It counts commas and opening brackets outside strings: empty arrays and objects twice, all other values once.
    Text that is not JSON has no fewer values up to its first error, which is as far as a parser reads.
    """

    def __init__(self) -> None:
        self.count = 1
        self._is_in_string = False
        self._rest = b""  # a backslash whose meaning depends on the next piece

    def add(self, piece: bytes) -> None:
        """Count the values of the next piece, in time proportional to its length."""
        text = (self._rest + piece).replace(rb"\\", b"")
        self._rest = b"\\" if text.endswith(b"\\") else b""
        parts = text.removesuffix(b"\\").replace(rb"\"", b"").split(b'"')
        outside = b" ".join(parts[1 if self._is_in_string else 0 :: 2])
        self._is_in_string ^= len(parts) % 2 == 0
        self.count += sum(outside.count(sign) for sign in (b",", b"[", b"{"))


@dataclass(slots=True)
class Body:
    """A body that has arrived.

    Attributes:
        content_type: Its header ``Content-Type``.
        file: Its content: in memory if it is small, else in a file without a name.
        size_bytes: Its size.
    """

    content_type: str
    file: SpooledTemporaryFile[bytes]
    size_bytes: int = 0

    @property
    def is_short(self) -> bool:
        """Whether parsing it takes so little time that the event loop may do it."""
        return self.size_bytes <= _INLINE_BYTES

    def text(self) -> str:
        """Its text.

        Raises:
            ValueError: it is not UTF-8.
        """
        self.file.seek(0)
        return self.file.read().decode("utf-8-sig")


@dataclass(slots=True)
class BodyReader:
    """Receives JSON bodies.

    Attributes:
        max_bytes: Maximum size of a body.
        max_seconds: Maximum time for receiving a body.
        folder: Where large bodies are kept until they are complete.
        max_values: Maximum number of JSON values in a body.
        large_slots: Limits the number of large bodies that are in memory.
        spooled_bytes: Size of all bodies that are in files.
    """

    max_bytes: int
    max_seconds: float
    folder: Path
    max_values: int = MAX_VALUES
    large_slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_LARGE_BODIES))
    spooled_bytes: int = 0

    @asynccontextmanager
    async def received(self, request: HttpRequest) -> AsyncIterator[Body]:
        """Receive the body; if it is large, hold a slot afterwards, during the ``with`` block.

        Raises:
            TooLarge: the body has more than ``max_bytes`` or ``max_values``.
            InvalidField: it is not JSON, by its header.
            BadRequest: it did not arrive in time.
            Unavailable, DiskFull: there is no space for it at the moment.
        """
        file = SpooledTemporaryFile(max_size=_MEMORY_BYTES, dir=str(self.folder))  # noqa: SIM115 - closed below
        body = Body(request.headers.get("content-type", ""), file)
        try:
            await self._receive(request, body)
            async with self.large_slots if body.size_bytes > _LARGE_BYTES else nullcontext():
                yield body
        finally:
            self.spooled_bytes -= _spooled(body.size_bytes)
            body.file.close()

    async def _receive(self, request: HttpRequest, body: Body) -> None:
        counter = ValueCounter()
        async for chunk in body_chunks(request, self.max_bytes, "The request's body", Pace(self.max_seconds)):
            if chunk and not chunk.isspace() and not _is_json(body.content_type):
                raise InvalidField("The body must be JSON, with the header Content-Type: application/json.")
            self._take_space(body, len(chunk), stated_length(request))
            if body.is_short:
                self._keep(body, chunk, counter)
            else:
                await asyncio.to_thread(self._keep, body, chunk, counter)

    def _take_space(self, body: Body, added: int, stated: int) -> None:
        """Count the next bytes of the body.

        Raises:
            Unavailable: the bodies that are arriving are too many and too large.
            DiskFull: the disk is too full for the whole body.
        """
        before, body.size_bytes = _spooled(body.size_bytes), body.size_bytes + added
        self.spooled_bytes += _spooled(body.size_bytes) - before
        if self.spooled_bytes > _SPOOLED_BODIES * self.max_bytes:
            raise Unavailable("The server is receiving too many large requests; try again in a moment.")
        if before or not _spooled(body.size_bytes):
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_free(self.folder, stated)

    def _keep(self, body: Body, chunk: bytes, counter: ValueCounter) -> None:
        counter.add(chunk)
        if counter.count > self.max_values:
            raise TooLarge(f"The request's body must have at most {self.max_values:,} values.")
        with storage_errors():
            body.file.write(chunk)


async def body_chunks(request: HttpRequest, max_bytes: int, what: str, pace: Pace) -> AsyncGenerator[bytes, None]:
    """Yield the body as it arrives, and stop as soon as it is too large or too slow.

    Args:
        request: The request.
        max_bytes: Maximum size of the body.
        what: Name of the body, as the subject of an error message.
        pace: How fast it must arrive.

    Raises:
        TooLarge: the body, or its stated length, is larger than ``max_bytes``.
        BadRequest: the body is too slow.
    """
    check_length(stated_length(request), max_bytes, what)
    received, started, stream = 0, asyncio.get_running_loop().time(), request.stream()
    while True:
        try:
            async with asyncio.timeout_at(started + pace.allowed_seconds(received)):
                chunk = await anext(stream, None)
        except TimeoutError as error:
            raise pace.refusal(what) from error
        if chunk is None:
            return
        received += len(chunk)
        check_length(received, max_bytes, what)
        yield chunk


def check_length(size_bytes: int, max_bytes: int, what: str) -> None:
    """Check the size of a body called ``what``.

    Raises:
        TooLarge: it is larger than ``max_bytes``.
    """
    if size_bytes > max_bytes:
        raise TooLarge(f"{what} must have at most {max_bytes / MB:g} MB.")


def check_free(folder: Path, size_bytes: int) -> None:
    """Check the space for a body in a temporary folder.

    Raises:
        DiskFull: there is less.
    """
    if free_bytes(folder) < size_bytes:
        raise DiskFull("The server's temporary folder has no space for this request; try again later.")


def stated_length(request: HttpRequest) -> int:
    """The ``Content-Length`` of the request; 0 if it has none."""
    stated = request.headers.get("content-length", "")
    return int(stated[:20]) if stated.isascii() and stated.isdecimal() else 0


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() in _JSON_TYPES


def _spooled(size_bytes: int) -> int:
    """How much of a body of this size is in a file."""
    return size_bytes if size_bytes > _MEMORY_BYTES else 0
