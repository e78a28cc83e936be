"""Where a result goes: looked at before any work, and written whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from framepack.errors import InvalidField, StorageFailed

_SUFFIXES: Final = {".mp4": "mp4", ".webm": "webm", ".gif": "gif"}


class NotDelivered(StorageFailed):
    """A finished result could not be put where it belongs; the sentence says where it is instead."""


def format_of(path: Path) -> str:
    """The format that a file's name stands for: "mp4", "webm" or "gif".

    Raises:
        InvalidField: it stands for none.
    """
    kind = _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        example = "out.mp4" if path.name.lower() in _SUFFIXES else f"{path.stem}.mp4"
        allowed = f"must end in .mp4, .webm or .gif, as in {example}; it decides the format."
        raise InvalidField(f"{path}: the name of the result {allowed}")
    return kind


def check_file(path: Path, sources: Sequence[Path], *, overwrite: bool) -> None:
    """Return if a result may be written to ``path``.

    Raises:
        InvalidField: it may not; the sentence says why and what to do.
    """
    with _system_errors(path):
        if path.is_dir():
            example = path / (sources[0].name if sources else "out.mp4")
            raise InvalidField(f"{path} is a folder; name the file to write, such as {example}.")
        _check_folder(path.parent)
        if not os.path.lexists(path):
            return
        if any(source.exists() and path.exists() and path.samefile(source) for source in sources):
            raise InvalidField(f"{path} is the source itself; name another file.")
        if path.is_symlink() and not path.exists():
            raise InvalidField(f"{path} is a link to {path.readlink()}, which does not exist; name another file.")
        if not path.is_file():
            raise InvalidField(f"{path} is not a regular file; name another one.")
        if not overwrite:
            raise InvalidField(f"{path} exists; add --overwrite to replace it.")


def check_new_folder(path: Path, *, overwrite: bool, ours: frozenset[str]) -> None:
    """Return if a folder of results may be made at ``path``, or replaced if everything in it is one of ``ours``.

    Raises:
        InvalidField: it may not; the sentence says why and what to do.
    """
    with _system_errors(path):
        if not os.path.lexists(path):
            _check_folder_name(path)
            _check_folder(path.parent)
            return
        if not path.is_dir():
            raise InvalidField(f"{path} is a file; name a folder.")
        _check_folder(path)
        names = [entry.name for entry in path.iterdir()]
        if names and not overwrite:
            raise InvalidField(f"{path} is not empty; add --overwrite to replace it, or name a new folder.")
        foreign = [name for name in sorted(names) if name not in ours and not _is_frame(name)]
        if foreign:
            raise InvalidField(f"{path} holds {foreign[0]}, which no extraction made; name a new folder.")


def make_folder(path: Path) -> None:
    """Make the folder that several results go into, unless it is there.

    Raises:
        InvalidField: it cannot be made or written, or its name is that of a video.
    """
    with _system_errors(path):
        if os.path.lexists(path) and not path.is_dir():
            raise InvalidField(f"{path} is a file; several results need a folder.")
        if not path.is_dir():
            _check_folder_name(path)
            _check_folder(path.parent)
            path.mkdir()
        _check_folder(path)


def deliver(made: Path, path: Path, *, overwrite: bool, refuge: Path) -> None:
    """Move a finished file or folder to ``path``, where it appears whole, or stays unseen.

    Args:
        made: The finished file or folder.
        path: Where it goes; a link there is followed.
        overwrite: Whether what is there may be replaced.
        refuge: Folder that ``made`` is kept in if it cannot go to ``path``.

    Raises:
        NotDelivered: it could not be moved; the sentence says where it is kept.
    """
    goal = path.resolve()
    waiting = goal.with_name(f".{goal.name[:100]}.{secrets.token_hex(4)}.new")
    try:
        if not overwrite and os.path.lexists(goal) and not _is_empty_folder(goal):
            raise FileExistsError(None, "something of that name has appeared meanwhile")
        shutil.move(made, waiting)
        _sync(waiting)
        _replace(waiting, goal)
    except (OSError, shutil.Error) as error:
        kept = _kept(made if made.exists() else waiting, refuge / goal.name)
        if kept != waiting:
            _remove(waiting)
        reason = _reason(error)
        raise NotDelivered(f"{path} could not be written ({reason}); the finished result is kept: {kept}") from error


def _reason(error: OSError) -> str:
    """What the system said, without the names of the files it said it of."""
    said = error.strerror or error
    while (
        isinstance(said, Exception) and said.args
    ):  # of a folder, each file that could not be moved has its own error
        said = said.args[0]
    while isinstance(said, list | tuple):
        said = said[-1]
    return re.sub(r"^\[Errno \d+\] ", "", str(said)).partition(":")[0]


def free_name(path: Path) -> Path:
    """The path, or one with a number in it that is not taken."""
    number, free = 1, path
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def _check_folder_name(path: Path) -> None:
    if path.suffix.lower() in _SUFFIXES:
        raise InvalidField(f"{path} is the name of a file, but the result is a folder; name it {path.stem}, or so.")


def _check_folder(folder: Path) -> None:
    if not folder.exists():
        raise InvalidField(f"The folder {folder} does not exist; make it first: mkdir -p {folder}")
    if not folder.is_dir():
        raise InvalidField(f"{folder} is a file, not a folder.")
    with tempfile.TemporaryFile(dir=folder):
        pass


@contextmanager
def _system_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidField(f"{path} cannot be written: {error.strerror or error}.") from error


def _is_frame(name: str) -> bool:
    return name.startswith("frame_") and name.endswith(".png")


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _sync(path: Path) -> None:
    """Bring a file to the disk before its name is."""
    if path.is_file():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _replace(waiting: Path, goal: Path) -> None:
    """Give the result its name; a folder that is there is put aside first."""
    if waiting.is_dir() and goal.is_dir():
        old = waiting.with_suffix(".old")
        goal.rename(old)
        waiting.rename(goal)
        shutil.rmtree(old, ignore_errors=True)
    else:
        waiting.replace(goal)


def _kept(finished: Path, refuge: Path) -> Path:
    """Move what could not be delivered to a place of its own, or leave it where it is."""
    try:
        refuge.parent.mkdir(parents=True, exist_ok=True)
        kept = free_name(refuge)
        shutil.move(finished, kept)
    except (OSError, shutil.Error):
        return finished
    return kept


def _remove(path: Path) -> None:
    """Remove a half-written copy."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
