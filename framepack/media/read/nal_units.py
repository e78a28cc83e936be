"""Units (NAL) of H.264 and HEVC packets, and their bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

_START_CODE: Final = b"\0\0\1"
_UNIT_BYTES: Final = 1024  # more than is needed of a unit
_MOST_ZEROS: Final = 31


@dataclass(slots=True)
class BitReader:
    """Reads the bits of a unit."""

    data: bytes
    _place: int = field(default=0)

    def u(self, count: int) -> int:
        """Unsigned, of a fixed number of bits."""
        begin, self._place = self._place, self._place + count
        if self._place > 8 * len(self.data):
            raise ValueError("the unit ends early")
        piece = int.from_bytes(self.data[begin // 8 : -(-self._place // 8)])
        return piece >> -self._place % 8 & (1 << count) - 1

    def ue(self) -> int:
        """Exponential-Golomb code; the signed code takes as many bits."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > _MOST_ZEROS:
                raise ValueError("not a number")
        return (1 << zeros) - 1 + self.u(zeros)


def units_of(data: bytes, length_bytes: int) -> Iterator[bytes]:
    """Yield the beginning of each unit.

    Args:
        data: A packet.
        length_bytes: Number of bytes of the length before each unit; 0 if they begin with start codes.
    """
    if not length_bytes:
        begin = data.find(_START_CODE) + len(_START_CODE)
        while begin >= len(_START_CODE):
            if unit := data[begin : begin + _UNIT_BYTES]:
                yield unit
            begin = data.find(_START_CODE, begin) + len(_START_CODE)
        return
    place = 0
    while place + length_bytes < len(data):
        begin = place + length_bytes
        place = begin + int.from_bytes(data[place:begin])
        if unit := data[begin : min(place, begin + _UNIT_BYTES)]:
            yield unit


def unescaped(unit: bytes) -> bytes:
    """A unit without the bytes that keep start codes out of it."""
    return unit.replace(b"\0\0\3", b"\0\0")
