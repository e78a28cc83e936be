"""Metadata of animated WebP and PNG files: texts, EXIF, and what ComfyUI keeps in either."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Final

from framepack.media.metadata import OWN_TAGS

if TYPE_CHECKING:
    from PIL.Image import Image

_NAMES: Final = {
    "description": "comment",
    "imagedescription": "comment",
    "usercomment": "comment",
    "parameters": "comment",  # of the Stable Diffusion web UI
    "creation time": "date",
    "datetime": "date",
}
"""Names of PNG files and EXIF, in lower case, and FFmpeg's."""
_CHUNK_OF_COMFYUI: Final = b"comf"
_DATES_OF_FILE: Final = "date:"  # of ImageMagick
_USER_COMMENT: Final = 0x9286
_CODE_BYTES: Final = 8  # before a user comment
_UTF_16: Final = b"UNICODE\0"


def read_image_metadata(image: Image) -> dict[str, str]:
    """Metadata of an animated image, in FFmpeg's names where it has such, in lower case; none if it is damaged.

    Args:
        image: An image whose last frame has been decoded: PNG files may have their texts behind it.
    """
    found: dict[str, str] = {}
    for name, text in chain(_texts(image), _chunks(image), _exif(image)):
        value = _decoded_again(text).strip("\0 ")
        if value and not name.startswith(_DATES_OF_FILE):
            known = _NAMES.get(name, name)
            found[known if found.get(known, value) == value else name] = value
    return found


def _texts(image: Image) -> Iterator[tuple[str, str]]:
    with suppress(Exception):  # Pillow's decoders raise any exception for damaged files
        texts = getattr(image, "text", {})
        yield from ((name.lower(), str(value)) for name, value in texts.items())
    if image.info.get("xmp"):
        yield "xmp", "XMP"


def _chunks(image: Image) -> Iterator[tuple[str, str]]:
    """The chunks in which ComfyUI keeps metadata: a name, a zero and a text each."""
    for kind, content, *_ in getattr(image, "private_chunks", ()):
        if kind == _CHUNK_OF_COMFYUI:
            name, _, text = content.partition(b"\0")
            yield name.decode("latin-1").lower(), text.decode("latin-1")


def _exif(image: Image) -> Iterator[tuple[str, str]]:
    """The texts in EXIF. ComfyUI keeps each of its own in the field of another one, behind its name and a colon."""
    from PIL.ExifTags import IFD, TAGS

    with suppress(Exception):
        exif = image.getexif()
        for tag, value in exif.items():
            if not isinstance(value, str):
                continue
            name, _, text = value.partition(":")
            if name.lower() in OWN_TAGS:
                yield name.lower(), text
            elif TAGS.get(tag) == "DateTime":
                yield "datetime", value.replace(":", "-", 2)
            else:
                yield TAGS.get(tag, "EXIF").lower(), value
        comment = exif.get_ifd(IFD.Exif).get(_USER_COMMENT)
        if isinstance(comment, bytes):
            yield "usercomment", _user_comment(comment)
        if exif.get_ifd(IFD.GPSInfo):
            yield "gpsinfo", "GPS"


def _user_comment(data: bytes) -> str:
    """The text of a user comment, whose first bytes say the encoding, but not the order of the bytes in UTF-16."""
    text = data[_CODE_BYTES:]
    if not data.startswith(_UTF_16):
        return text.decode("utf-8", errors="replace")
    is_little_endian = text[1::2].count(0) > text[::2].count(0)
    return text.decode("utf-16-le" if is_little_endian else "utf-16-be", errors="replace")


def _decoded_again(text: str) -> str:
    """A text that was read as Latin-1, as the formats say, in UTF-8 if it is valid there."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except ValueError:
        return text
