"""Outputs in a bucket that cannot presign links: the server passes them on, whole and in parts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import requests

from framepack.errors import StorageFailed
from framepack.settings import Settings
from framepack.storage.keys import Key
from framepack.storage.open import has_own_links, open_job_storage, open_storage
from framepack.storage.s3.location import s3_location
from tests.support.rest_server import HeldBackend, LocalServer, server_in_thread
from tests.support.s3_proxy import Answer, Proxy, Request
from tests.support.s3_server import S3Server

VIDEO = Key("postprocessed_output/saved_videos/clip 1.mp4")
CONTENT = os.urandom(9_000_000)  # three pieces
RUNPOD = "https://s3api-eu-ro-1.runpod.io"


@pytest.fixture(scope="module")
def client(s3: S3Server, proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server whose bucket holds the video and gives no links."""
    settings: dict[str, Any] = {
        "storage": f"s3://{s3.make_bucket()}/deep",
        "bucket_endpoint_url": proxy.endpoint_url,
        "bucket_access_key_id": s3.access_key,
        "bucket_secret_access_key": s3.secret_key,
        "s3_presign": "false",
        "public_url": "http://a.example",
    }
    with server_in_thread(tmp_path_factory.mktemp("server"), HeldBackend(), **settings) as running:
        running.server.runtime.storage.put_bytes(VIDEO, CONTENT)
        yield running


@pytest.fixture
def link(client: LocalServer) -> str:
    """The signed link to the video, at the server's real address."""
    url = client.server.runtime.storage.url(VIDEO)
    assert url is not None
    assert url.startswith("http://a.example/outputs/postprocessed_output/saved_videos/clip%201.mp4?expires=")
    return url.replace("http://a.example", client.url)


def get(link: str, **headers: str) -> requests.Response:
    """A GET without an API key."""
    return requests.get(link, headers=headers, timeout=60)


def test_the_link_gives_the_whole_file_without_a_key(link: str) -> None:
    """The very bytes, with the headers of a file in a folder."""
    answer = get(link)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "clip%201.mp4" in answer.headers["Content-Disposition"]


def test_a_changed_link_is_refused(link: str) -> None:
    """As with a folder."""
    assert get(link.replace("clip", "clap")).status_code == 401
    assert get(link[:-1] + ("0" if link[-1] != "0" else "1")).status_code == 401


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=5-", slice(5, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=4194300-4194310", slice(4194300, 4194311)),
        ("bytes=8999990-99999999", slice(8999990, None)),
        ("bytes=-99999999", slice(0, None)),
    ],
)
def test_a_range_is_answered_with_its_bytes(link: str, asked: str, expected: slice) -> None:
    """First, last, across pieces, beyond the end."""
    answer = get(link, Range=asked)
    part = CONTENT[expected]
    assert (answer.status_code, answer.content == part) == (206, True)
    start = len(CONTENT) - len(part) if expected.stop is None else expected.start
    assert answer.headers["Content-Range"] == f"bytes {start}-{start + len(part) - 1}/{len(CONTENT)}"


