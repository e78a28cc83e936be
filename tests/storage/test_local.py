"""The store in a folder: crashes, links, pipes, a full disk."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from framepack.errors import DiskFull, NotFound, StorageFailed, StorageUnavailable
from framepack.storage.base import storage_error
from framepack.storage.keys import Key
from framepack.storage.local import LocalStorage

MIB = 1 << 20
KEY = Key("folder/clip.mp4")
KILLS = 50

# A child that overwrites one object forever; run once per kill, forked from a process without threads.
KILLED_WRITERS = """
import os, random, signal, sys, time
from pathlib import Path
from framepack.storage.keys import Key
from framepack.storage.local import LocalStorage

root, kills, size_bytes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
key = Key("folder/clip.mp4")
versions = [b"a" * size_bytes, b"b" * (size_bytes + 1)]
LocalStorage(root).put_bytes(key, versions[0])
torn = 0
for kill in range(kills):
    child = os.fork()
    if not child:
        storage = LocalStorage(root)
        while True:
            for data in versions:
                storage.put_bytes(key, data)
    time.sleep(random.uniform(0.002, 0.02))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    torn += LocalStorage(root).read(key) not in versions
print(torn)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The store's folder."""
    return tmp_path / "store"


@pytest.fixture
def local(root: Path) -> LocalStorage:
    """An empty store."""
    return LocalStorage(root)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that the store has no business in, with a secret."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "clip.mp4").write_bytes(b"secret")
    return folder


def temporary_files(root: Path) -> list[Path]:
    """What is in the store's folder that is no object."""
    return [path for path in root.rglob("*") if path.is_file() and path != root / str(KEY)]


def test_a_killed_writer_leaves_the_old_object_or_the_new(root: Path) -> None:
    """No kill tears the object; what killed writers left is never listed, and removed when the store is opened."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WRITERS, root, str(KILLS), str(2 * MIB)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "0", "some reads gave neither the old nor the new object"
    assert temporary_files(root), "no kill hit a writer at work"
    assert [found.key for found in LocalStorage(root).list()] == [KEY]
    LocalStorage(root, stale_after_seconds=0)
    assert not temporary_files(root)


def test_many_threads_write_the_same_key(local: LocalStorage) -> None:
    """Every writer succeeds, and what stays is one of the versions, whole."""
    versions = [bytes([index]) * (10_000 + index) for index in range(8)]
    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(lambda data: local.put_bytes(KEY, data), versions))
    assert [item.sha256 for item in stored] == [hashlib.sha256(data).hexdigest() for data in versions]
    assert local.read(KEY) in versions


def test_only_partial_writes_of_crashed_writers_are_removed(root: Path, local: LocalStorage) -> None:
    """Opening the store disturbs neither a writer at work nor, for a while, what may be one on another machine."""

    class Source(io.BytesIO):
        def read(self, size_bytes: int | None = -1) -> bytes:
            LocalStorage(root, stale_after_seconds=0)  # another worker starts while this one writes
            return super().read(size_bytes)

    local._put(KEY, Source(b"whole"), 5)
    assert local.read(KEY) == b"whole"
    young = root / ".incoming" / "young"
    young.write_bytes(b"")
    LocalStorage(root)
    assert young.exists()
    os.utime(young, (0, 0))
    LocalStorage(root)
    assert not young.exists()


def test_a_linked_folder_is_not_entered(local: LocalStorage, root: Path, outside: Path) -> None:
    """Nothing is listed, read, described, written or deleted through a link to a folder."""
    root.mkdir()
    (root / "folder").symlink_to(outside)
    assert not list(local.list())
    assert not list(local.list(Key("folder")))
    assert local.stat(KEY) is None
    with pytest.raises(NotFound):
        local.read(KEY)
    with pytest.raises(StorageFailed):
        local.put_bytes(KEY, b"changed")
    assert local.delete(KEY) is False
    assert (outside / "clip.mp4").read_bytes() == b"secret"
    assert len(list(outside.iterdir())) == 1


def test_an_emptied_folder_is_removed(local: LocalStorage, root: Path) -> None:
    """The last object of a folder takes it along, and those around it that hold nothing else, but not the store."""
    for text in ("a/b/c/1", "a/b/c/2", "a/other"):
        local.put_bytes(Key(text), b"")
    local.delete(Key("a/b/c/1"))
    assert (root / "a/b/c").is_dir()
    local.delete(Key("a/b/c/2"))
    assert not (root / "a/b").exists()
    local.delete(Key("a/other"))
    assert [path.name for path in root.iterdir()] == [".incoming"]


def test_no_write_is_lost_to_the_removal_of_its_folder(local: LocalStorage) -> None:
    """Writers into a folder that others keep emptying all arrive."""

    def write_and_delete(worker: int) -> None:
        for number in range(100):
            key = Key(f"a/b/{worker}-{number}")
            local.put_bytes(key, b"here")
            assert local.read(key) == b"here"
            assert local.delete(key)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write_and_delete, range(4)))
    assert not list(local.list())


def test_linked_folders_are_not_listed(local: LocalStorage, root: Path, outside: Path) -> None:
    """Neither a link to a folder nor a folder with nothing but links and pipes is listed as a folder."""
    local.put_bytes(Key("in/real/1"), b"")
    (root / "in" / "linked").symlink_to(outside)
    (root / "in" / "only_links").mkdir()
    (root / "in" / "only_links" / "file").symlink_to(outside / "clip.mp4")
    (root / "in" / "only_links" / "folder").symlink_to(outside)
    os.mkfifo(root / "in" / "only_links" / "pipe")
    assert list(local.folders(Key("in"))) == ["real"]


def test_a_symbolic_link_is_not_an_object(local: LocalStorage, root: Path, outside: Path, tmp_path: Path) -> None:
    """A link in an object's place is not followed; writing replaces the link and not what it leads to."""
    link = root / str(KEY)
    link.parent.mkdir(parents=True)
    link.symlink_to(outside / "clip.mp4")
    assert not list(local.list())
    assert local.stat(KEY) is None
    assert local.delete(KEY) is False
    with pytest.raises(NotFound):
        local.read(KEY)
    with pytest.raises(NotFound):
        local.fetch(KEY, tmp_path / "copy")
    local.put_bytes(KEY, b"ours")
    assert local.read(KEY) == b"ours"
    assert (outside / "clip.mp4").read_bytes() == b"secret"


