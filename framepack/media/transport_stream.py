"""Packets of MPEG transport streams, and the streams that their program maps announce, wherever they are."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PACKETS: Final = ((188, 0), (192, 4), (204, 0))
"""The number of bytes that packets may have, and where their sync byte is."""

SYNC: Final = b"\x47"
"""The sync byte of every packet."""

_LEAST_PACKETS: Final = 3  # of a video: two tables, and a frame
_LEAST_PROBED_BYTES: Final = 10 * 204  # FFmpeg's probe wants ten packets of any kind
_BEGINS_SECTION: Final = 0x40
_MAP: Final = b"\x00\x02\xb0"  # behind the header of a packet: a section of less than 256 bytes follows at once
_HEADER_BYTES: Final = 4
_SECTION_BYTES: Final = 184
_CHECKSUM_BYTES: Final = 4
_ENTRY_BYTES: Final = 5
_MOST_MAPS: Final = 1000  # different ones; more are damage


def is_transport_stream(data: bytes) -> bool:
    """Whether data consists of packets of an MPEG transport stream, as at the end of one that is padded."""
    kinds = (data[begin::packet_bytes] for packet_bytes, begin in PACKETS)
    return any(packets.count(SYNC) == len(packets) for packets in kinds)


def is_small_transport_stream(path: Path) -> bool:
    """Whether a file is an MPEG transport stream that is too small for FFmpeg to find that out."""
    size_bytes = path.stat().st_size
    if not _LEAST_PACKETS * PACKETS[0][0] <= size_bytes < _LEAST_PROBED_BYTES:
        return False
    return is_transport_stream(path.read_bytes())


def announced_streams(path: Path) -> frozenset[int]:
    """The identifiers (PID) of all streams that a program map announces; none if the file has no maps."""
    found: set[int] = set()
    for section in _maps(path):
        length = 3 + section[2]
        begin = 12 + (int.from_bytes(section[10:12], "big") & 0xFFF)
        while begin + _ENTRY_BYTES <= min(length - _CHECKSUM_BYTES, len(section)):
            found.add(int.from_bytes(section[begin + 1 : begin + 3], "big") & 0x1FFF)
            begin += _ENTRY_BYTES + (int.from_bytes(section[begin + 3 : begin + 5], "big") & 0xFFF)
    return frozenset(found)


def _maps(path: Path) -> set[bytes]:
    """The different program maps of a file, each a section that fits into one packet."""
    maps: set[bytes] = set()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for place in _places(data):
            maps.add(data[place + 1 : place + _SECTION_BYTES])
            if len(maps) == _MOST_MAPS:
                break
    return maps


def _places(data: mmap.mmap) -> Iterator[int]:
    """Where the payload of a packet begins with a program map."""
    place = data.find(_MAP)
    while place >= 0:
        begin = place - _HEADER_BYTES
        if begin >= 0 and data[begin] == SYNC[0] and data[begin + 1] & _BEGINS_SECTION:
            yield place
        place = data.find(_MAP, place + 1)
