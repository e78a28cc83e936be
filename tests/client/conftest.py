"""Fixtures of these tests: a server as a person starts it, a clip, and a client that does not wait long."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from framepack.client import Client, Timing
from tests.support.clips import Spec, make_clip
from tests.support.rest_server import KEY, RestServer

SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS10ZXN0cw=="
HASTY = Timing(patience=30, first_patience=10, first_pause=0.05, longest_pause=0.2, poll=0.05, silence=5)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestServer]:
    """A server that signs its callbacks."""
    with RestServer(tmp_path_factory.mktemp("server"), webhook_secret=SECRET) as running:
        yield running


@pytest.fixture
def client(server: RestServer) -> Iterator[Client]:
    """A client of it."""
    with Client(server.url, KEY, timing=HASTY) as running:
        yield running


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short clip."""
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", Spec(count=12))


def pipe(content: bytes) -> io.BufferedReader:
    """A file that cannot be read twice, as a program's output."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(content)

    threading.Thread(target=write).start()
    return os.fdopen(reading, "rb")
