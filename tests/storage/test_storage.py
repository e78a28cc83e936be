"""What holds for every store: one suite, run against a folder and against a real S3 server."""

from __future__ import annotations

import hashlib
import io
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from framepack.errors import NotFound, StorageFailed
from framepack.storage.base import Storage
from framepack.storage.keys import Key

MIB = 1 << 20
KEY = Key("postprocessed_output/saved_videos/clip.mp4")


def sha256(data: bytes) -> str:
    """Digest as the store gives it."""
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("size_bytes", [0, 1, MIB + 1, 12 * MIB])
def test_a_file_comes_back_as_it_was(storage: Storage, tmp_path: Path, size_bytes: int) -> None:
    """A file of any size, in one request or in parts, is stored, described, read and fetched unchanged."""
    data = random.Random(size_bytes).randbytes(size_bytes)  # noqa: S311 - no secret
    source, copy = tmp_path / "source.mp4", tmp_path / "copy.mp4"
    source.write_bytes(data)
    stored = storage.put_file(KEY, source, content_type="video/mp4")
    assert (stored.key, stored.size_bytes, stored.sha256) == (KEY, size_bytes, sha256(data))
    storage.fetch(KEY, copy)
    assert copy.read_bytes() == data
    assert storage.read(KEY) == data
    assert source.read_bytes() == data


def test_bytes_come_back_as_they_were(storage: Storage) -> None:
    """Bytes need no file."""
    stored = storage.put_bytes(KEY, b"{}", content_type="application/json")
    assert storage.read(KEY) == b"{}"
    assert (stored.size_bytes, stored.sha256) == (2, sha256(b"{}"))


def test_a_stored_copy_is_independent_of_its_source(storage: Storage, tmp_path: Path) -> None:
    """Changing or removing the source afterwards changes nothing in the store."""
    source = tmp_path / "source"
    source.write_bytes(b"before")
    storage.put_file(KEY, source)
    with source.open("r+b") as file:
        file.write(b"after!")
    source.unlink()
    assert storage.read(KEY) == b"before"


def test_the_last_write_wins(storage: Storage) -> None:
    """A second object under the same key takes the place of the first, longer or shorter."""
    for data in (b"first", b"the second", b"3"):
        storage.put_bytes(KEY, data)
        assert storage.read(KEY) == data
    assert [found.size_bytes for found in storage.list()] == [1]


def test_stat_describes_the_stored_object(storage: Storage) -> None:
    """Size and time are right, and so is the digest where the store knows it."""
    storage.put_bytes(KEY, b"12345")
    found = storage.stat(KEY)
    assert found is not None
    assert found.size_bytes == 5
    assert found.sha256 in {None, sha256(b"12345")}
    assert found.modified.tzinfo is UTC
    assert abs(found.modified - datetime.now(UTC)) < timedelta(minutes=10)


def test_a_missing_object_is_not_found(storage: Storage, tmp_path: Path) -> None:
    """Reading and fetching say so, a look-up gives None, and no empty file is left."""
    with pytest.raises(NotFound):
        storage.read(KEY)
    with pytest.raises(NotFound):
        storage.fetch(KEY, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert storage.stat(KEY) is None


def test_a_folder_is_not_an_object(storage: Storage) -> None:
    """A folder of objects cannot itself be read, described or deleted."""
    storage.put_bytes(KEY, b"1")
    folder = Key("postprocessed_output/saved_videos")
    assert storage.stat(folder) is None
    assert storage.delete(folder) is False
    with pytest.raises(NotFound):
        storage.read(folder)
    assert storage.read(KEY) == b"1"


def test_delete_returns_whether_the_object_existed(storage: Storage) -> None:
    """Deleting twice is no error, and others stay."""
    other = Key("postprocessed_output/saved_videos/other.mp4")
    storage.put_bytes(KEY, b"1")
    storage.put_bytes(other, b"2")
    assert storage.delete(KEY) is True
    assert storage.delete(KEY) is False
    assert storage.stat(KEY) is None
    assert storage.read(other) == b"2"


def test_a_listing_is_sorted_and_complete(storage: Storage) -> None:
    """Objects at any depth come sorted by their whole key, over several pages."""
    texts = ["a", "b/a", "b-a", "b.a", "b/a2", "B", "b/c/d", "é", "日本", "\uffee", "😀", "b+", "b 0", "b/%2e"]
    texts += [f"many/{index:03}" for index in range(120)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: storage.put_bytes(Key.parse(text), text.encode()), texts))
    found = list(storage.list())
    assert [str(item.key) for item in found] == sorted(texts)
    assert [item.size_bytes for item in found] == [len(str(item.key).encode()) for item in found]


