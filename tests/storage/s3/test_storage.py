"""The store in a bucket: what other clients see of it, and its links. Against a real S3 server."""

from __future__ import annotations

import hashlib
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path

import pytest

from framepack.errors import InvalidField
from framepack.storage.keys import Key
from framepack.storage.s3.client import attachment
from tests.support.s3_server import S3Server
from tests.support.storage_case import KEY, NAME, OpenS3


def download(url: str) -> tuple[bytes, Message]:
    """Fetch a presigned URL as anybody would."""
    with urllib.request.urlopen(url, timeout=20) as response:  # noqa: S310 - a server on loopback
        return response.read(), response.headers


def test_an_upload_carries_its_type_and_digest(open_s3: OpenS3, server: S3Server, bucket: str) -> None:
    """Other clients see the object below the prefix with its content type and SHA-256."""
    open_s3().put_bytes(KEY, b"data", content_type="video/mp4")
    head = server.client.head_object(Bucket=bucket, Key=NAME)
    assert head["ContentType"] == "video/mp4"
    assert list(head["Metadata"].values()) == [hashlib.sha256(b"data").hexdigest()]


def test_stores_with_different_prefixes_are_separate(open_s3: OpenS3, server: S3Server, bucket: str) -> None:
    """Neither neighbors nor names that are no keys are listed."""
    for name in ("worker/one-more/a", "worker/a", "worker/one/.hidden", "worker/one/ a", "worker/one/ok"):
        server.client.put_object(Bucket=bucket, Key=name, Body=b"")
    assert [str(found.key) for found in open_s3().list()] == ["ok"]
    assert "worker/one/ok" in [str(found.key) for found in open_s3(prefix="").list()]


@pytest.mark.parametrize("prefix", ["../x", "a//b", "a\\b"])
def test_a_prefix_must_be_a_key(open_s3: OpenS3, prefix: str) -> None:
    """The prefix follows the same rules as keys."""
    with pytest.raises(InvalidField):
        open_s3(prefix=prefix)


def test_a_link_downloads_the_object(open_s3: OpenS3, large: Path) -> None:
    """Anybody with the link gets the very bytes, under the name that was asked for."""
    storage = open_s3()
    stored = storage.put_file(KEY, large, content_type="video/mp4")
    url = storage.url(KEY, filename="Größe 1.mp4")
    assert url
    data, headers = download(url)
    assert hashlib.sha256(data).hexdigest() == stored.sha256
    assert headers["Content-Type"] == "video/mp4"
    assert headers.get_content_disposition() == "attachment"
    assert "filename*=UTF-8''Gr%C3%B6%C3%9Fe%201.mp4" in headers["Content-Disposition"]


def test_a_link_without_a_name_sets_none(open_s3: OpenS3) -> None:
    """Without a file name the object is shown as it is."""
    storage = open_s3()
    storage.put_bytes(KEY, b"data")
    data, headers = download(storage.url(KEY) or "")
    assert data == b"data"
    assert headers["Content-Disposition"] is None


@pytest.mark.parametrize(
    "tamper",
    [
        lambda url: re.sub("clip", "clap", url),
        lambda url: re.sub("X-Amz-Expires=60", "X-Amz-Expires=600", url),
        lambda url: re.sub("Signature=....", "Signature=0000", url),
        lambda url: url.partition("?")[0],
    ],
    ids=["other key", "longer life", "other signature", "no signature"],
)
def test_a_changed_link_is_refused(open_s3: OpenS3, tamper: Callable[[str], str]) -> None:
    """A link opens one object for one time and nothing else."""
    storage = open_s3()
    for key in (KEY, Key(str(KEY).replace("clip", "clap"))):
        storage.put_bytes(key, b"data")
    url = storage.url(KEY) or ""
    assert tamper(url) != url
    with pytest.raises(urllib.error.HTTPError) as refusal:
        download(tamper(url))
    assert refusal.value.code in {400, 403}
    refusal.value.close()


def test_a_link_ends_with_its_lifetime(open_s3: OpenS3) -> None:
    """After its time the link is refused."""
    storage = open_s3(url_lifetime_seconds=1)
    storage.put_bytes(KEY, b"data")
    url = storage.url(KEY) or ""
    assert "X-Amz-Expires=1&" in url
    time.sleep(2.1)  # the lifetime, and a second in which the link was signed
    with pytest.raises(urllib.error.HTTPError) as refusal:
        download(url)
    assert refusal.value.code in {400, 403}
    refusal.value.close()


def test_a_link_lives_at_most_seven_days(open_s3: OpenS3) -> None:
    """Longer lifetimes, which no store accepts, become seven days."""
    assert "X-Amz-Expires=604800&" in (open_s3(url_lifetime_seconds=10**7).url(KEY) or "")


@pytest.mark.parametrize("filename", ['a"; x="b.mp4', "a\r\nX: 1.mp4", "日本.mp4", "a%22.mp4", "\ud800.mp4", "a\\b"])
def test_no_file_name_breaks_out_of_its_header(filename: str) -> None:
    """Quotes, line breaks and other scripts stay inside the value."""
    assert re.fullmatch(
        r"attachment; filename=\"[^\"\\%\x00-\x1f\x7f-\uffff]+\"; filename\*=UTF-8''[A-Za-z0-9._~%-]+",
        attachment(filename),
    )
