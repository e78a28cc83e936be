"""File names made from untrusted text, and the rule for one segment of an object's key.

`safe_name` makes a part of an output's name; `clean_filename` keeps the extension of a source. Names that a client
chooses are checked, not cleaned, in `framepack.api.names`.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

UNTITLED: Final = "untitled_video"
UNNAMED: Final = "video"

_MAX_LENGTH: Final = 100
_MAX_EXTENSION_LENGTH: Final = 10
_MAX_SEGMENT_BYTES: Final = 255
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9 ._+()-]+")
_NOT_IN_EXTENSIONS: Final = re.compile(r"[^A-Za-z0-9]+")
# The time stamp in an output's name, with its short id. The id starts with a digit, so that no word matches.
_TIMESTAMP: Final = re.compile(r"_\d{6}_(?:\d{6}|\d{4})(?!\d)(?:_\d[0-9a-z]{5}(?![0-9A-Za-z]))?")
_FORBIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})


def is_segment(text: str) -> bool:
    """Whether the text can stand between two slashes of an object's key."""
    if not text or text != text.strip().strip("."):
        return False
    if any(char in "\\\ufffd" or unicodedata.category(char) in _FORBIDDEN_CATEGORIES for char in text):
        return False
    return len(text.encode()) <= _MAX_SEGMENT_BYTES and unicodedata.is_normalized("NFC", text)


def safe_name(text: str, fallback: str) -> str:
    """Clean text of a client for use in a file name.

    Letters lose their accents, full-width forms become plain ones, and each run of other characters that are not
    ASCII letters, digits or `` ._+()-`` becomes one ``_``.

    Args:
        text: Any text.
        fallback: Returned when nothing is left; trusted.

    Returns:
        1 to 100 characters that start and end with neither ``.``, ``_``, ``-`` nor a space.
    """
    cleaned = _NOT_IN_NAMES.sub("_", _without_accents(text)).lstrip(" ._-")
    return cleaned[:_MAX_LENGTH].rstrip(" ._-") or fallback


def clean_stem(name: str) -> str:
    """Make the first part of an output's name from the name of its source.

    Time stamps (``_dddddd_dddddd`` and ``_dddddd_dddd``, with the short id behind them) are removed, so that the
    outputs of chained jobs collect suffixes but not times.

    Args:
        name: A file name without its extension, as a client sent it.

    Returns:
        A safe name; ``untitled_video`` when nothing is left.
    """
    return safe_name(_TIMESTAMP.sub("", name).strip("_"), UNTITLED)


def clean_filename(name: str) -> str:
    """Make a harmless file name, with its extension, of the name that a stranger gave to a file."""
    last = unicodedata.normalize("NFKD", name).replace("\\", "/").rpartition("/")[2]
    plain = _without_accents(last).strip(" .")
    stem, dot, extension = plain.rpartition(".") if "." in plain else (plain, "", "")
    extension = dot + _NOT_IN_EXTENSIONS.sub("", extension)[:_MAX_EXTENSION_LENGTH]
    stem = _NOT_IN_NAMES.sub("_", stem)[: _MAX_LENGTH - len(extension)].strip(" ._")
    return (stem or UNNAMED) + extension.rstrip(".")


def _without_accents(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
