"""Buckets that cannot be used: wrong keys, servers that are down or are no stores, a full disk."""

from __future__ import annotations

import contextlib
import errno
import gc
import http.server
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from framepack.errors import FramepackError, StorageFailed
from framepack.storage.patience import Patience
from framepack.storage.s3.client import S3Credentials, S3Tuning
from framepack.storage.s3.location import s3_location
from framepack.storage.s3.storage import S3Storage
from tests.support.s3_server import SECRET_KEY, S3Server
from tests.support.storage_case import KEY, OpenS3, assert_discreet

ONCE = Patience(0)


def every_call(storage: S3Storage, path: Path) -> list[Callable[[], object]]:
    """Every method that talks to the store."""
    path.write_bytes(b"data")
    return [
        lambda: storage.put_bytes(KEY, b"data"),
        lambda: storage.put_file(KEY, path),
        lambda: storage.read(KEY),
        lambda: storage.fetch(KEY, path),
        lambda: list(storage.list()),
        lambda: storage.stat(KEY),
        lambda: storage.delete(KEY),
    ]


@pytest.mark.parametrize(
    ("access_key", "secret_key"), [("nobody-access-key", SECRET_KEY), ("test-access-key", "wrong-secret-key")]
)
def test_a_wrong_access_key_is_reported_without_secrets(
    open_s3: OpenS3, tmp_path: Path, access_key: str, secret_key: str
) -> None:
    """Every method answers with the store's code and nothing that belongs to the owner."""
    storage = open_s3(credentials=S3Credentials(access_key, secret_key))
    for call in every_call(storage, tmp_path / "file"):
        with pytest.raises(StorageFailed, match="refused the") as failure:
            call()
        assert_discreet(failure.value, access_key, secret_key)


def test_a_missing_bucket_is_reported(open_s3: OpenS3, server: S3Server) -> None:
    """Its name stays out of the message, the code says what is wrong."""
    storage = S3Storage(
        s3_location("no-such-bucket", server.endpoint_url), S3Credentials(server.access_key, server.secret_key)
    )
    for call in (lambda: storage.put_bytes(KEY, b""), lambda: storage.read(KEY), lambda: list(storage.list())):
        with pytest.raises(StorageFailed, match=r"\(NoSuchBucket\)\.$") as failure:
            call()
        assert_discreet(failure.value, "no-such-bucket")


def test_an_unreachable_server_is_reported(open_s3: OpenS3) -> None:
    """A refused connection becomes one sentence."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        storage = open_s3(f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(StorageFailed, match=r"did not answer the upload \(EndpointConnectionError\)") as failure:
            storage.put_bytes(KEY, b"data")
    assert_discreet(failure.value)


def test_a_silent_server_times_out(open_s3: OpenS3) -> None:
    """Silence ends with the read timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        storage = open_s3(
            f"http://127.0.0.1:{silent.getsockname()[1]}",
            tuning=S3Tuning(patience=ONCE, read_timeout_seconds=0.3),
        )
        with pytest.raises(StorageFailed, match=r"did not answer the download \(ReadTimeoutError\)"):
            storage.read(KEY)


NO_LIST = b"<ListBucketResult><Contents><Key>k</Key><LastModified>x</LastModified></Contents></ListBucketResult>"


@pytest.mark.parametrize(
    ("status", "page"),
    [(status, b"<html><body>/secret/127.0.0.1") for status in (200, 301, 404, 500)] + [(200, b""), (200, NO_LIST)],
)
def test_a_server_that_is_not_s3_is_reported(open_s3: OpenS3, tmp_path: Path, status: int, page: bytes) -> None:
    """A web page in the place of the store is never taken for a success, and leaves no socket open."""

    class Page(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(page)))
            self.send_header("Last-Modified", "never")
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.end_headers()
            self.wfile.write(page if self.command != "HEAD" else b"")

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer  # noqa: N815 - http.server looks for these

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            """Keep quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as page_server:
        thread = threading.Thread(target=page_server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            tuning = S3Tuning(patience=ONCE, multipart_above_bytes=4)
            storage = open_s3(f"http://127.0.0.1:{page_server.server_port}", tuning=tuning)
            for data in (b"data", b"data in parts"):
                with pytest.raises(StorageFailed) as failure:
                    storage.put_bytes(KEY, data)
                assert_discreet(failure.value)
            for call in every_call(storage, tmp_path / "file"):
                with contextlib.suppress(FramepackError):
                    call()
            gc.collect()  # a socket that nobody closed warns here
        finally:
            page_server.shutdown()
            thread.join()


def test_a_full_disk_during_a_download_is_reported(
    open_s3: OpenS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trouble with the worker's own disk is not blamed on the store."""
    storage = open_s3()
    storage.put_bytes(KEY, b"data")

    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(FramepackError) as failure:
        storage.fetch(KEY, tmp_path / "copy")
    assert failure.value.code == "disk_full"


def test_credentials_are_not_in_the_repr() -> None:
    """Neither the key nor the secret is in what a log would print."""
    assert "key" not in repr(S3Credentials("an-access-key", "a-secret-key")).lower()


def test_boto3_is_imported_on_first_use() -> None:
    """Importing and opening a store loads no boto3; a cold start need not pay for it."""
    program = (
        "import sys; from framepack.storage.open import open_storage; from framepack.settings import Settings;"
        "open_storage(Settings(storage='s3://bucket/prefix')); print('boto3' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
