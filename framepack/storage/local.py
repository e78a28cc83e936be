"""A store in a folder of this machine or of a network volume.

Objects are written to a temporary file, flushed to the disk and renamed into place: after a crash, either the old or
the new object is there. Symbolic links inside the folder are never followed, and only regular files are objects. (A
hard link is a regular file: overwriting or deleting it does not change the file under its other names.)
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from unicodedata import normalize

from framepack.errors import InvalidField, StorageFailed
from framepack.files.removed import RemovedFiles
from framepack.storage.base import (
    CHUNK_BYTES,
    DEFAULT_CONTENT_TYPE,
    StoredObject,
    object_not_found,
    removed_on_failure,
    storage_errors,
)
from framepack.storage.keys import Key

_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
_TRIES = 100
_READABLE = 0o666  # as far as the process's umask allows
_PRIVATE = 0o600
_INCOMING = ".incoming"  # no key starts with a dot
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OBJECT = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # non-blocking: opening a FIFO must not hang


class LocalStorage:
    """Objects as files below ``root``, which is created on the first write.

    Opening the store removes temporary files of crashed writers: files that are unlocked and have not changed for a
    while (on some network volumes, locks do not work across machines).

    Args:
        root: the folder; may itself be a symbolic link.
        link: returns the URL under which the REST server serves an object; without it, objects have no URLs.
        stale_after_seconds: minimum age before a temporary file is removed.
    """

    def __init__(
        self, root: Path, link: Callable[[Key], str | None] | None = None, *, stale_after_seconds: float = 900
    ) -> None:
        self._root = root.absolute()
        self._link = link
        self._stale_after_seconds = stale_after_seconds
        self._mount_point = _mount_point(self._root)
        self.remove_partial_writes()

    def put_file(self, key: Key, path: Path, *, content_type: str = DEFAULT_CONTENT_TYPE) -> StoredObject:
        """Copy the file into place; see `Storage.put_file`. The source may be on any file system."""
        del content_type  # files have no content type; it is derived from the extension when they are served
        with storage_errors(), path.open("rb") as source:
            return self._put(key, source, os.fstat(source.fileno()).st_size)

    def put_bytes(
        self, key: Key, data: bytes, *, content_type: str = DEFAULT_CONTENT_TYPE, private: bool = False
    ) -> StoredObject:
        """Write the bytes into place; see `Storage.put_bytes`."""
        del content_type
        with storage_errors():
            return self._put(key, io.BytesIO(data), len(data), _PRIVATE if private else _READABLE)

    def read(self, key: Key) -> bytes:
        """Return the object's bytes; see `Storage.read`."""
        with storage_errors(), self._open(key) as file:
            return file.read()

    def fetch(self, key: Key, to: Path) -> None:
        """Copy the object into a file; see `Storage.fetch`."""
        with storage_errors(), self._open(key) as file, removed_on_failure(to), to.open("wb") as copy:
            while chunk := file.read(CHUNK_BYTES):
                copy.write(chunk)

    def read_part(self, stored: StoredObject, start: int, size_bytes: int) -> bytes:
        """Return bytes of the object; see `Storage.read_part`."""
        with storage_errors(), self._open(stored.key) as file:
            if _stored(stored.key, os.fstat(file.fileno())) != replace(stored, sha256=None):
                raise StorageFailed("The object was replaced.")
            return os.pread(file.fileno(), size_bytes, start)

    def list(self, folder: Key | None = None) -> Iterator[StoredObject]:
        """Yield the objects below the folder; see `Storage.list`."""
        with storage_errors():
            entries = self._entries(folder)
        # "a-b" sorts before "a/b", so folders are sorted with their slash.
        for name, status in sorted(entries, key=lambda entry: f"{entry[0]}/" if _is_folder(entry[1]) else entry[0]):
            try:
                key = Key(f"{folder}/{name}" if folder else name)
            except InvalidField:
                continue
            if _is_folder(status):
                yield from self.list(key)
            elif stat.S_ISREG(status.st_mode):
                yield _stored(key, status)

    def folders(self, folder: Key) -> Iterator[str]:
        """Yield the names of the folders in this one that are not empty; see `Storage.folders`."""
        with storage_errors():
            names = [name for name, status in self._entries(folder) if _is_folder(status)]
        for name in sorted(names, key=lambda name: f"{name}/"):
            with contextlib.suppress(InvalidField):
                if self._holds_object(Key(f"{folder}/{name}")):
                    yield name

    def stat(self, key: Key) -> StoredObject | None:
        """Describe the object; see `Storage.stat`."""
        with storage_errors(), _IgnoreMissing(), self._folder(key.segments[:-1]) as folder:
            status = os.stat(_actual(key.name, folder), dir_fd=folder, follow_symlinks=False)
            return _stored(key, status) if stat.S_ISREG(status.st_mode) else None
        return None

    def delete(self, key: Key) -> bool:
        """Remove the object, and its folder if that is empty then; see `Storage.delete`."""
        with storage_errors(), _IgnoreMissing(), self._folder(key.segments[:-1]) as folder:
            name = _actual(key.name, folder)
            if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=folder)
                self._prune(key.segments[:-1])
                return True
        return False

    def remove_partial_writes(self) -> RemovedFiles:
        """Remove temporary files of crashed writers; see `Storage.remove_partial_writes`."""
        removed = RemovedFiles()
        with storage_errors(), _IgnoreMissing(), self._folder((_INCOMING,)) as incoming:
            for name in os.listdir(incoming):  # noqa: PTH208 - pathlib cannot list a file descriptor
                with _IgnoreMissing(), os.fdopen(os.open(name, _OBJECT, dir_fd=incoming), "rb") as file:
                    status = os.fstat(file.fileno())
                    young = time.time() - status.st_mtime < self._stale_after_seconds
                    if not young and not _is_locked(file):
                        os.unlink(name, dir_fd=incoming)
                        removed += RemovedFiles(1, status.st_size)
        return removed

    def url(self, key: Key, *, filename: str | None = None) -> str | None:
        """Return the object's URL at the REST server; browsers save it under its own name."""
        del filename
        return self._link(key) if self._link else None

    def _put(self, key: Key, source: BinaryIO, size_bytes: int, mode: int = _READABLE) -> StoredObject:
        """Write ``size_bytes`` of the source to a temporary file and rename it into place."""
        with self._folder((_INCOMING,), create=True) as incoming, _temporary(incoming, mode) as (name, file):
            sha256 = _copy(source, file)
            file.flush()
            os.fsync(file.fileno())
            status = os.fstat(file.fileno())
            if status.st_size != size_bytes:
                raise StorageFailed("The file changed while it was being stored.")
            self._place(name, incoming, key)
        return replace(_stored(key, status), sha256=sha256)

    def _place(self, name: str, incoming: int, key: Key) -> None:
        """Rename a temporary file to an object; try again if a concurrent delete removes the folder."""
        for tries_left in reversed(range(_TRIES)):
            try:
                with self._folder(key.segments[:-1], create=True) as folder:
                    os.rename(name, _actual(key.name, folder), src_dir_fd=incoming, dst_dir_fd=folder)
                    os.fsync(folder)
                    return
            except FileNotFoundError:
                if not tries_left:
                    raise

    def _prune(self, segments: tuple[str, ...]) -> None:
        """Remove a folder that has become empty, and its parents that become empty with it."""
        with contextlib.suppress(OSError):  # it is not empty, or another process has removed it
            for depth in range(len(segments), 0, -1):
                with self._folder(segments[: depth - 1]) as parent:
                    os.rmdir(_actual(segments[depth - 1], parent), dir_fd=parent)

    def _open(self, key: Key) -> BinaryIO:
        """Open the object for reading, or raise NotFound."""
        try:
            with self._folder(key.segments[:-1]) as folder:
                file = os.fdopen(os.open(_actual(key.name, folder), _OBJECT, dir_fd=folder), "rb")
        except OSError as error:
            if error.errno in _MISSING or error.errno == errno.EISDIR:
                raise object_not_found() from error
            raise
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
        raise object_not_found()

    def _entries(self, folder: Key | None) -> tuple[tuple[str, os.stat_result], ...]:
        """Read one folder completely, so that it is closed while the caller uses the entries; names are NFC."""
        found = {}
        with (
            _IgnoreMissing(),
            self._folder(folder.segments if folder else ()) as descriptor,
            os.scandir(descriptor) as entries,
        ):
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    name = normalize("NFC", entry.name)
                    if name == entry.name or name not in found:  # of two forms of a name, the NFC form counts
                        found[name] = entry.stat(follow_symlinks=False)
        return tuple(found.items())

    def _holds_object(self, folder: Key) -> bool:
        """Whether there is an object in the folder, at any depth."""
        inner = []
        with (
            storage_errors(),
            _IgnoreMissing(),
            self._folder(folder.segments) as descriptor,
            os.scandir(descriptor) as entries,
        ):
            for entry in entries:
                with contextlib.suppress(InvalidField):
                    key = Key.parse(f"{folder}/{entry.name}")
                    if entry.is_file(follow_symlinks=False):
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        inner.append(key)
        return any(self._holds_object(key) for key in inner)

    @contextlib.contextmanager
    def _folder(self, segments: tuple[str, ...], *, create: bool = False) -> Iterator[int]:
        """Open a folder below the root and yield its file descriptor.

        It is opened segment by segment, relative to the parent's descriptor and with O_NOFOLLOW, so that neither a
        symbolic link nor a rename by another process can lead outside of the root.
        """
        if self._mount_point is not None and not self._mount_point.is_mount():
            raise OSError(errno.ENODEV, "the volume is not mounted")  # an empty folder in its place is not the store
        if create:
            self._root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._root, _FOLDER & ~os.O_NOFOLLOW)
        try:
            for each in segments:
                segment = _actual(each, descriptor)
                if create:
                    _make_folder(segment, descriptor)
                inner = os.open(segment, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)


