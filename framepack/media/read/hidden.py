"""Packets whose frames are decoded but never shown, such as the alternate reference frames of VP8 and VP9."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from av.packet import Packet

_VP8_SHOW: Final = 0x10  # in the first byte of the frame tag
_VP9_MARKER: Final = 0b10
_VP9_RESERVED_PROFILE: Final = 3  # has one more bit
_SUPERFRAME_MARKER: Final = 0b110
_THEORA_HEADER: Final = 0x80
_GIF_EXTENSION, _GIF_END = 0x21, 0x3B
_MPEG: Final = ("mpeg1video", "mpeg2video")
_MPEG_FRAME: Final = b"\0\0\1\0"
_MPEG4_FRAME, _MPEG4_B = b"\0\0\1\xb6", 2


def is_shown(codec: str, packet: Packet[Any]) -> bool:
    """Whether a packet holds a frame that is shown.

    Args:
        codec: FFmpeg's name of the codec.
        packet: A packet with data.
    """
    if is_header(codec, packet):
        return False
    if codec not in {"vp8", "vp9"}:
        return True
    data = memoryview(cast("Any", packet))
    if codec == "vp8":
        return bool(data[0] & _VP8_SHOW)
    return any(_vp9_is_shown(data[position]) for position in _vp9_positions(data))


def is_header(codec: str, packet: Packet[Any]) -> bool:
    """Whether a packet holds a header instead of a frame.

    Such packets are at the second beginning of a chained Ogg file, and a GIF has one if something other than its end
    follows its last image, such as a comment.

    Args:
        codec: FFmpeg's name of the codec.
        packet: A packet with data.
    """
    data = memoryview(cast("Any", packet))
    if codec == "gif":
        return not _gif_has_image(data)
    return codec == "theora" and bool(data[0] & _THEORA_HEADER)


def _gif_has_image(data: memoryview) -> bool:
    """Whether anything but extensions and the end is in the data of a GIF."""
    place = 0
    while place + 2 < len(data) and data[place] == _GIF_EXTENSION:
        place += 2
        while place < len(data) and data[place]:
            place += 1 + data[place]
        place += 1
    return place < len(data) and data[place] != _GIF_END


def is_always_decoded(codec: str, packet: Packet[Any]) -> bool:
    """Whether a decoder returns a frame for a packet unless data is missing, which need not be an error for it.

    So it is with MPEG-1 and MPEG-2, and with B-frames of MPEG-4; other packets may say that nothing changes.

    Args:
        codec: FFmpeg's name of the codec.
        packet: A packet with data.
    """
    if codec in _MPEG:
        return _MPEG_FRAME in bytes(packet)
    head = bytes(memoryview(cast("Any", packet))[: len(_MPEG4_FRAME) + 1])
    return codec == "mpeg4" and head[:-1] == _MPEG4_FRAME and head[-1] >> 6 == _MPEG4_B


def _vp9_is_shown(header: int) -> bool:
    """Whether a VP9 frame is shown, from the first byte of its header; True for what is no header."""
    if header >> 6 != _VP9_MARKER:
        return True
    profile = (header >> 5 & 1) | (header >> 4 & 1) << 1
    rest = header << (profile == _VP9_RESERVED_PROFILE)
    shows_existing, shows = rest >> 3 & 1, rest >> 1 & 1
    return bool(shows_existing or shows)


def _vp9_positions(data: memoryview) -> list[int]:
    """Where the frames of a VP9 packet begin: several in a superframe, whose index is at its end."""
    last = data[-1]
    count, size_bytes = (last & 7) + 1, (last >> 3 & 3) + 1
    index_bytes = 2 + count * size_bytes
    if last >> 5 != _SUPERFRAME_MARKER or len(data) < index_bytes or data[-index_bytes] != last:
        return [0]
    index = bytes(data[-index_bytes + 1 : -1])
    sizes = [int.from_bytes(index[at : at + size_bytes], "little") for at in range(0, len(index), size_bytes)]
    positions = [sum(sizes[:number]) for number in range(count)]
    return [position for position in positions if position < len(data) - index_bytes] or [0]
