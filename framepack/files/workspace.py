"""A folder for the files of one job: private, gone when the job ends, swept up if its process was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final, Self
from uuid import uuid4

from framepack.errors import DiskFull
from framepack.files.removed import RemovedFiles

_PREFIX: Final = "job-"
_LOCK_SUFFIX: Final = ".lock"


class Workspace:
    """A fresh folder under ``root``, readable by this user only; use it in a ``with`` statement.

    Beside the folder lies a file of the same name with ``.lock`` at its end, locked as long as the job runs. The
    system lets go of the lock when the process dies, however it dies, and on whatever host it ran: that is how
    ``sweep`` tells the folders of the dead from those of the living. The file holds the process id, for people.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder: Path | None = None
        self._lock: int | None = None
        self._given: set[str] = set()

    @property
    def folder(self) -> Path:
        """The folder; only while the workspace is entered."""
        if self._folder is None:
            raise RuntimeError("The workspace is not open.")
        return self._folder

    def __enter__(self) -> Self:
        """Create the folder."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = None
        while lock is None:
            folder = self._root / (_PREFIX + uuid4().hex)
            lock = _create_lock(folder.with_suffix(_LOCK_SUFFIX))
        self._lock = lock
        folder.mkdir(mode=0o700)
        self._folder = folder
        return self

    def __exit__(self, *_exception: object) -> None:
        """Remove the folder and everything in it."""
        if self._folder is None or self._lock is None:
            return
        _remove(self._folder, self._lock)
        self._folder = self._lock = None

    def path(self, name: str) -> Path:
        """A path inside that was not given before: ``name``, or ``name`` with a number before its suffix.

        Raises:
            ValueError: ``name`` is not the name of a file.
        """
        if name != Path(name).name or name in {"", ".", ".."}:
            raise ValueError(f"{name!r} is not the name of a file")
        stem, suffix, number = Path(name).stem, Path(name).suffix, 1
        fresh = name
        while fresh in self._given:
            number += 1
            fresh = f"{stem}-{number}{suffix}"
        self._given.add(fresh)
        return self.folder / fresh

    def clear(self) -> None:
        """Remove every file that is inside; nobody may be using one."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def require_free(self, size_bytes: int) -> None:
        """Return if the disk has room for ``size_bytes`` more.

        Raises:
            DiskFull: it has not.
        """
        free = shutil.disk_usage(self.folder).free
        if free < size_bytes:
            raise DiskFull(
                f"The job needs {size_bytes / 1e6:.0f} MB of disk; the worker has {free / 1e6:.0f} MB left."
            )


def sweep(root: Path) -> RemovedFiles:
    """Remove the folders under ``root`` whose jobs are dead, and return what was in them.

    Never touches the folder of a living job, of this process or of another.
    """
    freed = RemovedFiles()
    for path in root.glob(f"{_PREFIX}*{_LOCK_SUFFIX}"):
        lock = _take_lock(path)
        if lock is not None:
            freed += _content(path.with_suffix(""))
            _remove(path.with_suffix(""), lock)
    return freed


def living(root: Path) -> int:
    """How many jobs have a folder under ``root`` and are alive."""
    count = 0
    for path in root.glob(f"{_PREFIX}*{_LOCK_SUFFIX}"):
        lock = _take_lock(path)
        if lock is not None:
            os.close(lock)
        elif path.exists():
            count += 1
    return count


def _create_lock(path: Path) -> int | None:
    """Create ``path``, locked; None if a sweep took it for a dead job's before it was locked."""
    lock = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not os.fstat(lock).st_nlink:
        os.close(lock)
        return None
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def _take_lock(path: Path) -> int | None:
    """Lock the existing file ``path``; None if somebody else has it or it is gone."""
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
    """The files in a folder of ours, at any depth."""
    freed = RemovedFiles()
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                freed += RemovedFiles(1, (Path(parent) / name).lstat().st_size)
    return freed


def _remove(folder: Path, lock: int) -> None:
    """Remove a folder and, last, the lock file beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.with_suffix(_LOCK_SUFFIX).unlink(missing_ok=True)
    os.close(lock)
