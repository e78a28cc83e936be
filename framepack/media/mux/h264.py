"""Parsing of H.264 packets, as needed to cut and join them without decoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from av.packet import Packet

_AVCC_VERSION: Final = 1
_SIZE_BYTE: Final = 4  # index in the AVCC header: bytes of the size field before each NAL unit, minus one
_IDR: Final = 5  # NAL unit type


def is_idr(packet: Packet[Any]) -> bool:
    """Whether a packet in MP4's AVCC format holds an IDR frame, which needs no earlier frame to be decoded."""
    header = packet.stream.codec_context.extradata or b""
    if len(header) <= _SIZE_BYTE or header[0] != _AVCC_VERSION:
        return False
    size_bytes, data, position = (header[_SIZE_BYTE] & 3) + 1, bytes(packet), 0
    while position + size_bytes < len(data):
        if data[position + size_bytes] & 31 == _IDR:
            return True
        position += size_bytes + int.from_bytes(data[position : position + size_bytes], "big")
    return False
