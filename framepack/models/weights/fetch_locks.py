"""Keeps several threads and processes from fetching the same thing at the same time."""

from __future__ import annotations

import contextlib
import fcntl
import threading
from collections.abc import Iterator
from pathlib import Path


class FetchLocks:
    """Locks by name, held in files of a folder; the kernel releases a lock when its owner dies.

    Args:
        folder: must be there when a lock is taken.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks: dict[str, threading.Lock] = {}

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Wait until nobody else is inside with the same name."""
        flat = name.replace("/", "--")
        # A thread lock as well: on network volumes a file lock may belong to the whole process.
        with (
            self._locks.setdefault(flat, threading.Lock()),
            (self._folder / f".{flat}.lock").open("w") as lock,
        ):
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
