"""The folder for the files of one job. It is private, removed when the job ends, and cleaned up after a crash."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final, Self
from uuid import uuid4

from framepack.files.removed import RemovedFiles
from framepack.files.scratch import require_free

_PREFIX: Final = "job-"
_LOCK_SUFFIX: Final = ".lock"


class Workspace:
    """A new folder under ``root`` that only this user can read; use it in a ``with`` statement.

    A lock file with the folder's name and the extension ``.lock`` is locked while the job runs. The system releases
    the lock when the process ends, however it ends and on whatever host it ran. This is how ``remove_stale`` tells
    folders of crashed jobs from those of running ones. The lock file holds the process id, for people.

    The folder itself is created when it is first asked for: most requests of the REST server, such as lists of
    presets, have no files, and removing a folder takes longer than everything else that they do.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder: Path | None = None
        self._lock: int | None = None
        self._used_names: set[str] = set()
        self._naming = threading.Lock()

    @property
    def folder(self) -> Path:
        """The folder; only while the workspace is entered."""
        if self._folder is None:
            raise RuntimeError("The workspace is not open.")
        self._folder.mkdir(mode=0o700, exist_ok=True)
        return self._folder

    def __enter__(self) -> Self:
        """Lock the folder's name."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = None
        while lock is None:
            folder = self._root / (_PREFIX + uuid4().hex)
            lock = _create_lock(folder.with_suffix(_LOCK_SUFFIX))
        self._lock = lock
        self._folder = folder
        return self

    def __exit__(self, *_exception: object) -> None:
        """Remove the folder, if it was created, and everything in it."""
        if self._folder is None or self._lock is None:
            return
        _remove(self._folder, self._lock)
        self._folder = self._lock = None

    def path(self, name: str) -> Path:
        """Return a path inside that was not returned before: ``name``, or ``name`` with a number before its suffix.

        Threads may ask at the same time.

        Raises:
            ValueError: ``name`` is not the name of a file.
        """
        if name != Path(name).name or name in {"", ".", ".."}:
            raise ValueError(f"{name!r} is not the name of a file")
        stem, suffix, number = Path(name).stem, Path(name).suffix, 1
        candidate = name
        with self._naming:
            while candidate in self._used_names:
                number += 1
                candidate = f"{stem}-{number}{suffix}"
            self._used_names.add(candidate)
        return self.folder / candidate

    def clear(self) -> None:
        """Remove all files inside; none of them may be in use."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def require_free(self, size_bytes: int) -> None:
        """Check that the disk has ``size_bytes`` free.

        Raises:
            DiskFull: It has not.
        """
        require_free(self.folder, size_bytes)


def remove_stale(root: Path) -> RemovedFiles:
    """Remove the folders of crashed jobs under ``root``, and return what was in them.

    It never touches the folder of a running job, of this process or of another.
    """
    removed = RemovedFiles()
    for path in root.glob(f"{_PREFIX}*{_LOCK_SUFFIX}"):
        lock = _take_lock(path)
        if lock is not None:
            removed += _content(path.with_suffix(""))
            _remove(path.with_suffix(""), lock)
    return removed


def count_running(root: Path) -> int:
    """Count the running jobs that have a folder under ``root``."""
    count = 0
    for path in root.glob(f"{_PREFIX}*{_LOCK_SUFFIX}"):
        lock = _take_lock(path)
        if lock is not None:
            os.close(lock)
        elif path.exists():
            count += 1
    return count


def _create_lock(path: Path) -> int | None:
    """Create ``path`` and lock it; None if ``remove_stale`` removed it before it was locked."""
    lock = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not os.fstat(lock).st_nlink:
        os.close(lock)
        return None
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def _take_lock(path: Path) -> int | None:
    """Lock the existing file ``path``; None if it is locked or gone."""
    try:
        lock = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _content(folder: Path) -> RemovedFiles:
    """Count the files in a folder, at any depth."""
    removed = RemovedFiles()
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                removed += RemovedFiles(1, (Path(parent) / name).lstat().st_size)
    return removed


def _remove(folder: Path, lock: int) -> None:
    """Remove a folder and then its lock file."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.with_suffix(_LOCK_SUFFIX).unlink(missing_ok=True)
    os.close(lock)
