"""Input other than videos: sections, JSON files with steps or presets, and folders of frames."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unicodedata import normalize

from framepack.errors import InvalidField, InvalidSource, NotFound
from framepack.filenames import is_segment
from framepack.media.section import Section
from framepack.storage.frames.folders import MEDIA_TYPES, folder_key, natural, sheet_key
from framepack.storage.frames.record import audio_key, folder_records

if TYPE_CHECKING:
    from framepack.api.filter_settings import FilterSettings
    from framepack.api.workflow import WorkflowPreset
    from framepack.runtime import Runtime

PRESET: Final = "preset"
"""Name of a preset from a file in the temporary store."""

RECORD: Final = "frames.json"
AUDIO: Final = "audio.mka"
SHEET: Final = "contact-sheet.jpg"
EXTRACTION_FILES: Final = frozenset({RECORD, AUDIO, SHEET})
"""Files that an extraction writes beside the frames."""

_STAGED: Final = "frames"
_SECONDS: Final = re.compile(r"\d{1,9}(\.\d{0,12})?|\.\d{1,12}", re.ASCII)


def is_missing(name: str) -> bool:
    """Whether a file does not exist; False if this user may not look."""
    try:
        Path(name).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def check_source(path: Path) -> None:
    """Check that a file exists and can be read.

    Raises:
        InvalidSource: It does not, or cannot.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InvalidSource(f"{path} is not a file.")
        with path.open("rb"):
            pass
    except FileNotFoundError as error:
        raise InvalidSource(f"{path} does not exist.") from error
    except OSError as error:
        raise InvalidSource(f"{path} cannot be read: {error.strerror or error}.") from error


def parse_section(text: str) -> Section:
    """Parse a section, ``FROM:TO`` in seconds.

    Raises:
        InvalidField: It is invalid or empty.
    """
    begin, colon, end = (part.strip() for part in text.partition(":"))
    if not colon or not all(_SECONDS.fullmatch(part) for part in (begin, end) if part):
        raise InvalidField(f"--seconds must be FROM:TO in seconds, such as 0:2, 10: or :5, not {text[:40]!r}.")
    section = Section(Fraction(begin or "0"), Fraction(end) if end else None)
    if section.end is not None and section.end <= section.begin:
        raise InvalidField(f"--seconds must end after it begins, not {text[:40]!r}.")
    return section


def read_json(option: str, text: str) -> Any:
    """Read the JSON file given as an option. The option's value may also be JSON itself.

    Raises:
        InvalidField: The file cannot be read, or is not JSON.
    """
    if text.lstrip().startswith(("[", "{")):
        name, content = "its value", text
    else:
        try:
            name, content = text, Path(text).read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise InvalidField(f"{option}: {text} cannot be read ({reason}).") from error
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidField(f"{option}: {name} is not valid JSON ({error}).") from error


def read_steps(text: str) -> Any:
    """Read the value of ``--operations``: a list of steps, or an object with such a list as in the REST API."""
    content = read_json("--operations", text)
    return content["operations"] if isinstance(content, dict) and "operations" in content else content


def read_preset(kind: type[WorkflowPreset | FilterSettings], text: str) -> dict[str, Any]:
    """Read a preset from a file: only the preset, or the object that the REST API takes.

    Raises:
        InvalidField: The file has no valid preset.
    """
    content = read_json("--preset", text)
    for wrapper in ("preset_data", "settings"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict):
        raise InvalidField("--preset: the file must contain an object.")
    try:
        kind.parse(content)
    except InvalidField as error:
        raise InvalidField(f"--preset: {error.message}") from error
    return content


def list_frames(folder: Path) -> list[Path]:
    """The images of a folder that are not hidden, in natural order.

    Raises:
        InvalidSource: It is not a folder, or has no images.
    """
    if not folder.is_dir():
        raise InvalidSource(f"{folder} is not a folder of frames.")
    shown = (path for path in folder.iterdir() if not path.name.startswith("."))  # macOS puts "._1.png" beside 1.png
    found = [path for path in shown if path.suffix.lower() in MEDIA_TYPES and path.name != SHEET]
    if not found:
        raise InvalidSource(f"{folder} contains no images ({', '.join(MEDIA_TYPES)}).")
    unfit = next((path for path in sorted(found) if not is_segment(normalize("NFC", path.name))), None)
    if unfit is not None:
        raise InvalidSource(f"{unfit} cannot be used under this name; rename it to letters and digits.")
    return sorted(found, key=lambda path: natural(path.name))


def stage_frames(folder: Path, runtime: Runtime) -> str:
    """Put a folder of frames, with the audio of an extraction, into the temporary store. Returns its name there."""
    for path in list_frames(folder):
        _link(path, _file(runtime, str(folder_key(_STAGED) / path.name)))
    if (folder / RECORD).is_file():
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InvalidSource(f"{folder / RECORD} cannot be read.") from error
        folder_records(runtime.storage).save(_STAGED, record)
        if (folder / AUDIO).is_file():
            _link(folder / AUDIO, _file(runtime, str(audio_key(_STAGED))))
    return _STAGED


def collect_frames(answer: Mapping[str, Any], runtime: Runtime, into: Path) -> Path:
    """Move all files of an extraction into one folder."""
    name = str(answer["folder_name"])
    _file(runtime, str(folder_key(name))).rename(into)
    for key, target in ((sheet_key(name), SHEET), (audio_key(name), AUDIO)):
        path = _file(runtime, str(key))
        if path.exists():
            path.rename(into / target)
    try:
        record = folder_records(runtime.storage).read(name)
    except NotFound:
        return into
    (into / RECORD).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return into


def _file(runtime: Runtime, key: str) -> Path:
    from framepack.storage.keys import Key

    path = runtime.file_of(Key(key))
    assert path is not None  # noqa: S101 - the temporary store is a folder
    return path


def _link(source: Path, target: Path) -> None:
    """Make a hard link if possible, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
