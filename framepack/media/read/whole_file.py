"""Whether a file is whole or cut off, from its structure alone."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_HEAD_BYTES: Final = 4096
_SEGMENT: Final = b"\x18\x53\x80\x67"
_FLV_TAGS: Final = (8, 9, 18)
_FLV_TAG_BYTES: Final = 11
_ASF_PROPERTIES: Final = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_TS_PACKET_BYTES: Final = 188
_TS_SYNC: Final = 0x47


def is_whole(path: Path, container: str) -> bool:
    """Whether a Matroska or FLV file ends where its structure says; False for other containers.

    Args:
        path: The file.
        container: FFmpeg's name of the container.
    """
    if container.startswith("matroska"):
        return _matroska_bytes(path) == path.stat().st_size
    return container == "flv" and _is_whole_flv(path)


def is_cut_off(path: Path, container: str) -> bool:
    """Whether the structure of a file goes on beyond its end; False where it does not tell.

    Args:
        path: The file.
        container: FFmpeg's name of the container.
    """
    name = container.partition(",")[0]
    if name == "mov":
        return _lacks_index(path)
    if name == "mpegts":
        return _ends_in_transport_packet(path)
    if name == "flv":
        return not _is_whole_flv(path)
    said = {"matroska": _matroska_bytes, "avi": _riff_bytes, "asf": _asf_bytes}.get(name)
    return said is not None and (said(path) or 0) > path.stat().st_size


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _riff_bytes(path: Path) -> int:
    """The size of an AVI file as its first chunk says."""
    return int.from_bytes(_head(path)[4:8], "little") + 8


def _asf_bytes(path: Path) -> int | None:
    """The size of a WMV file as its header says."""
    head = _head(path)
    begin = head.find(_ASF_PROPERTIES)
    return None if begin < 0 else int.from_bytes(head[begin + 40 : begin + 48], "little")


def _lacks_index(path: Path) -> bool:
    """Whether the end of an MP4 file's index, or of one of its fragments, is missing."""
    size_bytes, begin = path.stat().st_size, 0
    needed: tuple[bytes, ...] = (b"moov", b"moof")
    with path.open("rb") as file:
        while begin + 8 <= size_bytes:
            file.seek(begin)
            box = file.read(16)
            length = int.from_bytes(box[:4], "big")
            if length == 1:  # the size follows, in 64 bits
                length = int.from_bytes(box[8:16], "big")
            needed += (b"mdat",) if box[4:8] == b"moof" else ()  # a fragment: it has the index of its own frames
            if box[4:8] in needed and begin + length > size_bytes:
                return True
            if length < 8:  # noqa: PLR2004 - the last box, or damage
                return False
            begin += length
    return False


def _ends_in_transport_packet(path: Path) -> bool:
    """Whether the last packet of an MPEG transport stream is not complete."""
    size_bytes = path.stat().st_size
    rest_bytes = size_bytes % _TS_PACKET_BYTES
    places = [0, _TS_PACKET_BYTES, 2 * _TS_PACKET_BYTES, size_bytes - rest_bytes]
    if not rest_bytes or places[-1] <= places[-2]:
        return False
    with path.open("rb") as file:
        return all(file.seek(place) == place and file.read(1)[0] == _TS_SYNC for place in places)


def _matroska_bytes(path: Path) -> int | None:
    """The size of a Matroska file as its segment, which holds everything, says; None if that is unknown."""
    head = _head(path)
    begin = head.find(_SEGMENT) + len(_SEGMENT)
    if begin < len(_SEGMENT) or begin >= len(head) or not head[begin]:
        return None
    length = 9 - head[begin].bit_length()  # of the number, told by its leading zero bits
    unknown = (1 << 7 * length) - 1
    size_bytes = int.from_bytes(head[begin : begin + length], "big") & unknown
    return None if size_bytes == unknown else begin + length + size_bytes


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
