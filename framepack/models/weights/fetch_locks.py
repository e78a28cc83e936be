"""Locks that keep threads and processes from downloading the same file at the same time."""

from __future__ import annotations

import contextlib
import fcntl
import threading
from collections.abc import Iterator
from pathlib import Path


class FetchLocks:
    """Named locks, stored as lock files in a folder. The kernel releases a lock when its owner dies.

    Args:
        folder: Must exist when a lock is acquired.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks: dict[str, threading.Lock] = {}

    @contextlib.contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Hold the lock of this name for the block; wait for it if another thread or process holds it."""
        flat = name.replace("/", "--")
        # A thread lock is needed too: on network volumes a file lock may belong to the whole process.
        with (
            self._locks.setdefault(flat, threading.Lock()),
            (self._folder / f".{flat}.lock").open("w") as lock,
        ):
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
