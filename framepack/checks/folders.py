"""Explains why a folder is not writable, with the folder, the user and a remedy."""

from __future__ import annotations

import errno
import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from framepack.errors import is_disk_full

_DENIED: Final = frozenset({errno.EACCES, errno.EPERM})


@dataclass(frozen=True, slots=True)
class FolderProblem:
    """Why a folder is not writable.

    Attributes:
        reason: Part of a sentence, such as "it is on a read-only file system".
        command: A command that fixes it when run by root; None if there is none.
    """

    reason: str
    command: str | None = None


def this_user() -> str:
    """The user of this process, such as "uid 10001"."""
    return f"uid {os.geteuid()}"


def folder_problem(folder: Path, error: OSError) -> FolderProblem:
    """Explain why ``folder`` could not be made or written.

    Args:
        folder: The folder, with an absolute path; it need not exist.
        error: What the operating system said.
    """
    nearest = next((each for each in (folder, *folder.parents) if os.path.exists(each)), Path("/"))  # noqa: PTH110 - Path.exists raises where this user may not look
    if is_disk_full(error):
        return FolderProblem("its disk is full")
    if error.errno == errno.EROFS:
        return FolderProblem(f"{'it' if nearest == folder else nearest} is on a read-only file system")
    if not nearest.is_dir():
        return FolderProblem(f"{'it' if nearest == folder else nearest} is a file, not a folder")
    if error.errno in _DENIED:
        quoted = shlex.quote(str(folder))
        return FolderProblem(_denied(folder, nearest), f"mkdir -p {quoted} && chown -R {os.geteuid()} {quoted}")
    return FolderProblem(f"the system says: {os.strerror(error.errno or errno.EIO).lower()}")


def _denied(folder: Path, nearest: Path) -> str:
    """Which user may not write to which folder."""
    if os.access(nearest, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return f"{this_user()} may not write to something inside it"
    found = nearest.stat()
    owner = f"which belongs to uid {found.st_uid} (mode {stat.S_IMODE(found.st_mode):o})"
    where = "there" if nearest == folder else f"to {nearest}"
    return f"{this_user()} may not write {where}, {owner}"
