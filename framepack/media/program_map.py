"""Which streams the program maps of an MPEG transport stream announce, wherever in the file they are."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_SYNC: Final = 0x47
_BEGINS_SECTION: Final = 0x40
_MAP: Final = b"\x00\x02\xb0"  # behind the header of a packet: a section of less than 256 bytes follows at once
_HEADER_BYTES: Final = 4
_SECTION_BYTES: Final = 184
_CHECKSUM_BYTES: Final = 4
_ENTRY_BYTES: Final = 5
_MOST_MAPS: Final = 1000  # different ones; more are damage


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
        if begin >= 0 and data[begin] == _SYNC and data[begin + 1] & _BEGINS_SECTION:
            yield place
        place = data.find(_MAP, place + 1)