def test_a_linked_folder_for_temporary_files_is_refused(local: LocalStorage, root: Path, outside: Path) -> None:
    """Neither the sweep nor a write goes through a link in the place of the folder for temporary files."""
    root.mkdir()
    (root / ".incoming").symlink_to(outside)
    LocalStorage(root, stale_after_seconds=0)
    with pytest.raises(StorageFailed):
        local.put_bytes(KEY, b"1")
    assert (outside / "clip.mp4").read_bytes() == b"secret"


def test_a_hard_link_keeps_its_other_names(local: LocalStorage, root: Path, outside: Path) -> None:
    """Overwriting or deleting one name of a file leaves the others as they are."""
    for change in (lambda: local.put_bytes(KEY, b"changed"), lambda: local.delete(KEY)):
        path = root / str(KEY)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.hardlink_to(outside / "clip.mp4")
        change()
        assert (outside / "clip.mp4").read_bytes() == b"secret"


def test_pipes_and_sockets_are_not_objects(local: LocalStorage, root: Path, tmp_path: Path) -> None:
    """Nobody waits at a pipe, and nothing but a file is listed, read or deleted."""
    path = root / str(KEY)
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    (root / "frame_000000.png").mkdir()
    assert not list(local.list())
    assert local.stat(KEY) is None
    assert local.delete(KEY) is False
    for missing in (KEY, Key("frame_000000.png")):
        with pytest.raises(NotFound):
            local.read(missing)
    with pytest.raises(StorageFailed):
        local.put_bytes(Key("frame_000000.png"), b"1")
    assert path.is_fifo()


def test_files_with_invalid_names_are_not_listed(local: LocalStorage, root: Path) -> None:
    """Hidden and undecodable names of others are passed over."""
    local.put_bytes(KEY, b"1")
    (root / ".hidden").write_bytes(b"1")
    (Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe"))).write_bytes(b"1")
    assert [found.key for found in local.list()] == [KEY]


def test_a_full_disk_is_reported_and_nothing_remains(small_disk: Path, tmp_path: Path) -> None:
    """A file that does not fit leaves the old object, no temporary file, and room for what does fit."""
    source = tmp_path / "source"
    source.write_bytes(random.Random(1).randbytes(3 * MIB))  # noqa: S311 - no secret
    local = LocalStorage(small_disk)
    local.put_bytes(KEY, b"old")
    with pytest.raises(DiskFull):
        local.put_file(KEY, source)
    assert local.read(KEY) == b"old"
    assert not temporary_files(small_disk)
    local.put_bytes(KEY, bytes(MIB))
    assert local.read(KEY) == bytes(MIB)


def test_a_download_to_a_full_disk_is_reported_and_removed(small_disk: Path, local: LocalStorage) -> None:
    """Fetching to a full disk leaves no part of the file."""
    local.put_bytes(KEY, bytes(3 * MIB))
    with pytest.raises(DiskFull):
        local.fetch(KEY, small_disk / "copy")
    assert not list(small_disk.iterdir())


@pytest.mark.parametrize("call", ["fsync", "rename", "mkdir"])
@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, StorageFailed)]
)
def test_a_failure_of_any_system_call_leaves_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, error: type[Exception]
) -> None:
    """Room may run out at any step; the error names no path and no temporary file stays."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number), "/secret/path")

    local = LocalStorage(root)
    root.mkdir()
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(error, match=r"^The (disk is full|file store failed)") as failure:
        local.put_bytes(KEY, b"new")
    assert "secret" not in str(failure.value)
    monkeypatch.undo()
    assert not [path for path in root.rglob("*") if path.is_file()]


def test_a_source_on_another_file_system_is_stored(local: LocalStorage, small_disk: Path) -> None:
    """The source need not share a disk with the store."""
    source = small_disk / "clip.mp4"
    source.write_bytes(b"from elsewhere")
    local.put_file(KEY, source)
    assert local.read(KEY) == b"from elsewhere"
    assert source.exists()


def test_a_source_that_changes_meanwhile_is_refused(local: LocalStorage, tmp_path: Path) -> None:
    """When what was read is not what the file's size said, the old object stays."""
    local.put_bytes(KEY, b"old")
    with (tmp_path / "source").open("w+b") as source:
        source.write(b"short")
        source.seek(0)
        with pytest.raises(StorageFailed, match="changed while"):
            local._put(KEY, source, 6)
    assert local.read(KEY) == b"old"
    assert temporary_files(local._root) == []


