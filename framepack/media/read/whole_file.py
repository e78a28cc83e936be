"""Whether a file is whole or cut off, from its structure alone."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from framepack.media.boxes import file_boxes
from framepack.media.transport_stream import PACKETS, SYNC

_HEAD_BYTES: Final = 4096
_SEGMENT: Final = b"\x18\x53\x80\x67"
_CLUSTER: Final = b"\x1f\x43\xb6\x75"
_BLOCKS: Final = (b"\xa3", b"\xa0")
_MOST_ID_BYTES: Final = 4
_MOST_SIZE_BYTES: Final = 8
_FLV_TAGS: Final = (8, 9, 18)
_FLV_TAG_BYTES: Final = 11
_FLV_HEADER_SIZE: Final = 5  # where it is
_GIF_HEADER_BYTES: Final = 13
_GIF_FLAGS: Final = 10
_GIF_HAS_TABLE: Final = 128
_GIF_IMAGE_BYTES: Final = 10  # flags are the last one; the size of the codes follows
_GIF_IMAGE, _GIF_EXTENSION, _GIF_TRAILER = 0x2C, 0x21, 0x3B
_ASF_PROPERTIES: Final = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_OGG_PAGE: Final = b"OggS"
_OGG_HEADER_BYTES: Final = 27


def is_whole(path: Path, container: str) -> bool:
    """Whether the structure of a Matroska or FLV file is undamaged up to its end; False for other containers.

    Args:
        path: The file.
        container: FFmpeg's name of the container.
    """
    if container.startswith("matroska"):
        size_bytes = path.stat().st_size
        return _matroska_bytes(path) == size_bytes == _elements_end(path)
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
        return _ends_in_tag(path)
    if name == "ogg":
        return _ends_in_page(path)
    if name == "matroska" and _matroska_bytes(path) is None:
        return (_elements_end(path) or 0) > path.stat().st_size
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
    size_bytes, end = path.stat().st_size, 0
    needed: tuple[bytes, ...] = (b"moov", b"moof")
    with path.open("rb") as file:
        for box in file_boxes(file, size_bytes):
            needed += (b"mdat",) if box.name == b"moof" else ()  # a fragment: it has the index of its own frames
            if box.name in needed and box.begin + box.length > size_bytes:
                return True
            if box.length < 8:  # noqa: PLR2004 - the last box, or damage
                return False
            end = box.begin + box.length
        file.seek(min(end, size_bytes))
        return b"mdat" in needed and any(file.read())  # the beginning of the next fragment


def _ends_in_transport_packet(path: Path) -> bool:
    """Whether the last packet of an MPEG transport stream is not complete."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        for packet_bytes, begin in PACKETS:
            rest_bytes = size_bytes % packet_bytes
            places = [begin, begin + packet_bytes, begin + 2 * packet_bytes, size_bytes - rest_bytes + begin]
            if places[-1] > places[-2] and rest_bytes > begin and all(_sync_at(file, place) for place in places):
                return True
    return False


def _sync_at(file: BinaryIO, place: int) -> bool:
    return file.seek(place) == place and file.read(1) == SYNC


def _ends_in_page(path: Path) -> bool:
    """Whether the last page of an Ogg file is not complete."""
    size_bytes, begin = path.stat().st_size, 0
    with path.open("rb") as file:
        while begin < size_bytes:
            file.seek(begin)
            header = file.read(_OGG_HEADER_BYTES)
            sizes = file.read(header[-1]) if len(header) == _OGG_HEADER_BYTES else b""
            if header[: len(_OGG_PAGE)] != _OGG_PAGE[: len(header)]:
                return False
            if len(header) < _OGG_HEADER_BYTES or len(sizes) < header[-1]:
                return True
            begin += len(header) + len(sizes) + sum(sizes)
    return begin > size_bytes


def has_unread_blocks(path: Path, container: str, end_bytes: int) -> bool:
    """Whether a Matroska file has frames from ``end_bytes`` on, where the last packet that could be read ends."""
    if not container.startswith("matroska"):
        return False
    return any(begin >= end_bytes for name, begin, _ in _elements(path, end_bytes) if name in _BLOCKS)


def _elements_end(path: Path) -> int | None:
    """Where the last element of a Matroska file ends by its size, perhaps beyond the file; None after damage."""
    size_bytes, end = path.stat().st_size, 0
    for name, _, until in _elements(path):
        if name is None:
            return None
        end = size_bytes + 1 if until is None else until
    return end


