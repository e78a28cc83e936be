"""Workers on either kind of store: a folder, and a bucket of a real S3 server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr

from tests.support.runs import Bench, bench
from tests.support.s3_server import S3Server


def bucket_settings(server: S3Server) -> dict[str, Any]:
    """Settings of a worker whose store is a new bucket."""
    return {
        "storage": f"s3://{server.make_bucket()}/worker",
        "bucket_endpoint_url": server.endpoint_url,
        "bucket_access_key_id": SecretStr(server.access_key),
        "bucket_secret_access_key": SecretStr(server.secret_key),
    }


def stored(worker: Bench) -> dict[str, bytes]:
    """All objects of a worker's store but the locks and claims of jobs."""
    storage = worker.runtime.storage
    return {str(found.key): storage.read(found.key) for found in storage.list()}


def bench_like(worker: Bench, folder: Path) -> Bench:
    """Another worker of the same deployment: the same store and settings, working files of its own."""
    settings = worker.runtime.settings.model_dump()
    return bench(folder, **{**settings, "temp_dir": folder / "temp", "storage": worker.runtime.settings.storage})