def test_the_store_itself_may_be_a_link(tmp_path: Path, outside: Path) -> None:
    """Who sets the store up may point it anywhere; only links inside it are refused."""
    (tmp_path / "link").symlink_to(outside)
    local = LocalStorage(tmp_path / "link")
    local.put_bytes(KEY, b"1")
    assert (outside / str(KEY)).read_bytes() == b"1"


def test_without_a_link_function_there_is_no_url(root: Path) -> None:
    """With somebody who makes links an object has one, without it has none."""
    assert LocalStorage(root).url(KEY) is None
    assert LocalStorage(root, lambda key: f"https://host/{key}").url(KEY, filename="x.mp4") == f"https://host/{KEY}"


def test_the_folder_is_made_on_the_first_write(root: Path, local: LocalStorage) -> None:
    """Opening and reading a store leaves the disk as it was."""
    assert local.stat(KEY) is None
    assert not root.exists()
    local.put_bytes(KEY, b"1")
    assert (root / str(KEY)).stat().st_mode & 0o111 == 0


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "permission denied (EACCES)"),
        (errno.EROFS, "read-only file system (EROFS)"),
        (errno.EIO, "input/output error (EIO)"),
        (0, "unknown reason (unknown)"),
    ],
)
def test_disk_errors_become_messages(number: int, words: str) -> None:
    """A client reads what happened, and no path of the worker."""
    error = storage_error(OSError(number, "no matter what", "/secret/path"))

    assert error.message == f"The file store failed: {words}."


def test_a_volume_that_is_not_mounted_is_away_and_not_empty(small_disk: Path) -> None:
    """In the place of its volume is an empty folder; nothing is read from it, and nothing is written into it."""
    root = small_disk / "store"
    storage = LocalStorage(root)
    storage.put_bytes(KEY, b"1")
    subprocess.run(["/bin/umount", small_disk], check=True)
    try:
        calls: list[Callable[[], object]] = [
            lambda: storage.read(KEY),
            lambda: storage.stat(KEY),
            lambda: list(storage.list()),
            lambda: list(storage.folders(KEY)),
            lambda: storage.delete(KEY),
            lambda: storage.put_bytes(KEY, b"2"),
        ]
        for call in calls:
            with pytest.raises(StorageUnavailable, match="ENODEV"):
                call()
        assert list(small_disk.iterdir()) == []
    finally:
        subprocess.run(["/bin/mount", "-t", "tmpfs", "tmpfs", small_disk], check=True)
    storage.put_bytes(KEY, b"3")
    assert storage.read(KEY) == b"3"


@pytest.mark.parametrize("umask", [0o022, 0o000])
def test_a_private_object_is_readable_by_its_owner_only(tmp_path: Path, umask: int) -> None:
    """Whatever the process's umask is; others follow the umask."""
    storage = LocalStorage(tmp_path / "store")
    before = os.umask(umask)
    try:
        storage.put_bytes(KEY, b"1", private=True)
        storage.put_bytes(Key("a/b"), b"1")
    finally:
        os.umask(before)
    assert (tmp_path / "store" / str(KEY)).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "store/a/b").stat().st_mode & 0o777 == 0o666 & ~umask


def test_only_the_part_of_the_version_that_was_described_is_read(tmp_path: Path) -> None:
    """A part of a replaced object is refused."""
    storage = LocalStorage(tmp_path / "store")
    stored = storage.put_bytes(KEY, b"0123456789")
    assert storage.read_part(stored, 3, 4) == b"3456"
    storage.put_bytes(KEY, b"other bytes")
    with pytest.raises(StorageFailed, match="replaced"):
        storage.read_part(stored, 3, 4)