def test_a_folder_lists_only_what_is_in_it(storage: Storage) -> None:
    """A folder whose name begins alike is another folder, and so is an object with the folder's own name."""
    for text in ("frames/a/1.png", "frames/a/deep/2.png", "frames/a-secret/3.png", "frames/ab", "other"):
        storage.put_bytes(Key(text), b"")
    assert [str(found.key) for found in storage.list(Key("frames/a"))] == ["frames/a/1.png", "frames/a/deep/2.png"]
    assert not list(storage.list(Key("frames/none")))
    assert not list(storage.list(Key("other")))


def test_the_folders_of_a_folder_are_listed_one_level_deep(storage: Storage) -> None:
    """Only folders that hold something count, each once, in the order of their keys; objects are no folders."""
    for text in ("in/b/1", "in/b/2", "in/b-a/1", "in/deep/er/1", "in/object", "in/ü 日本/1", "other/c/1"):
        storage.put_bytes(Key(text), b"")
    assert list(storage.folders(Key("in"))) == ["b-a", "b", "deep", "ü 日本"]
    storage.delete(Key("in/b-a/1"))
    storage.delete(Key("in/deep/er/1"))
    assert list(storage.folders(Key("in"))) == ["b", "ü 日本"]
    assert not list(storage.folders(Key("in/object")))
    assert not list(storage.folders(Key("none")))


def test_many_folders_are_listed(storage: Storage) -> None:
    """Their listing goes over several pages where the store has pages."""
    keys = [Key(f"in/{index:03}/{name}") for index in range(120) for name in "ab"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: storage.put_bytes(key, b""), keys))
    assert list(storage.folders(Key("in"))) == [f"{index:03}" for index in range(120)]


def test_an_empty_store_lists_nothing(storage: Storage) -> None:
    """There need not be anything before the first write."""
    assert not list(storage.list())
    assert not list(storage.folders(Key("in")))
    assert storage.delete(KEY) is False


@pytest.mark.parametrize("text", ["a b.mp4", "c+d.mp4", "ü/日本 😀.mp4", "100%2e.mp4", "q?x=1&y#z.mp4", "'\"*.mp4"])
def test_any_key_can_be_used(storage: Storage, text: str) -> None:
    """Characters with a meaning in addresses and shells are stored, listed and deleted like others."""
    key = Key.parse(text)
    storage.put_bytes(key, text.encode())
    assert storage.read(key) == text.encode()
    assert [found.key for found in storage.list()] == [key]
    assert storage.delete(key) is True


def test_many_threads_write_at_once(storage: Storage) -> None:
    """Sixteen writers of different keys all arrive."""
    start = threading.Barrier(16)

    def write(index: int) -> str:
        start.wait()
        data = bytes([index]) * (1000 + index)
        stored = storage.put_bytes(Key(f"new/folder/{index:02}"), data)
        assert stored.sha256 == sha256(data)
        return str(stored.key)

    with ThreadPoolExecutor(16) as pool:
        written = list(pool.map(write, range(16)))
    assert [str(found.key) for found in storage.list()] == written
    assert [storage.read(Key(text)) for text in written] == [bytes([i]) * (1000 + i) for i in range(16)]


def test_a_missing_source_file_stores_nothing(storage: Storage, tmp_path: Path) -> None:
    """The error names no path, and no object appears."""
    with pytest.raises(StorageFailed) as failure:
        storage.put_file(KEY, tmp_path / "gone.mp4")
    assert "gone" not in failure.value.message
    assert storage.stat(KEY) is None


def test_a_copy_that_fails_leaves_no_file(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fetch either gives the whole object or no file."""
    storage.put_bytes(KEY, bytes(3 * MIB))

    class Failing(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(5, "Input/output error")

    copy = tmp_path / "copy"
    copy.write_bytes(b"old")
    monkeypatch.setattr(Path, "open", lambda *_arguments: Failing())
    with pytest.raises(StorageFailed):
        storage.fetch(KEY, copy)
    assert not copy.exists()
