"""A job's own store on the plain handler: tried before the source is downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.clips import Spec, make_clip
from tests.support.control_plane import ControlPlane, Worker
from tests.support.http_server import Answer, HttpServer
from tests.support.s3_server import S3Server
from tests.support.short_pauses import BUCKET_AWAY, short_pauses


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    """The server of the source."""
    path = make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", Spec(count=10))
    with HttpServer({"/clip.mp4": Answer(body=path.read_bytes())}) as server:
        yield server


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """The platform."""
    with ControlPlane() as plane:
        yield plane


@pytest.fixture(scope="module")
def worker(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker that logs everything."""
    folder = tmp_path_factory.mktemp("worker")
    settings = {"FRAMEPACK_ALLOWED_HOSTS": "127.0.0.1", "FRAMEPACK_LOG_LEVEL": "DEBUG"}
    with Worker(plane, folder, **settings, **short_pauses(folder, BUCKET_AWAY)) as worker:
        yield worker


def config(s3: S3Server, **changes: str) -> dict[str, Any]:
    """A job's ``s3Config``."""
    return {
        "accessId": s3.access_key,
        "accessSecret": s3.secret_key,
        "bucketName": s3.make_bucket(),
        "endpointUrl": s3.endpoint_url,
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"accessSecret": "wrong"}, "check accessSecret"),
        ({"bucketName": "no-such-bucket"}, "check bucketName"),
        ({"endpointUrl": "http://127.0.0.1:9"}, "check endpointUrl"),
    ],
)
def test_a_wrong_store_is_refused_before_the_download(
    plane: ControlPlane, worker: Worker, s3: S3Server, source: HttpServer, changes: dict[str, str], remedy: str
) -> None:
    """400 with one sentence that names the field; the source's server is not asked."""
    del worker
    source.requests.clear()
    fields = {"endpoint": "loop", "video_url": f"{source.url}/clip.mp4"}
    result = plane.run(fields, s3Config=config(s3, **changes))
    assert result["output"] == {"code": "invalid_field", "status": 400}
    assert remedy in result["error"]
    assert source.requests == []


def test_the_debug_log_has_no_credentials(
    plane: ControlPlane, worker: Worker, s3: S3Server, source: HttpServer
) -> None:
    """Neither the key id nor a signature, although everything is logged."""
    fields = {"endpoint": "loop", "video_url": f"{source.url}/clip.mp4"}
    output = plane.run(fields, s3Config=config(s3))["output"]
    assert output["success"] is True
    assert '"level": "DEBUG"' in worker.log
    for secret in (s3.access_key, s3.secret_key, "AWS4-HMAC-SHA256", "Signature="):
        assert secret not in worker.log
