"""The protocol of all stores, and the translation of file errors for clients."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from framepack.errors import DiskFull, FramepackError, NotFound, StorageFailed, StorageUnavailable, is_disk_full

if TYPE_CHECKING:
    from framepack.files.removed import RemovedFiles
    from framepack.storage.keys import Key

DEFAULT_CONTENT_TYPE = "application/octet-stream"
CHUNK_BYTES = 1 << 20

_AWAY = frozenset(
    {
        *(errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH),
        *(errno.ENETDOWN, errno.ENETUNREACH, errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED),
        *(errno.EREMOTEIO, errno.ENODEV, errno.ESHUTDOWN, errno.EAGAIN),
    }
)
"""What the system says about a network volume or a device that is away."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object in the store.

    Attributes:
        key: its name in the store.
        size_bytes: its length.
        modified: when it was last written, UTC.
        sha256: digest of its bytes in lower-case hexadecimal, if the store knows it without reading them; always set
            in the result of a ``put_...``.
    """

    key: Key
    size_bytes: int
    modified: datetime
    sha256: str | None = None


class Storage(Protocol):
    """Objects under keys; safe to use from many threads.

    A reader sees either the old or the new version of an object, never a mixture; the last writer wins. Every method
    raises ``StorageUnavailable`` when the store does not answer after a few seconds, ``StorageFailed`` when it
    refuses, and ``DiskFull`` when this machine's disk is full. See `framepack.storage.patience` for more patience.
    """

    def put_file(self, key: Key, path: Path, *, content_type: str = DEFAULT_CONTENT_TYPE) -> StoredObject:
        """Store a copy of the file; return once size and SHA-256 in the store have been verified."""
        ...

    def put_bytes(
        self, key: Key, data: bytes, *, content_type: str = DEFAULT_CONTENT_TYPE, private: bool = False
    ) -> StoredObject:
        """Store the bytes; return once size and SHA-256 in the store have been verified.

        Args:
            key: the object.
            data: its bytes.
            content_type: its media type.
            private: whether only the owner of the process may read it, in a store that has users of the system.
        """
        ...

    def read(self, key: Key) -> bytes:
        """Return the object's bytes.

        Raises:
            NotFound: the object does not exist.
        """
        ...

    def fetch(self, key: Key, to: Path) -> None:
        """Copy the object into the file ``to``, which is overwritten, and removed if the copy fails.

        Raises:
            NotFound: the object does not exist.
        """
        ...

    def read_part(self, stored: StoredObject, start: int, size_bytes: int) -> bytes:
        """Return bytes of an object that ``stat`` or a listing has described.

        Args:
            stored: the object.
            start: the first byte, counted from 0.
            size_bytes: how many, at least 1; all of them must exist.

        Raises:
            NotFound: the object does not exist any more.
            StorageFailed: it was replaced.
        """
        ...

    def list(self, folder: Key | None = None) -> Iterator[StoredObject]:
        """Yield all objects below the folder (None: the whole store), at any depth, sorted by key.

        A folder is matched by whole segments: ``a/b`` lists ``a/b/c`` but not ``a/bc``.
        """
        ...

    def folders(self, folder: Key) -> Iterator[str]:
        """Yield the names of the folders directly in this one that hold an object at any depth, sorted by key.

        Objects are not listed, so the cost depends on the number of folders only.
        """
        ...

    def stat(self, key: Key) -> StoredObject | None:
        """Describe the object; return None if it does not exist."""
        ...

    def delete(self, key: Key) -> bool:
        """Remove the object; return whether it existed."""
        ...

    def remove_partial_writes(self) -> RemovedFiles:
        """Remove partial writes of crashed processes and return what was removed. No object is touched."""
        ...

    def url(self, key: Key, *, filename: str | None = None) -> str | None:
        """Return an address that anybody can download the object from; None if the store has no such addresses.

        Args:
            key: the object; it need not exist.
            filename: the name under which browsers should save it, if the store supports that.
        """
        ...


def object_not_found() -> NotFound:
    """The error for an object that does not exist."""
    return NotFound("The stored file does not exist.")


def storage_error(error: OSError) -> FramepackError:
    """Translate an error of the operating system into DiskFull or StorageFailed."""
    if is_disk_full(error):
        return DiskFull("The disk is full; try again later or with a smaller video.")
    number = error.errno or 0
    reason = os.strerror(number).lower() if number else "unknown reason"
    sentence = f"The file store failed: {reason} ({errno.errorcode.get(number, 'unknown')})."
    return StorageUnavailable(sentence) if number in _AWAY else StorageFailed(sentence)


@contextlib.contextmanager
def removed_on_failure(path: Path) -> Iterator[None]:
    """Remove the file if the block raises."""
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def storage_errors() -> Iterator[None]:
    """Translate errors of the operating system; see `storage_error`."""
    try:
        yield
    except OSError as error:
        raise storage_error(error) from error
