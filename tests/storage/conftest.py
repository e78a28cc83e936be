"""Both stores, each empty: a folder and a bucket of a real S3 server."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from framepack.storage.base import Storage
from framepack.storage.local import LocalStorage
from framepack.storage.patience import Patience
from framepack.storage.s3.client import S3Credentials, S3Tuning
from framepack.storage.s3.location import s3_location
from framepack.storage.s3.storage import S3Storage
from tests.support.s3_proxy import Proxy, s3_proxy
from tests.support.s3_server import S3Server, s3_server
from tests.support.storage_case import LARGE, MIB, OpenS3

# Small pieces and little patience, so that the tests are quick.
QUICK = S3Tuning(
    patience=Patience(0.3, least_tries=2, first_pause_seconds=0.05, longest_pause_seconds=0.1),
    request_seconds=10,
    connect_timeout_seconds=2,
    read_timeout_seconds=10,
    multipart_above_bytes=5 * MIB,
    part_bytes=5 * MIB,
    page_size=50,
    verify_attempts=4,
)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server."""
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def bucket(server: S3Server) -> str:
    """An empty bucket."""
    return server.make_bucket()


@pytest.fixture
def proxy(server: S3Server) -> Iterator[Proxy]:
    """A proxy before the server, through which a test makes trouble."""
    with s3_proxy(server.endpoint_url) as running:
        yield running


@pytest.fixture
def open_s3(server: S3Server, bucket: str) -> OpenS3:
    """Open the bucket, by default as it should be; tests change an argument or two."""

    def opened(
        endpoint_url: str = server.endpoint_url,
        *,
        credentials: S3Credentials | None = None,
        prefix: str = "worker/one",
        url_lifetime_seconds: int = 60,
        tuning: S3Tuning = QUICK,
    ) -> S3Storage:
        return S3Storage(
            s3_location(bucket, endpoint_url),
            credentials or S3Credentials(server.access_key, server.secret_key),
            prefix=prefix,
            url_lifetime_seconds=url_lifetime_seconds,
            tuning=tuning,
        )

    return opened


@pytest.fixture(params=["file", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Each store in turn; what holds for one must hold for the other."""
    if request.param == "file":
        return LocalStorage(tmp_path / "store")
    open_s3: OpenS3 = request.getfixturevalue("open_s3")
    return open_s3()


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file that goes up in three parts."""
    path = tmp_path / "large.mp4"
    path.write_bytes(LARGE)
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=False, capture_output=True
    )
    if mount.returncode:
        pytest.skip("may not mount a file system here")
    yield disk
    subprocess.run(["/bin/umount", disk], check=True)
