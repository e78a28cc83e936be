"""Names that clients choose, of presets, folders, frames and output files, with one rule for all of them."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, JsonValue

MAX_CHARACTERS: Final = 100
MAX_BYTES: Final = 200
SIGNS: Final = " ._+-()[]',!&@#=~"

_LETTERS_AND_DIGITS: Final = ("L", "M", "N")
_MAX_GIVEN: Final = 4 * MAX_CHARACTERS  # one letter of NFC may be given as several characters
_NOT_FIRST: Final = " ._-"
_NOT_LAST: Final = " ."
# Device names of Windows, where a downloaded file of such a name could not be opened.
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_EXTENSION: Final = re.compile(r"\.[a-z0-9]{1,5}$", re.IGNORECASE)  # is Latin in every language
_LOOKALIKES: Final = frozenset({"CYRILLIC", "GREEK"})


def encodable(text: str) -> str:
    """Return the text if it can be encoded: it has no unpaired surrogates.

    Raises:
        ValueError: It has; the message says what is allowed, as the end of a sentence.
    """
    if any(unicodedata.category(char) == "Cs" for char in text):
        raise ValueError("text without broken characters")
    return text


def checked_name(text: str) -> str:
    """Check a name and return its NFC form, so that two ways of typing a letter give one name.

    A checked name is safe as a segment of a path, a key or a URL, and as a quoted string in a header.

    Args:
        text: The name as the client sent it.

    Raises:
        ValueError: It is not allowed; the message says what is, as the end of a sentence.
    """
    is_short = len(text) <= _MAX_GIVEN  # what follows looks at each character
    name = unicodedata.normalize("NFC", encodable(text)) if is_short else ""
    if not 0 < len(name) <= MAX_CHARACTERS or len(name.encode()) > MAX_BYTES:
        raise ValueError(f"a name of 1 to {MAX_CHARACTERS} characters and at most {MAX_BYTES} bytes")
    if not all(_is_allowed(char) for char in name) or unicodedata.normalize("NFKC", name) != name:
        raise ValueError(f"a name of plain letters, digits, spaces and the signs {SIGNS.strip()}")
    if name[0] in _NOT_FIRST or name[-1] in _NOT_LAST:
        raise ValueError("a name that starts with neither a space, a dot, '_' nor '-' and ends with no space or dot")
    if _RESERVED.fullmatch(name):
        raise ValueError("a name that no system reserves; Windows reserves this one")
    if _mixes_scripts(name):
        raise ValueError("a name that does not mix Latin letters with lookalikes of other alphabets")
    return name


def is_name(text: str) -> bool:
    """Whether the text is a valid name in its NFC form."""
    try:
        return checked_name(text) == text
    except ValueError:
        return False


def listed_by(path: str, member: str) -> dict[str, JsonValue]:
    """What a field's schema says of its values: where a client finds them, such as a form that offers a choice.

    Args:
        path: The route that lists them, to GET.
        member: The member of its answer that has them, by name.
    """
    return {"x-choices": {"path": path, "member": member}}


def _without_spaces(value: object) -> object:
    return value.strip(" ") if isinstance(value, str) else value


Name = Annotated[str, AfterValidator(checked_name)]
"""A name that a client chose, checked by `checked_name`."""

PresetName = Annotated[Name, BeforeValidator(_without_spaces)]
"""The name of a preset; spaces around it are ignored."""


def _is_allowed(char: str) -> bool:
    return char in SIGNS or unicodedata.category(char).startswith(_LETTERS_AND_DIGITS)


def _mixes_scripts(name: str) -> bool:
    stem = _EXTENSION.sub("", name)
    scripts = {unicodedata.name(char, "").partition(" ")[0] for char in stem if char.isalpha()}
    return "LATIN" in scripts and not scripts.isdisjoint(_LOOKALIKES)
