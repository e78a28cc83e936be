"""Objects whose names macOS has spelled: letters apart from their accents (NFD)."""

from __future__ import annotations

from datetime import UTC, datetime
from unicodedata import normalize

import pytest

from framepack.errors import NotFound
from framepack.job import Job
from framepack.storage.base import StoredObject
from framepack.storage.keys import Key
from framepack.storage.patience import Patience
from framepack.storage.patient import PatientStorage
from framepack.storage.s3.client import S3Tuning
from framepack.storage.s3.spellings import spellings
from tests.support.s3_outage import error
from tests.support.s3_proxy import Answer, Proxy, Request
from tests.support.s3_server import S3Server
from tests.support.storage_case import OpenS3

IMPATIENT = Patience(0.05, least_tries=2, first_pause_seconds=0.01, longest_pause_seconds=0.02)
FOLDER = Key("postprocessed_output/extracted_frames/Müll")
NAMES = ["a.png", "e.png", "é.png", "f.png", "z.png", "ü.png", "й.png", "가.png", "ж.png"]


def decomposed(text: object) -> str:
    """The spelling of macOS."""
    return normalize("NFD", str(text))


def put(server: S3Server, bucket: str, name: str, content: bytes = b"1") -> None:
    """Store an object as other programs do."""
    server.client.put_object(Bucket=bucket, Key=f"worker/one/{name}", Body=content)


def test_a_name_has_a_spelling_for_each_form_of_its_segments() -> None:
    """Letters without accents have one; of very many segments, not all are tried."""
    assert spellings("a/b.png") == ["a/b.png"]
    assert spellings("ж/b.png") == ["ж/b.png"]
    assert spellings("ü/b/é.png") == [
        f"{u}/b/{e}" for u in ("ü", decomposed("ü")) for e in ("é.png", decomposed("é.png"))
    ]
    assert len(spellings("/".join(["ü"] * 30))) == 16


def test_a_listing_in_both_spellings_is_sorted_and_complete(server: S3Server, bucket: str, open_s3: OpenS3) -> None:
    """Half of the names, and one of two folders of the same name, are from macOS."""
    storage = open_s3()
    for number, name in enumerate(NAMES):
        put(server, bucket, f"{FOLDER}/{name}" if number % 2 else decomposed(f"{FOLDER}/{name}"))
    put(server, bucket, decomposed(FOLDER / "é.png"))
    put(server, bucket, f"{FOLDER}/{decomposed('ж и/й.png')}")
    wanted = sorted([*(FOLDER / name for name in NAMES), Key(f"{FOLDER}/ж и/й.png")])
    assert [found.key for found in storage.list(FOLDER)] == wanted
    assert [found.key for found in storage.list()] == wanted
    assert list(storage.folders(Key("postprocessed_output/extracted_frames"))) == ["Müll"]
    assert list(storage.folders(FOLDER)) == ["ж и"]


def test_an_object_is_used_in_either_spelling(server: S3Server, bucket: str, open_s3: OpenS3) -> None:
    """It is described, read and deleted like any other."""
    storage, key = open_s3(), FOLDER / "é.png"
    assert storage.stat(key) is None
    put(server, bucket, decomposed(key), b"123")
    found = storage.stat(key)
    assert isinstance(found, StoredObject)
    assert (found.key, found.size_bytes, storage.read(key)) == (key, 3, b"123")
    assert storage.read_part(found, 1, 2) == b"23"
    assert found.modified <= datetime.now(UTC)
    assert storage.delete(key)
    assert not storage.delete(key)
    with pytest.raises(NotFound):
        storage.read(key)


def test_of_two_spellings_the_newer_one_counts_and_both_are_deleted(
    server: S3Server, bucket: str, open_s3: OpenS3
) -> None:
    """An object that the store replaces is in NFC; nothing old comes to light afterwards."""
    storage, key = open_s3(), FOLDER / "é.png"
    put(server, bucket, decomposed(key), b"old")
    assert storage.stat(key)
    storage.put_bytes(key, b"new")
    assert storage.read(key) == b"new"
    assert [found.size_bytes for found in storage.list(FOLDER)] == [3]
    assert "%CC" not in str(storage.url(key))
    assert storage.delete(key)
    assert list(storage.list()) == []


def test_a_listing_that_breaks_goes_on_with_names_in_both_spellings(
    server: S3Server, bucket: str, open_s3: OpenS3, proxy: Proxy
) -> None:
    """No name is left out or doubled."""
    for number, name in enumerate(NAMES):
        put(server, bucket, f"{FOLDER}/{decomposed(name) if number % 2 else name}")
    away, calls = error(503, "SlowDown"), 0

    def broken(request: Request) -> bool | Answer | None:
        nonlocal calls
        calls += "list-type" in request.query
        return away(request) if calls in range(3, 6) else None

    proxy.before = broken
    tuning = S3Tuning(patience=IMPATIENT, page_size=2, request_seconds=20)
    storage = PatientStorage(open_s3(proxy.endpoint_url, tuning=tuning), Job(), IMPATIENT)
    assert [found.key for found in storage.list(FOLDER)] == sorted(FOLDER / name for name in NAMES)
