"""Downloads for tests: into a folder that must be empty after a failure, from bodies that never end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from framepack.errors import FramepackError
from framepack.net.addresses import Policy
from framepack.net.download import Downloader
from tests.support.canary import Names
from tests.support.http_server import Answer, HttpServer


class Fetch:
    """Downloads into a folder of its own, with small limits and pauses."""

    def __init__(self, policy: Policy, folder: Path) -> None:
        self.downloader = Downloader(policy, 20, pauses=(0.01,) * 4)
        self.to = folder / "source"

    def __call__(self, url: str, *, max_bytes: int = 2_000_000, check: Callable[[], None] = lambda: None) -> str:
        """Download ``url``; return the file name that came with it."""
        return self.downloader.download(url, self.to, max_bytes=max_bytes, check=check)

    def fails(self, url: str, error: type[FramepackError], match: str) -> None:
        """Expect ``error``, and that nothing is left behind."""
        with pytest.raises(error, match=match) as caught:
            self(url)
        assert type(caught.value) is error
        assert "127.0.0.1" not in caught.value.message
        assert list(self.to.parent.iterdir()) == []


def redirect(to: str, status: int = 302) -> Answer:
    """A redirect."""
    return Answer(status, b"moved", {"Location": to})


def drip(server: HttpServer) -> Iterator[bytes]:
    """A byte every 50 ms, until the server stops."""
    while not server.closing.wait(0.05):
        yield b"x"


def endless(server: HttpServer) -> Iterator[bytes]:
    """As much as the client takes."""
    while not server.closing.is_set():
        yield b"x" * 65536


def stall(server: HttpServer) -> Iterator[bytes]:
    """One byte, and nothing more."""
    yield b"x"
    server.closing.wait(20)


def at_loopback(name: str) -> Policy:
    """A policy for one public-looking name whose server is on loopback."""
    return Policy(allowed_hosts=("127.0.0.1",), resolve=Names({name: [["127.0.0.1"]]}))
