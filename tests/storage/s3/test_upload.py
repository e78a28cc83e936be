"""Uploads to a bucket and downloads from it: parts, verification, broken connections."""

from __future__ import annotations

import hashlib
import os
from base64 import b64decode
from pathlib import Path

import pytest

from framepack.errors import StorageFailed
from tests.support.s3_proxy import Answer, Proxy, Request
from tests.support.s3_server import S3Server
from tests.support.storage_case import KEY, LARGE, MIB, NAME, OpenS3, assert_discreet


def test_a_large_file_goes_up_in_parts(open_s3: OpenS3, proxy: Proxy, large: Path) -> None:
    """Three parts are sent, each with the digest of its bytes, and the whole is what was read."""
    storage = open_s3(proxy.endpoint_url)
    storage.put_file(KEY, large)
    parts = [request for request in proxy.seen if request.is_part]
    assert sorted(len(part.body) for part in parts) == [2 * MIB, 5 * MIB, 5 * MIB]
    for part in parts:
        assert b64decode(part.headers["Content-MD5"]) == hashlib.md5(part.body, usedforsecurity=False).digest()
    assert not [request for request in proxy.seen if request.method == "GET"], "it was read back without need"
    assert hashlib.sha256(storage.read(KEY)).digest() == hashlib.sha256(LARGE).digest()


def test_a_part_that_breaks_is_sent_again(open_s3: OpenS3, proxy: Proxy, large: Path) -> None:
    """One broken connection costs one repetition and not the upload."""
    broken: list[Request] = []

    def hang_up_once(request: Request) -> bool:
        if request.is_part and not broken:
            broken.append(request)
            return True
        return False

    proxy.before = hang_up_once
    assert open_s3(proxy.endpoint_url).put_file(KEY, large).size_bytes == len(LARGE)
    assert broken
    assert open_s3().read(KEY) == LARGE


def test_a_failed_upload_leaves_no_parts(
    open_s3: OpenS3, proxy: Proxy, large: Path, server: S3Server, bucket: str
) -> None:
    """When a part cannot be sent, the others are removed and the old object stays."""
    open_s3().put_bytes(KEY, b"old")
    proxy.before = lambda request: request.is_part and request.query["partNumber"] == ["3"]
    with pytest.raises(StorageFailed) as failure:
        open_s3(proxy.endpoint_url).put_file(KEY, large)
    assert_discreet(failure.value)
    assert not server.client.list_multipart_uploads(Bucket=bucket).get("Uploads")
    assert any(request.starts_multipart for request in proxy.seen)
    assert open_s3().read(KEY) == b"old"


def test_a_source_that_shrinks_leaves_no_parts(
    open_s3: OpenS3, proxy: Proxy, large: Path, server: S3Server, bucket: str
) -> None:
    """A file that changes between its digest and its upload is refused, and nothing of it stays."""
    proxy.before = lambda request: os.truncate(large, 11 * MIB) if request.starts_multipart else None
    with pytest.raises(StorageFailed, match="changed while it was being stored"):
        open_s3(proxy.endpoint_url).put_file(KEY, large)
    assert not server.client.list_multipart_uploads(Bucket=bucket).get("Uploads")
    assert open_s3().stat(KEY) is None


def test_a_lost_answer_to_the_completion_is_recovered(open_s3: OpenS3, proxy: Proxy, large: Path) -> None:
    """When the store has put the parts together but its answer is lost, the upload counts, once it is read back."""
    lost: list[Answer] = []

    def lose_once(request: Request, answer: Answer) -> bool:
        if request.completes_multipart and not lost:
            lost.append(answer)
            return True
        return False

    proxy.after = lose_once
    stored = open_s3(proxy.endpoint_url).put_file(KEY, large)
    assert lost[0].status == 200
    assert stored.sha256 == hashlib.sha256(LARGE).hexdigest()
    assert "GET" in [request.method for request in proxy.seen]
    assert open_s3().read(KEY) == LARGE


@pytest.mark.parametrize(
    ("data", "hidden"),
    [(b"small", "Etag"), (b"small", "X-Amz-Meta-Sha256"), (LARGE, "X-Amz-Meta-Sha256")],
    ids=["no MD5", "no metadata", "no metadata of parts"],
)
def test_an_unconfirmed_upload_is_read_back(open_s3: OpenS3, proxy: Proxy, data: bytes, hidden: str) -> None:
    """Stores with ETags of their own or without metadata are believed only after reading the object back."""

    def hide(_request: Request, answer: Answer) -> None:
        if answer.headers.pop(hidden, None) and hidden == "Etag":
            answer.headers["Etag"] = '"of-its-own"'

    proxy.after = hide
    storage = open_s3(proxy.endpoint_url)
    stored = storage.put_bytes(KEY, data)
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    assert "GET" in [request.method for request in proxy.seen]


