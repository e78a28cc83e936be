"""Unnamed temporary files for data too large for memory, free disk space, and errors of a full disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from framepack.errors import DiskFull, is_disk_full


def scratch_file(folder: Path) -> IO[bytes]:
    """Open a temporary file on the disk of ``folder`` for reading and writing; it disappears when it is closed."""
    return tempfile.TemporaryFile(dir=folder)


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk of ``folder``."""
    return shutil.disk_usage(folder).free


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
