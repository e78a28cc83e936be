"""Fixtures for tests beside a real S3 server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.s3_proxy import Proxy, s3_proxy
from tests.support.s3_server import S3Server, s3_server


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def proxy(s3: S3Server) -> Iterator[Proxy]:
    """A proxy before it."""
    with s3_proxy(s3.endpoint_url) as running:
        yield running