def test_an_upload_damaged_in_transit_fails(open_s3: OpenS3, proxy: Proxy) -> None:
    """The store refuses a body whose digest is not the one that was sent with it."""
    original = b"data"

    def forge(request: Request) -> None:
        if request.method == "PUT":
            request.body = b"atad"

    proxy.before = forge
    with pytest.raises(StorageFailed):
        open_s3(proxy.endpoint_url).put_bytes(KEY, original)
    assert open_s3().stat(KEY) is None


def test_an_upload_of_the_wrong_size_fails(open_s3: OpenS3, proxy: Proxy) -> None:
    """A store that afterwards names another size has not kept the upload."""

    def shorten(request: Request, answer: Answer) -> None:
        if request.method == "HEAD":
            answer.headers["Content-Length"] = "3"

    proxy.after = shorten
    with pytest.raises(StorageFailed, match="did not keep the whole upload"):
        open_s3(proxy.endpoint_url).put_bytes(KEY, b"data")


def test_an_upload_that_vanishes_fails(open_s3: OpenS3, proxy: Proxy, server: S3Server, bucket: str) -> None:
    """A store that accepts an upload and then has no such object has failed."""

    def forget(request: Request, _answer: Answer) -> None:
        if request.method == "PUT":
            server.client.delete_object(Bucket=bucket, Key=NAME)

    proxy.after = forget
    with pytest.raises(StorageFailed, match="lost the upload"):
        open_s3(proxy.endpoint_url).put_bytes(KEY, b"data")


def test_wrong_bytes_under_the_right_digest_are_detected(open_s3: OpenS3, proxy: Proxy) -> None:
    """An unconfirmed upload is read back, and every download is held against the digest."""

    def spoil(request: Request, answer: Answer) -> None:
        answer.headers.pop("Etag", None)
        if request.method == "GET":
            answer.body = b"atad"

    proxy.after = spoil
    storage = open_s3(proxy.endpoint_url)
    with pytest.raises(StorageFailed):
        storage.put_bytes(KEY, b"data")
    with pytest.raises(StorageFailed, match="returned other bytes"):
        storage.read(KEY)


def test_another_writer_may_win_the_race(open_s3: OpenS3, proxy: Proxy) -> None:
    """An object replaced between our upload and our look at it is no failure of ours."""
    other = open_s3()

    def overtake(request: Request, _answer: Answer) -> None:
        if request.method == "PUT":
            other.put_bytes(KEY, b"theirs, later")

    proxy.after = overtake
    stored = open_s3(proxy.endpoint_url).put_bytes(KEY, b"ours")
    assert stored.sha256 == hashlib.sha256(b"ours").hexdigest()
    assert other.read(KEY) == b"theirs, later"


def test_an_interrupted_download_is_retried(open_s3: OpenS3, proxy: Proxy, tmp_path: Path) -> None:
    """Half an answer is thrown away and asked for again."""
    storage = open_s3(proxy.endpoint_url)
    storage.put_bytes(KEY, LARGE[: 3 * MIB])
    broken: list[Answer] = []

    def break_once(request: Request, answer: Answer) -> None:
        if request.method == "GET" and not broken:
            answer.hang_up_after = 2 * MIB
            broken.append(answer)

    proxy.after = break_once
    storage.fetch(KEY, tmp_path / "copy")
    assert broken
    assert (tmp_path / "copy").read_bytes() == LARGE[: 3 * MIB]


def test_a_download_that_keeps_breaking_fails(open_s3: OpenS3, proxy: Proxy, tmp_path: Path) -> None:
    """After the last attempt the client is told, and no half file stays."""
    storage = open_s3(proxy.endpoint_url)
    storage.put_bytes(KEY, b"data")
    proxy.after = lambda request, answer: setattr(answer, "hang_up_after", 2) if request.method == "GET" else None
    with pytest.raises(StorageFailed) as failure:
        storage.fetch(KEY, tmp_path / "copy")
    assert_discreet(failure.value)
    assert not (tmp_path / "copy").exists()
