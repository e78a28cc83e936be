"""Whether a file is whole, from its structure alone."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_HEAD_BYTES: Final = 4096
_SEGMENT: Final = b"\x18\x53\x80\x67"
_FLV_TAGS: Final = (8, 9, 18)
_FLV_TAG_BYTES: Final = 11


def is_whole(path: Path, container: str) -> bool:
    """Whether a Matroska or FLV file ends where its structure says; False for other containers.

    Args:
        path: The file.
        container: FFmpeg's name of the container.
    """
    if container.startswith("matroska"):
        return _is_whole_matroska(path)
    return container == "flv" and _is_whole_flv(path)


def _is_whole_matroska(path: Path) -> bool:
    """Whether the segment, which holds everything, ends with the file. Its size may be unknown."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    begin = head.find(_SEGMENT) + len(_SEGMENT)
    if begin < len(_SEGMENT) or begin >= len(head) or not head[begin]:
        return False
    length = 9 - head[begin].bit_length()  # of the number, told by its leading zero bits
    size_bytes = int.from_bytes(head[begin : begin + length], "big") & ((1 << 7 * length) - 1)
    return begin + length + size_bytes == path.stat().st_size


def _is_whole_flv(path: Path) -> bool:
    """Whether the file ends with a whole tag and its size."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size_bytes - 4))
        tag_bytes = int.from_bytes(file.read(4), "big")
        begin = size_bytes - 4 - tag_bytes
        if tag_bytes < _FLV_TAG_BYTES or begin < 0:
            return False
        file.seek(begin)
        tag = file.read(4)
    return tag[0] & 31 in _FLV_TAGS and int.from_bytes(tag[1:4], "big") + _FLV_TAG_BYTES == tag_bytes