@pytest.mark.parametrize("asked", ["bytes=9000000-", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(link: str, asked: str) -> None:
    """With the size of the file."""
    answer = get(link, Range=asked)
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */9000000")


def test_several_ranges_give_the_whole_file(link: str) -> None:
    """As HTTP permits."""
    answer = get(link, Range="bytes=0-1,5-6")
    assert (answer.status_code, len(answer.content)) == (200, len(CONTENT))


def test_an_unchanged_file_is_not_sent_again(link: str) -> None:
    """By its tag; a range of a changed one is not mixed with the old."""
    tag = get(link, Range="bytes=0-0").headers["ETag"]
    assert get(link, **{"If-None-Match": tag}).status_code == 304
    assert get(link, Range="bytes=0-9", **{"If-Range": tag}).status_code == 206
    assert get(link, Range="bytes=0-9", **{"If-Range": '"other"'}).status_code == 200
    assert get(link, Range="bytes=0-9", **{"If-Range": formatdate(0, usegmt=True)}).status_code == 200


def test_head_reads_nothing_of_the_file(link: str, proxy: Proxy) -> None:
    """The headers of the whole file, and no download from the store."""
    proxy.seen.clear()
    answer = requests.head(link, timeout=30)
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(len(CONTENT)))
    assert {request.method for request in proxy.seen} == {"HEAD"}


def test_a_client_that_leaves_stops_the_download_from_the_store(link: str, proxy: Proxy) -> None:
    """At most the piece that is being read is finished; no connection is held."""
    proxy.seen.clear()
    with requests.get(link, stream=True, timeout=30) as answer:
        assert answer.raw.read(10) == CONTENT[:10]
    assert get(link, Range="bytes=-5").content == CONTENT[-5:]
    assert all("Range" in request.headers for request in proxy.seen if request.method == "GET")


def test_a_piece_that_breaks_is_read_again(link: str, proxy: Proxy) -> None:
    """The client gets the right bytes although the store's connection broke in the middle."""
    broken: list[Request] = []

    def break_once(request: Request, answer: Answer) -> None:
        if request.method == "GET" and len(broken) < 2:
            broken.append(request)
            answer.hang_up_after = 1000

    proxy.after = break_once
    try:
        assert get(link).content == CONTENT
    finally:
        proxy.after = lambda _request, _answer: None
    assert len(broken) == 2


def test_a_store_that_fails_in_the_middle_cuts_the_connection_and_is_one_line_in_the_log(
    client: LocalServer, link: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The client sees that the file is not whole; there is no traceback."""
    storage = client.server.runtime.storage
    read_part = type(storage).read_part

    def failing(self: Any, stored: Any, first: int, size_bytes: int) -> bytes:
        if first:
            raise StorageFailed("The store is away.")
        return read_part(self, stored, first, size_bytes)

    monkeypatch.setattr(type(storage), "read_part", failing)
    with pytest.raises(requests.exceptions.RequestException):
        assert not get(link).content

    assert [each.message for each in caplog.records if each.name == "framepack.rest"] == [
        "A file was not sent to its end, because the store failed: The store is away."
    ]
    assert not [each for each in caplog.records if each.exc_info]


def test_a_file_that_is_replaced_meanwhile_is_not_mixed(client: LocalServer) -> None:
    """A piece of the new version is refused to whoever began with the old."""
    storage = client.server.runtime.storage
    key = Key("postprocessed_output/saved_videos/other.mp4")
    storage.put_bytes(key, b"old bytes")
    stored = storage.stat(key)
    storage.put_bytes(key, b"new bytes")
    assert stored is not None
    with pytest.raises(Exception, match="replaced"):
        storage.read_part(stored, 0, 3)


def test_internal_objects_are_not_passed_on(client: LocalServer) -> None:
    """Neither with a key nor with a link."""
    client.server.runtime.storage.put_bytes(Key("state/settings/x.json"), b"{}")
    assert client.get("/outputs/state/settings/x.json").status_code == 404
    assert client.get("/outputs/gone.mp4").status_code == 404


def test_volumes_of_runpod_have_no_presigned_links(tmp_path: Path) -> None:
    """By their address, unless the setting says otherwise."""
    assert not s3_location("volume", RUNPOD).can_presign
    assert s3_location("clips", "https://s3.eu-west-1.amazonaws.com").can_presign
    keys: dict[str, Any] = {
        "storage": "s3://volume",
        "bucket_endpoint_url": RUNPOD,
        "bucket_access_key_id": "a",
        "bucket_secret_access_key": "b",
        "link_secret": "a secret of sixteen",
    }
    assert has_own_links(Settings(**keys))
    assert open_storage(Settings(**keys)).url(VIDEO) is None
    link = open_storage(Settings(**keys, public_url="https://a.example")).url(VIDEO)
    assert str(link).startswith("https://a.example/outputs/")
    assert "X-Amz-Signature" in str(open_storage(Settings(**keys, s3_presign="true")).url(VIDEO))


def test_a_job_with_a_volume_of_runpod_gets_no_dead_link() -> None:
    """None is better than one that never works."""
    from framepack.net.addresses import Policy

    config = {"accessId": "a", "accessSecret": "b", "bucketName": "volume", "endpointUrl": RUNPOD}
    assert open_job_storage(Settings(), config, Policy()).url(VIDEO) is None
