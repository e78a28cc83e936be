"""Unnamed temporary files for data too large for memory, free disk space, and errors of a full disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from framepack.errors import DiskFull, is_disk_full
from framepack.units import MB


def scratch_file(folder: Path) -> IO[bytes]:
    """Open a temporary file on the disk of ``folder`` for reading and writing; it disappears when it is closed."""
    return tempfile.TemporaryFile(dir=folder)


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk of ``folder``."""
    return shutil.disk_usage(folder).free


def require_free(folder: Path, size_bytes: int) -> None:
    """Check that the disk of ``folder`` has ``size_bytes`` free.

    Raises:
        DiskFull: It has not.
    """
    free = free_bytes(folder)
    if free < size_bytes:
        raise DiskFull(f"The job needs {size_bytes / MB:.0f} MB of disk; the worker has {free / MB:.0f} MB left.")


@contextmanager
def disk_errors() -> Iterator[None]:
    """Translate the system's and FFmpeg's errors of a full disk.

    Raises:
        DiskFull: The disk is full.
    """
    try:
        yield
    except Exception as error:
        if is_disk_full(error):
            raise DiskFull("The worker's disk has no room for the output.") from error
        raise
