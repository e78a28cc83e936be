"""Checks the folder for working files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from framepack.checks.finding import Finding
from framepack.checks.folders import folder_problem, this_user
from framepack.errors import is_disk_full
from framepack.files.scratch import free_bytes, scratch_file
from framepack.units import MB

if TYPE_CHECKING:
    from framepack.settings import Settings

_NAME: Final = "working folder"


def check_temp(settings: Settings) -> Finding:
    """Check whether the working folder is writable and has space for a source of the maximum size."""
    folder = settings.temp_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with scratch_file(folder) as file:
            file.write(b"fit")
            file.flush()
        free_mb = free_bytes(folder) / MB
    except OSError as error:
        problem = folder_problem(folder, error)
        verb = "Free some space, or set" if is_disk_full(error) else "Set"
        remedy = f"{verb} FRAMEPACK_TEMP_DIR to a folder that {this_user()} may write"
        remedy += f"; or run, as root: {problem.command}" if problem.command else "."
        sentence = f"The working folder {folder} (FRAMEPACK_TEMP_DIR) cannot be written: {problem.reason}."
        return Finding(_NAME, "error", sentence, remedy)
    if free_mb < settings.max_source_mb:
        sentence = (
            f"The working folder {folder} has {free_mb:,.0f} MB left, "
            f"less than the maximum size of a source ({settings.max_source_mb:,.0f} MB)."
        )
        remedy = "Set FRAMEPACK_TEMP_DIR to a larger disk, or lower FRAMEPACK_MAX_SOURCE_MB."
        return Finding(_NAME, "warning", sentence, remedy)
    return Finding(_NAME, "ok", f"The working folder {folder} can be written and has {free_mb / 1000:,.1f} GB left.")
