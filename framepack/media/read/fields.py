"""H.264 packets that hold one field of a frame: decoders make one frame of two of them (PAFF)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from framepack.media.read.h264_parameters import Sps, new_parameters, parameters
from framepack.media.read.nal_units import BitReader, unescaped, units_of

_SLICES: Final = frozenset({1, 2, 5})


class FieldPairs:
    """Tells second fields from what begins a frame.

    Args:
        codec: FFmpeg's name of the codec.
        extradata: The codec's parameters as the container has them.
    """

    def __init__(self, codec: str, extradata: bytes | None) -> None:
        self._is_h264 = codec == "h264"
        self._length_bytes, self._sps = parameters(extradata or b"") if self._is_h264 else (0, None)
        # A first field: the number of its frame, and whether it is the bottom one.
        self._waiting: tuple[int, bool] | None = None

    def is_second(self, data: memoryview, *, is_key: bool) -> bool:
        """Whether a packet only holds the field that completes the frame of the packet before it.

        Args:
            data: The packet.
            is_key: Whether it is marked as a key frame, with which new parameters may come.
        """
        if is_key and self._is_h264:
            self._sps = new_parameters(units_of(bytes(data), self._length_bytes), self._sps)
        if self._sps is None or self._sps.has_only_frames:
            return False
        found = set(_fields(bytes(data), self._length_bytes, self._sps))
        if len(found) != 1:  # both fields, a frame, or nothing that can be read
            self._waiting = None
            return False
        frame_num, is_bottom = found.pop()
        if self._waiting == (frame_num, not is_bottom):
            self._waiting = None
            return True
        self._waiting = frame_num, is_bottom
        return False


def _fields(packet: bytes, length_bytes: int, sps: Sps) -> Iterator[tuple[int, bool]]:
    """For each slice of a field: the number of its frame, and whether its field is the bottom one."""
    for unit in units_of(packet, length_bytes):
        if unit[0] & 31 not in _SLICES:
            continue
        bits = BitReader(unescaped(unit[1:]))
        try:
            for _ in range(3):  # first macroblock, type, number of parameters
                bits.ue()
            if sps.has_color_planes:
                bits.u(2)
            frame_num = bits.u(sps.frame_num_bits)
            if bits.u(1):
                yield frame_num, bool(bits.u(1))
        except ValueError:
            continue
