"""Files without a name for what is too large for memory: gone when closed, and a full disk is said plainly."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from framepack.errors import DiskFull, is_disk_full


def scratch_file(folder: Path) -> IO[bytes]:
    """Open a new file on the disk of ``folder`` for writing and reading; nothing remains of it once it is closed."""
    return tempfile.TemporaryFile(dir=folder)


def free_bytes(folder: Path) -> int:
    """Room on the disk of ``folder``."""
    return shutil.disk_usage(folder).free


@contextmanager
def disk_errors() -> Iterator[None]:
    """Translate the errors of a full disk, the system's and FFmpeg's.

    Raises:
        DiskFull: there was no room left.
    """
    try:
        yield
    except Exception as error:
        if is_disk_full(error):
            raise DiskFull("The worker's disk has no room for the output.") from error
        raise
