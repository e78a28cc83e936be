"""Processes that may not write everywhere, whoever runs the tests: root without the right to pass by permissions."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_LESS = "-dac_override,-dac_read_search"


def as_ordinary_user() -> list[str]:
    """What to put before a command so that it meets permissions as ordinary users do."""
    if os.geteuid():
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root passes by permissions, and setpriv is not there")
    return [setpriv, f"--bounding-set={_LESS}", f"--inh-caps={_LESS}"]


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """An empty file system in memory, mounted at ``folder``; skips the test for those who may not mount."""
    folder.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("may not mount a file system here")
    try:
        yield folder
    finally:
        subprocess.run(["/bin/umount", str(folder)], check=True)
