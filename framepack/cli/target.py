"""Where a result goes: its format, checks before any work, and moving it there as a whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from framepack.errors import InvalidField, StorageFailed

if TYPE_CHECKING:
    from framepack.api.workflow import StepTypes
    from framepack.media.clip import Format

_SUFFIXES: Final = {".mp4": "mp4", ".webm": "webm", ".gif": "gif"}


class ResultNotMoved(StorageFailed):
    """A finished result could not be moved to its target. The message says where it is instead."""


def format_of(path: Path) -> str:
    """The format of a file by its suffix: "mp4", "webm" or "gif".

    Raises:
        InvalidField: The suffix is another one.
    """
    kind = _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        example = "out.mp4" if path.name.lower() in _SUFFIXES else f"{path.stem}.mp4"
        allowed = f"must end in .mp4, .webm or .gif, as in {example}; it decides the format."
        raise InvalidField(f"{path}: the name of the result {allowed}")
    return kind


def check_file(path: Path, sources: Sequence[Path], *, overwrite: bool) -> None:
    """Check that a result can be written to ``path``.

    Raises:
        InvalidField: It cannot. The message has the reason and a remedy.
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


def check_new_folder(path: Path, *, overwrite: bool, known_names: frozenset[str]) -> None:
    """Check that a folder can be made at ``path``, or replaced if it has only frames and files in ``known_names``.

    Raises:
        InvalidField: It cannot. The message has the reason and a remedy.
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
        unknown = [name for name in sorted(names) if name not in known_names and not _is_frame(name)]
        if unknown:
            raise InvalidField(f"{path} contains {unknown[0]}, which is not from an extraction; name a new folder.")


def make_folder(path: Path) -> None:
    """Make the folder that several results go into, unless it is there.

    Raises:
        InvalidField: It cannot be made or written, or its name is that of a video.
    """
    with _system_errors(path):
        if os.path.lexists(path) and not path.is_dir():
            raise InvalidField(f"{path} is a file; several results need a folder.")
        if not path.is_dir():
            _check_folder_name(path)
            _check_folder(path.parent)
            path.mkdir()
        _check_folder(path)


def move_result(result: Path, path: Path, *, overwrite: bool, fallback_folder: Path) -> None:
    """Move a finished file or folder to ``path``, as a whole or not at all.

    It is first moved beside the target, under a temporary name, because only a rename within a file system is atomic.

    Args:
        result: The finished file or folder.
        path: The target. Symbolic links are followed.
        overwrite: Whether an existing file or folder may be replaced.
        fallback_folder: Folder for the result if it cannot be moved to ``path``.

    Raises:
        ResultNotMoved: It could not be moved. The message says where it is kept.
    """
    final_path = path.resolve()
    staged = final_path.with_name(f".{final_path.name[:100]}.{secrets.token_hex(4)}.new")
    try:
        if not overwrite and os.path.lexists(final_path) and not _is_empty_folder(final_path):
            raise FileExistsError(None, "it has been created in the meantime")
        shutil.move(result, staged)
        _sync(staged)
        _replace(staged, final_path)
    except (OSError, shutil.Error) as error:
        kept = _kept(result if result.exists() else staged, fallback_folder / final_path.name)
        if kept != staged:
            _remove(staged)
        reason = _reason(error)
        raise ResultNotMoved(f"{path} could not be written ({reason}); the result is kept: {kept}") from error


def _reason(error: OSError) -> str:
    """The operating system's message, without names of files."""
    reason: Any = error.strerror or error
    while isinstance(reason, Exception) and reason.args:  # for folders, there is an error for each file
        reason = reason.args[0]
    while isinstance(reason, list | tuple):
        reason = reason[-1]
    return re.sub(r"^\[Errno \d+\] ", "", str(reason)).partition(":")[0]


def free_name(path: Path) -> Path:
    """The path, or if it exists, one with a number that does not."""
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
    """Write a file's content to the disk, before the file gets its final name."""
    if path.is_file():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _replace(staged: Path, final_path: Path) -> None:
    """Rename the result. An existing folder is moved aside first, because a rename cannot replace it."""
    if staged.is_dir() and final_path.is_dir():
        old = staged.with_suffix(".old")
        final_path.rename(old)
        staged.rename(final_path)
        shutil.rmtree(old, ignore_errors=True)
    else:
        staged.replace(final_path)


def _kept(finished: Path, fallback_folder: Path) -> Path:
    """Move the result to the fallback path if possible, and return where it is."""
    try:
        fallback_folder.parent.mkdir(parents=True, exist_ok=True)
        kept = free_name(fallback_folder)
        shutil.move(finished, kept)
    except (OSError, shutil.Error):
        return finished
    return kept


def _remove(path: Path) -> None:
    """Remove a partial copy."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


_EXPORT: Final = "export"
DEFAULT_FORMAT: Final = "mp4"
"""The default format of results."""


@dataclass(frozen=True, slots=True)
class _FormatField:
    """The field of a request that selects the format of its result."""

    params: dict[str, Any]
    field: str
    name: str

    @property
    def value(self) -> str | None:
        value = self.params.get(self.field)
        return None if value is None else str(value).strip().lower().removeprefix(".")


def requested_format(name: str, fields: dict[str, Any], preset: dict[str, Any] | None, steps: StepTypes) -> str:
    """The format that a request selects, or the default format. The arguments are those of `set_format`."""
    place = _format_field(name, fields, preset, steps)
    return (place.value if place is not None else None) or DEFAULT_FORMAT


def set_format(
    name: str, fields: dict[str, Any], preset: dict[str, Any] | None, steps: StepTypes, wanted: str
) -> Format | None:
    """Select the format of an operation's result.

    Args:
        name: Name of the operation.
        fields: Its fields, already validated. Changed if one of them selects the format.
        preset: Its workflow preset, already validated. Changed in the same way.
        steps: The types of steps.
        wanted: "mp4", "webm" or "gif".

    Returns:
        The format to encode the result in, if no field of the operation selects it; else None.

    Raises:
        InvalidField: The fields select another format.
    """
    place = _format_field(name, fields, preset, steps)
    if place is None:
        return None if wanted == DEFAULT_FORMAT else cast("Format", wanted)
    if place.value is None:
        place.params[place.field] = wanted
    elif place.value != wanted:
        raise InvalidField(
            f"{place.name} is {place.params[place.field]}, but the name of the result ends in .{wanted}; change one "
            "of them."
        )
    return None


def _format_field(
    name: str, fields: dict[str, Any], preset: dict[str, Any] | None, steps: StepTypes
) -> _FormatField | None:
    """The field that selects the format: of export, the last export step or the preset; None if there is none."""
    if name == _EXPORT:
        return _FormatField(fields, "format", "--format")
    operations = fields.get("operations", ())
    exporting = [index for index, step in enumerate(operations) if steps.type_of(step["type"]) == _EXPORT]
    if exporting:
        params = operations[exporting[-1]].setdefault("params", {})
        return _FormatField(params, "format", f"operations[{exporting[-1]}].params.format")
    if preset is not None and any(steps.type_of(step) == _EXPORT for step in preset.get("active_steps") or ()):
        if preset.get("params") is None:
            preset["params"] = {}
        params = preset["params"]
        field = "format" if params.get("format") is not None else "export_format"
        return _FormatField(params, field, f"params.{field}")
    return None