def _mount_point(root: Path) -> Path | None:
    """The folder at which the volume of the store is mounted; None for the root file system."""
    root = root.resolve()
    found = next(folder for folder in (root, *root.parents) if folder.is_mount())
    return found if found.parent != found else None


@contextlib.contextmanager
def _temporary(folder: int, mode: int) -> Iterator[tuple[str, BinaryIO]]:
    """Create a locked file with a new name; remove it if the block raises."""
    name = secrets.token_hex(16)
    try:
        with os.fdopen(os.open(name, _NEW, mode, dir_fd=folder), "wb") as file:
            with contextlib.suppress(OSError):  # a file system without locks: only the age of the file counts
                fcntl.flock(file, fcntl.LOCK_EX)
            yield name, file
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        raise


def _copy(source: BinaryIO, to: BinaryIO) -> str:
    """Copy all bytes; return their SHA-256."""
    digest = hashlib.sha256()
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        to.write(chunk)
    return digest.hexdigest()


def _stored(key: Key, status: os.stat_result) -> StoredObject:
    return StoredObject(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _actual(name: str, folder: int) -> str:
    """The name of an entry as it is stored: that of a file from macOS may have decomposed letters (NFD)."""
    decomposed = normalize("NFD", name)
    if decomposed == name or _exists(name, folder) or not _exists(decomposed, folder):
        return name
    return decomposed


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True


def _is_folder(status: os.stat_result) -> bool:
    return stat.S_ISDIR(status.st_mode)


def _is_locked(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    return False


def _make_folder(name: str, parent: int) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent)
        os.fsync(parent)


class _IgnoreMissing(contextlib.AbstractContextManager[None]):
    """Ignores names that do not exist or are not objects, such as links and pipes.

    A generator that ends an error would keep it, and what its callers hold, until the next garbage collection.
    """

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> bool:
        return isinstance(error, OSError) and error.errno in _MISSING
