"""Names of stored things, safe by construction: object keys, and names made from what a client sent."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from framepack.errors import InvalidField
from framepack.setting_checks import is_segment

MAX_KEY_BYTES = 1024
MAX_NAME_LENGTH = 100
UNTITLED = "untitled_video"
RESULTS = "postprocessed_output"
"""The documented folder of everything that jobs make."""

_REFUSAL = (
    "A name must have 1 to 255 bytes, neither start nor end with a dot or a space, "
    "and contain no slash, backslash or control character."
)
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9 ._+()-]+")
# A time stamp of ours is followed by a short id; it begins with a digit so that no word is mistaken for one.
_TIMESTAMP = re.compile(r"_\d{6}_(?:\d{6}|\d{4})(?!\d)(?:_\d[0-9a-z]{5}(?![0-9A-Za-z]))?")


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Where an object lies in the store: segments joined by "/", checked once so that nothing later needs to.

    Every segment is NFC text of 1 to 255 UTF-8 bytes that neither starts nor ends with a dot or a space, and holds
    no backslash, control, format or unassigned character. The whole is at most 1024 bytes long. Keys sort by code
    point, as object stores list them. Names that start with a dot are thus free for files that are not objects.

    A value of its own rather than a kind of ``str``: no unchecked text passes for a key, and no string
    operation makes an unchecked one from it.

    Raises:
        InvalidField: the text is not such a key.
    """

    text: str

    def __post_init__(self) -> None:
        """Refuse what is no key."""
        if not all(is_segment(segment) for segment in self.segments) or len(self.text.encode()) > MAX_KEY_BYTES:
            raise InvalidField(_REFUSAL)

    @classmethod
    def parse(cls, text: str) -> Key:
        """Make a key from text that came from outside, in its NFC form.

        Raises:
            InvalidField: the text is not a key.
        """
        return cls(unicodedata.normalize("NFC", text))

    def __truediv__(self, segment: str) -> Key:
        """Append one segment.

        Raises:
            InvalidField: the segment is not one, for example because it contains a slash.
        """
        if "/" in segment:
            raise InvalidField(_REFUSAL)
        return Key.parse(f"{self.text}/{segment}")

    def __str__(self) -> str:
        """Return the key as the store knows it."""
        return self.text

    @property
    def name(self) -> str:
        """The last segment."""
        return self.text.rpartition("/")[2]

    @property
    def segments(self) -> tuple[str, ...]:
        """All segments, the outermost first."""
        return tuple(self.text.split("/"))


def safe_name(text: str, fallback: str) -> str:
    """Clean text of a client for use in a file name.

    Letters lose their accents, full-width forms become plain ones, and every other run of characters that are not
    ASCII letters, digits or `` ._+()-`` becomes one ``_``.

    Args:
        text: any text.
        fallback: the answer when nothing is left; trusted.

    Returns:
        1 to 100 characters that start and end with neither ``.``, ``_``, ``-`` nor a space.
    """
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    cleaned = _NOT_IN_NAMES.sub("_", plain).lstrip(" ._-")
    return cleaned[:MAX_NAME_LENGTH].rstrip(" ._-") or fallback


def clean_stem(name: str) -> str:
    """Make the stem of an output's name from that of its source.

    Time stamps (``_dddddd_dddddd`` and ``_dddddd_dddd``, with the short id after ours) are taken out, so that
    chained steps accumulate suffixes and not times.

    Args:
        name: a file name without its extension, as a client gave it.

    Returns:
        A safe name, ``untitled_video`` when nothing is left.
    """
    return safe_name(_TIMESTAMP.sub("", name).strip("_"), UNTITLED)