def _elements(path: Path, first: int = 0) -> Iterator[tuple[bytes | None, int, int | None]]:
    """The elements in the segment and the clusters of a Matroska file, and these where they are opened.

    Args:
        path: The file.
        first: Clusters that end before are not opened.

    Yields:
        Name, begin and end. An element without an end, since its size is cut off, or without a name, since it is
        damaged, is the last one.
    """
    size_bytes, begin = path.stat().st_size, 0
    with path.open("rb") as file:
        while begin < size_bytes:
            file.seek(begin)
            head = file.read(_MOST_ID_BYTES + _MOST_SIZE_BYTES)
            name_bytes = 9 - head[0].bit_length()
            if name_bytes > _MOST_ID_BYTES:
                yield None, begin, None
                return
            name, size = head[:name_bytes], ebml_number(head[name_bytes:])
            if size is None:
                yield name, begin, None
                return
            end = begin + name_bytes + size[0]
            is_read = name == _CLUSTER and end + (size[1] or 0) <= first
            if name not in {_SEGMENT, _CLUSTER} or is_read:  # the elements in these follow
                end += size[1] or 0
            yield name, begin, end
            begin = end


def _matroska_bytes(path: Path) -> int | None:
    """The size of a Matroska file as its segment, which holds everything, says; None if that is unknown."""
    head = _head(path)
    begin = head.find(_SEGMENT) + len(_SEGMENT)
    size = None if begin < len(_SEGMENT) else ebml_number(head[begin:])
    return None if size is None or size[1] is None else begin + size[0] + size[1]


def ebml_number(data: bytes) -> tuple[int, int | None] | None:
    """The size of a Matroska element: how many bytes the number has, and its value, None for unknown.

    None if data ends within the number, or begins with none.
    """
    length = 9 - data[0].bit_length() if data else 9  # told by leading zero bits
    if length > min(len(data), _MOST_SIZE_BYTES):
        return None
    unknown = (1 << 7 * length) - 1
    value = int.from_bytes(data[:length], "big") & unknown
    return length, None if value == unknown else value


def _ends_in_tag(path: Path) -> bool:
    """Whether the last tag of an FLV file, or its size behind it, is not complete."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        return _flv_tags_end(file, size_bytes) > size_bytes


def has_damaged_tags(path: Path) -> bool:
    """Whether an FLV file has anything but tags and padding; readers search for the next tag, and lose some."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        end = _flv_tags_end(file, size_bytes)
        file.seek(min(end, size_bytes))
        return any(file.read(_FLV_TAG_BYTES))


def _flv_tags_end(file: BinaryIO, size_bytes: int) -> int:
    """Where the tags of an FLV file end by their sizes, perhaps beyond the file; before damage or padding."""
    file.seek(_FLV_HEADER_SIZE)
    begin = int.from_bytes(file.read(4), "big") + 4
    while begin < size_bytes:
        file.seek(begin)
        tag = file.read(_FLV_TAG_BYTES)
        if tag[0] & 31 not in _FLV_TAGS or any(tag[8:]):
            break
        begin += _FLV_TAG_BYTES + int.from_bytes(tag[1:4], "big") + 4
    return begin


class GifBlocks(NamedTuple):
    """What a walk through the blocks of a GIF file has met.

    Attributes:
        is_damaged: Whether something else lies between them, so that readers search for the next one, or stop.
        has_end: Whether the end is there.
    """

    is_damaged: bool
    has_end: bool


def walk_gif(path: Path) -> GifBlocks:
    """Walk through the blocks of a GIF file. Padding before its end, and anything behind it, is no damage."""
    if path.stat().st_size <= _GIF_HEADER_BYTES:
        return GifBlocks(is_damaged=False, has_end=False)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        place = _GIF_HEADER_BYTES + _color_table_bytes(data[_GIF_FLAGS])
        is_padded = False
        try:
            while (kind := data[place]) != _GIF_TRAILER:
                if kind == 0:
                    is_padded = True
                    place += 1
                elif kind not in {_GIF_IMAGE, _GIF_EXTENSION} or is_padded:
                    return GifBlocks(is_damaged=True, has_end=False)
                else:
                    place = _gif_block_end(data, place)
        except IndexError:
            return GifBlocks(is_damaged=False, has_end=False)
        return GifBlocks(is_damaged=_is_gif_image(data, place + 1), has_end=True)


def _gif_block_end(data: mmap.mmap, place: int) -> int:
    if data[place] == _GIF_IMAGE:
        place += _GIF_IMAGE_BYTES + 1 + _color_table_bytes(data[place + _GIF_IMAGE_BYTES - 1])
    else:
        place += 2
    while length := data[place]:  # of a part of the block; the last one has none
        place += 1 + length
    return place + 1


def _is_gif_image(data: mmap.mmap, place: int) -> bool:
    """Whether an image, perhaps behind extensions, is there as a whole."""
    try:
        while data[place] == _GIF_EXTENSION:
            place = _gif_block_end(data, place)
        return data[place] == _GIF_IMAGE and _gif_block_end(data, place) > place
    except IndexError:
        return False


def _color_table_bytes(flags: int) -> int:
    """The size of the table of colors that follows, if one does."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & _GIF_HAS_TABLE else 0


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
