"""Keys of stored objects, safe by construction."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from framepack.errors import InvalidField
from framepack.filenames import is_segment

MAX_KEY_BYTES = 1024
RESULTS = "postprocessed_output"
"""The documented folder of all results."""

_REFUSAL = (
    "A name must have 1 to 255 bytes, neither start nor end with a dot or a space, "
    "and contain no slash, backslash or control character."
)


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The name of an object in the store: segments joined by "/", checked once, when the key is made.

    Every segment is NFC text of 1 to 255 UTF-8 bytes that neither starts nor ends with a dot or a space, and contains
    no backslash, control, format or unassigned character. The whole key has at most 1024 bytes. Keys sort by code
    point, like object stores list them. Because no segment starts with a dot, such names are free for files that are
    not objects.

    It is not a subclass of ``str``, so that unchecked text cannot be used as a key, and string operations cannot turn
    a key into unchecked text.

    Raises:
        InvalidField: the text is not such a key.
    """

    text: str

    def __post_init__(self) -> None:
        """Check the text."""
        if not all(is_segment(segment) for segment in self.segments) or len(self.text.encode()) > MAX_KEY_BYTES:
            raise InvalidField(_REFUSAL)

    @classmethod
    def parse(cls, text: str) -> Key:
        """Make a key from untrusted text, in its NFC form.

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
        """Return the key as text."""
        return self.text

    @property
    def name(self) -> str:
        """The last segment."""
        return self.text.rpartition("/")[2]

    @property
    def segments(self) -> tuple[str, ...]:
        """All segments, the outermost first."""
        return tuple(self.text.split("/"))
