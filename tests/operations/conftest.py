"""The stores that operations work on: a folder, and a bucket of a real S3 server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.s3_server import S3Server, s3_server

StoreSettings = Callable[[], dict[str, Any]]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server."""
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(params=["file", "s3"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> StoreSettings:
    """Settings of an empty store of either kind, another one with each call."""
    if request.param == "file":
        return lambda: {"storage": f"file:{tmp_path / uuid4().hex}"}
    running: S3Server = request.getfixturevalue("server")
    bucket = running.make_bucket()
    return lambda: {
        "storage": f"s3://{bucket}/{uuid4().hex}",
        "bucket_endpoint_url": running.endpoint_url,
        "bucket_access_key_id": running.access_key,
        "bucket_secret_access_key": running.secret_key,
    }
