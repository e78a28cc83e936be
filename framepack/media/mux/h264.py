"""Parsing of H.264 packets, as needed to cut and join them without decoding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from av.packet import Packet

_AVCC_VERSION: Final = 1
_SIZE_BYTE: Final = 4  # index in the AVCC header: bytes of the size field before each NAL unit, minus one
_SLICE: Final = 1  # NAL unit types
_IDR: Final = 5
_B_SLICES: Final = (1, 6)
_SLICE_HEADER_BYTES: Final = 9  # with the two numbers at its beginning, however large the frame is


def is_idr(packet: Packet[Any]) -> bool:
    """Whether a packet in MP4's AVCC format holds an IDR frame, which needs no earlier frame to be decoded."""
    return any(unit[0] & 31 == _IDR for unit in _units(packet))


def is_b_frame(packet: Packet[Any]) -> bool:
    """Whether a packet in MP4's AVCC format holds a frame that is predicted from two directions."""
    return any(unit[0] & 31 == _SLICE and _slice_type(unit[1:]) in _B_SLICES for unit in _units(packet))


def _units(packet: Packet[Any]) -> Iterator[bytes]:
    """The first bytes of each NAL unit."""
    header = packet.stream.codec_context.extradata or b""
    if len(header) <= _SIZE_BYTE or header[0] != _AVCC_VERSION:
        return
    size_bytes, data, position = (header[_SIZE_BYTE] & 3) + 1, bytes(packet), 0
    while position + size_bytes < len(data):
        begin = position + size_bytes
        yield data[begin : begin + _SLICE_HEADER_BYTES]
        position = begin + int.from_bytes(data[position:begin], "big")


def _slice_type(header: bytes) -> int:
    """The second of the numbers in Exp-Golomb code with which a slice begins; the first one is its place."""
    bits = "".join(f"{byte:08b}" for byte in header)
    number = 0
    for _ in range(2):
        zeros = len(bits) - len(bits.lstrip("0"))
        number = int(bits[: 2 * zeros + 1] or "1", 2) - 1
        bits = bits[2 * zeros + 1 :]
    return number
