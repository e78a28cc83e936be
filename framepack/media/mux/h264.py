"""What must be known of coded H.264 to cut and join it without decoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from av.packet import Packet

_AVCC_VERSION: Final = 1
_SIZE_BYTE: Final = 4  # of the header: how long the size before each unit is
_IDR: Final = 5


def starts_anew(packet: Packet[Any]) -> bool:
    """Whether a packet, as MP4 stores it, holds a frame before which a decoder forgets all others."""
    header = packet.stream.codec_context.extradata or b""
    if len(header) <= _SIZE_BYTE or header[0] != _AVCC_VERSION:
        return False
    size_bytes, data, position = (header[_SIZE_BYTE] & 3) + 1, bytes(packet), 0
    while position + size_bytes < len(data):
        if data[position + size_bytes] & 31 == _IDR:
            return True
        position += size_bytes + int.from_bytes(data[position : position + size_bytes], "big")
    return False
