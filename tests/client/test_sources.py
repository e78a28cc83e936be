"""Open files and streams of every kind arrive byte for byte; what is none of them is refused in one sentence."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import pytest

from framepack.client import AsyncClient, Client, ClientError, Upload
from tests.client.conftest import HASTY, pipe
from tests.support.http_server import Answer, HttpServer
from tests.support.rest_server import KEY, RestServer

CONTENT = os.urandom(200_001)


def piped(content: bytes, _: Path) -> IO[bytes]:
    """The output of a program."""
    return pipe(content)


def connection(content: bytes, _: Path) -> IO[bytes]:
    """What another program sends."""
    ours, theirs = socket.socketpair()

    def write() -> None:
        with theirs:
            theirs.sendall(content)

    threading.Thread(target=write).start()
    with ours:
        return ours.makefile("rb")


def unwritten(content: bytes, folder: Path) -> IO[bytes]:
    """A file whose end is not on the disk yet."""
    file = (folder / "unwritten").open("w+b")
    file.write(content)
    return file


def compressed(content: bytes, folder: Path) -> IO[bytes]:
    """A file whose size on the disk is another one."""
    with gzip.open(folder / "a.gz", "wb") as file:
        file.write(content)
    return gzip.open(folder / "a.gz")  # type: ignore[return-value]


class OnlyRead:
    """The least that a stream can be."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        """Read."""
        return self._file.read(size)

    def close(self) -> None:
        """Close."""


Kind = Callable[[bytes, Path], Any]
KINDS: dict[str, Kind] = {
    "pipe": piped,
    "connection": connection,
    "unwritten": unwritten,
    "compressed": compressed,
    "memory": lambda content, _: io.BytesIO(content),
    "only read": lambda content, _: OnlyRead(content),
}


@pytest.mark.parametrize("size", [2792, 8193, 200_001])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_an_open_file_arrives_as_it_is(
    client: Client, server: RestServer, kind: Kind, size: int, tmp_path: Path
) -> None:
    """In both clients; a file is read from its start."""
    content = CONTENT[:size]

    async def upload() -> Upload:
        async with AsyncClient(server.url, KEY, timing=HASTY) as waiting:
            with closing(kind(content, tmp_path)) as file:
                return await waiting.upload(file, name="b.bin")

    with closing(kind(content, tmp_path)) as file:
        found = client.upload(file, name="a.bin")
    for uploaded in (found, asyncio.run(upload())):
        assert uploaded.size_bytes == size
        assert client.download(uploaded, tmp_path / "a.bin").read_bytes() == content


def test_a_name_that_is_no_utf_8_is_cleaned(client: Client, tmp_path: Path) -> None:
    """As Linux allows it."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.mp4"))
    path.write_bytes(b"content")
    assert client.upload(path).filename == "a.mp4"


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Nothing is sent."""
    (tmp_path / "a").write_bytes(b"content")
    closed = (tmp_path / "a").open("rb")
    closed.close()
    with HttpServer(lambda _: Answer()) as server, Client(server.url, timing=HASTY) as client:
        with (tmp_path / "b").open("wb") as writing, (tmp_path / "a").open() as text:
            wrong: list[tuple[Any, str]] = [
                (closed, "open for reading"),
                (writing, "open for reading"),
                (text, "binary mode"),
                (io.StringIO("a"), "binary mode"),
                (b"content", "not bytes"),
                (7, "not int"),
            ]
            for source, sentence in wrong:
                with pytest.raises(ClientError, match=sentence):
                    client.upload(source)
                with pytest.raises(ClientError, match=sentence):
                    client.analyze(video=source)
    assert server.requests == []


class Changing(io.BytesIO):
    """A file that another program writes."""

    def __init__(self, size: int) -> None:
        super().__init__(CONTENT)
        self._other = size

    def read(self, size: int | None = -1) -> bytes:
        """Read, and be changed."""
        found = super().read(size)
        if found:
            place = self.tell()
            self.truncate(min(place, self._other))
            self.seek(0, os.SEEK_END)
            self.write(bytes(max(0, self._other - self.tell())))
            self.seek(place)
        return found


@pytest.mark.parametrize("size", [70_000, 300_000])
def test_a_file_that_changes_while_it_is_sent_is_reported(client: Client, size: int) -> None:
    """Not as a server that does not answer, and not again and again."""
    with pytest.raises(ClientError, match="was changed while it was being sent"):
        client.upload(Changing(size))
