"""Parsing of H.264 packets, as needed to cut and join them without decoding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from av.packet import Packet

_AVCC_VERSION: Final = 1
_SIZE_BYTE: Final = 4  # index in the AVCC header: bytes of the size field before each NAL unit, minus one
_SETS_BYTE: Final = 5  # index of the number of SPS, behind which they follow
_SLICE: Final = 1  # NAL unit types
_IDR: Final = 5
_PARAMETER_SETS: Final = (7, 8)  # SPS, PPS
_B_SLICES: Final = (1, 6)
_SLICE_HEADER_BYTES: Final = 9  # with the two numbers at its beginning, however large the frame is


def is_idr(packet: Packet[Any]) -> bool:
    """Whether a packet in MP4's AVCC format holds an IDR frame, which needs no earlier frame to be decoded."""
    return any(unit[0] & 31 == _IDR for unit in _units(packet))


def is_b_frame(packet: Packet[Any]) -> bool:
    """Whether a packet in MP4's AVCC format holds a frame that is predicted from two directions."""
    return any(
        unit[0] & 31 == _SLICE and _slice_type(unit[1 : 1 + _SLICE_HEADER_BYTES]) in _B_SLICES
        for unit in _units(packet)
    )


def changes_parameters(packet: Packet[Any]) -> bool:
    """Whether a packet in MP4's AVCC format brings parameters other than those in the header.

    They replace those of the header for all packets that are decoded later, also where the first one comes again.
    """
    if packet.has_sidedata("new_extradata"):
        return True
    found = {bytes(unit) for unit in _units(packet) if unit[0] & 31 in _PARAMETER_SETS}
    return bool(found) and not found <= set(_parameter_sets(packet.stream.codec_context.extradata or b""))


def _parameter_sets(header: bytes) -> Iterator[bytes]:
    """The SPS and PPS in an AVCC header, which has the number of each kind, and the size before each one."""
    position = _SETS_BYTE
    for mask in (31, 255):
        count, position = int.from_bytes(header[position : position + 1]) & mask, position + 1
        for _ in range(count):
            begin = position + 2
            position = begin + int.from_bytes(header[position:begin])
            yield header[begin:position]


def _units(packet: Packet[Any]) -> Iterator[memoryview]:
    """The NAL units."""
    header = packet.stream.codec_context.extradata or b""
    if len(header) <= _SIZE_BYTE or header[0] != _AVCC_VERSION:
        return
    size_bytes, data, position = (header[_SIZE_BYTE] & 3) + 1, memoryview(cast("Any", packet)), 0
    while position + size_bytes < len(data):
        begin = position + size_bytes
        position = begin + int.from_bytes(data[position:begin])
        if unit := data[begin:position]:
            yield unit


def _slice_type(header: memoryview) -> int:
    """The second of the numbers in Exp-Golomb code with which a slice begins; the first one is its place."""
    bits = "".join(f"{byte:08b}" for byte in header)
    number = 0
    for _ in range(2):
        zeros = len(bits) - len(bits.lstrip("0"))
        number = int(bits[: 2 * zeros + 1] or "1", 2) - 1
        bits = bits[2 * zeros + 1 :]
    return number
