"""What every store can do, whatever is behind it, and how trouble with files is told to a client."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from framepack.errors import DiskFull, FramepackError, NotFound, StorageFailed, is_disk_full

if TYPE_CHECKING:
    from framepack.files.removed import RemovedFiles
    from framepack.storage.keys import Key

DEFAULT_CONTENT_TYPE = "application/octet-stream"
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object in the store.

    Attributes:
        key: where it lies.
        size_bytes: its length.
        modified: when it was last written, UTC.
        sha256: digest of its bytes in lower-case hexadecimal, where the store knows it without reading them;
            always there in the answer to a ``put_...``.
    """

    key: Key
    size_bytes: int
    modified: datetime
    sha256: str | None = None


class Storage(Protocol):
    """Objects under keys; safe to use from many threads.

    A reader sees an object whole, old or new, never torn; the last writer wins. Every method raises ``StorageFailed``
    when the store does not do its part, and ``DiskFull`` when this machine's disk is full.
    """

    def put_file(self, key: Key, path: Path, *, content_type: str = DEFAULT_CONTENT_TYPE) -> StoredObject:
        """Store a copy of the file, which stays as it is; return once size and SHA-256 in the store are right."""
        ...

    def put_bytes(self, key: Key, data: bytes, *, content_type: str = DEFAULT_CONTENT_TYPE) -> StoredObject:
        """Store the bytes; return once size and SHA-256 in the store are right."""
        ...

    def read(self, key: Key) -> bytes:
        """Return the object's bytes.

        Raises:
            NotFound: there is no such object.
        """
        ...

    def fetch(self, key: Key, to: Path) -> None:
        """Copy the object into the file ``to``, which is replaced, or removed when the copy fails.

        Raises:
            NotFound: there is no such object.
        """
        ...

    def list(self, folder: Key | None = None) -> Iterator[StoredObject]:
        """Yield all objects below the folder (None: all of the store), at any depth, sorted by key.

        A folder is matched by whole segments: ``a/b`` lists ``a/b/c`` but not ``a/bc``.
        """
        ...

    def folders(self, folder: Key) -> Iterator[str]:
        """Yield the names of the folders directly in this one that hold an object at any depth, sorted by key.

        No object is listed for it: what it costs depends on the number of folders.
        """
        ...

    def stat(self, key: Key) -> StoredObject | None:
        """Describe the object, or return None when there is none."""
        ...

    def delete(self, key: Key) -> bool:
        """Remove the object; return whether it was there."""
        ...

    def remove_partial_writes(self) -> RemovedFiles:
        """Remove what writers that are dead left half done; return what that freed. No object is touched."""
        ...

    def url(self, key: Key, *, filename: str | None = None) -> str | None:
        """Return an address that anybody can download the object from, or None when the store has none.

        Args:
            key: the object; it need not exist.
            filename: the name that a browser should save it under, where the store can say so.
        """
        ...


def object_not_found() -> NotFound:
    """Return the error for an object that is not there."""
    return NotFound("The stored file does not exist.")


def storage_error(error: OSError) -> FramepackError:
    """Translate trouble with a file: no room, or a store that failed."""
    if is_disk_full(error):
        return DiskFull("The disk is full; try again later or with a smaller video.")
    number = error.errno or 0
    reason = os.strerror(number).lower() if number else "unknown reason"
    return StorageFailed(f"The file store failed: {reason} ({errno.errorcode.get(number, 'unknown')}).")


@contextlib.contextmanager
def removed_on_failure(path: Path) -> Iterator[None]:
    """Remove the file unless all went well."""
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def storage_errors() -> Iterator[None]:
    """Translate what the operating system refuses."""
    try:
        yield
    except OSError as error:
        raise storage_error(error) from error
