"""Outages of real length with the real pauses: a result waits, and is stored exactly once. Takes minutes."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from framepack.job import Job
from framepack.storage.outputs import Outputs, ResultFolder
from framepack.storage.patience import RESULT_PATIENCE
from framepack.storage.patient import PatientStorage
from framepack.storage.s3.client import S3Credentials
from framepack.storage.s3.location import s3_location
from framepack.storage.s3.storage import S3Storage
from tests.support.s3_outage import FAULTS, lie
from tests.support.s3_proxy import Answer, Request, s3_proxy
from tests.support.s3_server import S3Server
from tests.support.storage_case import MIB

SIZES = {"small": 100_000, "in parts": 40 * MIB}
KINDS = [*FAULTS, "lie", "stall"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seconds", [1, 5, 30, 60, 300])
def test_an_outage_of_real_length_loses_and_doubles_nothing(server: S3Server, tmp_path: Path, seconds: float) -> None:
    """Every fault at once, each before a bucket of its own, for a small result and for one in parts."""

    def survive(case: tuple[str, str]) -> str:
        kind, size = case
        bucket = server.make_bucket()
        path = tmp_path / f"{kind} {size}.mp4"
        content = hashlib.shake_256(path.name.encode()).digest(1000) * (SIZES[size] // 1000)
        path.write_bytes(content)
        over = threading.Event()

        def fault(request: Request) -> bool | Answer | None:
            if over.is_set():
                return None
            if kind == "stall":
                over.wait()
                return True
            return lie(request) if kind == "lie" else FAULTS[kind](request)

        with s3_proxy(server.endpoint_url) as proxy, contextlib.ExitStack() as stack:
            proxy.before = fault
            timer = threading.Timer(seconds, over.set)
            timer.start()
            stack.callback(timer.join)
            keys = S3Credentials(server.access_key, server.secret_key)
            storage = PatientStorage(S3Storage(s3_location(bucket, proxy.endpoint_url), keys), Job(), RESULT_PATIENCE)
            started = time.monotonic()
            output = Outputs(storage, 0).publish(path, folder=ResultFolder.TEMP_PROCESSING, stem="a", suffix="b")
            took = time.monotonic() - started
        listed = server.client.list_objects_v2(Bucket=bucket)["Contents"]
        assert [each["Key"] for each in listed] == [str(output.key)]
        stored = server.client.get_object(Bucket=bucket, Key=str(output.key))["Body"].read()
        assert stored == content
        with contextlib.suppress(server.client.exceptions.NoSuchUpload):  # rclone's word for "never any"
            assert not server.client.list_multipart_uploads(Bucket=bucket).get("Uploads")
        server.client.delete_object(Bucket=bucket, Key=str(output.key))
        return f"{kind:18} {size:9} {took:7.1f} s"

    cases = [(kind, size) for kind in KINDS for size in SIZES]
    with ThreadPoolExecutor(len(cases)) as pool:
        for line in pool.map(survive, cases):
            print(f"{seconds:4} s outage: {line}")  # noqa: T201 - the figures of the run
