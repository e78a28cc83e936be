"""A server, a clip, and receivers as processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clips import Spec, make_clip
from tests.support.control_plane import ROOT
from tests.support.http_server import HttpServer
from tests.support.rest_server import RestServer

EXAMPLES = ROOT / "examples"
SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS1leGFtcGxlcw=="


@pytest.fixture(scope="module")
def other() -> Iterator[HttpServer]:
    """A web server on another origin."""
    with HttpServer({}) as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, other: HttpServer) -> Iterator[RestServer]:
    """A server that signs its callbacks, and lets the pages of the other origin call it."""
    folder = tmp_path_factory.mktemp("server")
    with RestServer(folder, webhook_secret=SECRET, cors_origins=other.url) as running:
        yield running


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short clip that every browser can play."""
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", Spec(size=(96, 64), count=12))
