"""Fixtures for the tests of the REST server and its job queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clips import Spec, make_clip
from tests.support.rest_server import HeldBackend, LocalServer, server_in_thread


@pytest.fixture
def backend() -> HeldBackend:
    """A backend that holds one job at a time."""
    return HeldBackend()


@pytest.fixture
def server(backend: HeldBackend, tmp_path: Path) -> Iterator[LocalServer]:
    """A server around it."""
    with server_in_thread(tmp_path, backend) as running:
        yield running


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short clip."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    make_clip(path, Spec(count=5))
    return path
