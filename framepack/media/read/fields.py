"""H.264 packets that hold one field of a frame: decoders make one frame of two of them (PAFF)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

_SPS: Final = 7
_SLICES: Final = frozenset({1, 2, 5})
_AVCC: Final = 1  # first byte of extradata whose units have lengths instead of start codes
_AVCC_BYTES: Final = 8  # before the first unit, whose length comes last
_START_CODE: Final = b"\0\0\1"
_UNIT_BYTES: Final = 1024  # more than is needed of a unit
_WITH_CHROMA_FORMAT: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_YUV444: Final = 3
_MOST_ZEROS: Final = 31
_SMALL_LISTS: Final = 6


class FieldPairs:
    """Tells second fields from what begins a frame.

    Args:
        codec: FFmpeg's name of the codec.
        extradata: The codec's parameters as the container has them.
    """

    def __init__(self, codec: str, extradata: bytes | None) -> None:
        self._is_h264 = codec == "h264"
        self._length_bytes, self._sps = _parameters(extradata or b"") if self._is_h264 else (0, None)
        # A first field: the number of its frame, and whether it is the bottom one.
        self._waiting: tuple[int, bool] | None = None

    def is_second(self, data: memoryview, *, is_key: bool) -> bool:
        """Whether a packet only holds the field that completes the frame of the packet before it.

        Args:
            data: The packet.
            is_key: Whether it is marked as a key frame, with which new parameters may come.
        """
        if is_key and self._is_h264:
            self._sps = _new_parameters(_units(bytes(data), self._length_bytes), self._sps)
        if self._sps is None:
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


@dataclass(frozen=True, slots=True)
class _Sps:
    """What a sequence parameter set says about slice headers, where frames may be coded as fields."""

    frame_num_bits: int
    has_color_planes: bool


@dataclass(slots=True)
class _Reader:
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


def _parameters(extradata: bytes) -> tuple[int, _Sps | None]:
    """The number of bytes of a unit's length, 0 with start codes, and the parameters if frames may be fields."""
    if not extradata or extradata[0] != _AVCC or len(extradata) < _AVCC_BYTES:
        return 0, _new_parameters(_units(extradata, 0), None)
    first = extradata[_AVCC_BYTES : _AVCC_BYTES + int.from_bytes(extradata[_AVCC_BYTES - 2 : _AVCC_BYTES])]
    return (extradata[4] & 3) + 1, _new_parameters([first] if first else [], None)


def _new_parameters(units: Iterable[bytes], known: _Sps | None) -> _Sps | None:
    """The parameters among some units; without any those that are known."""
    for unit in units:
        if unit[0] & 31 == _SPS:
            with suppress(ValueError):
                return _sps(_Reader(_unescaped(unit[1:])))
    return known


def _sps(bits: _Reader) -> _Sps | None:
    profile, has_color_planes = bits.u(8), False
    bits.u(16)
    bits.ue()
    if profile in _WITH_CHROMA_FORMAT:
        chroma = bits.ue()
        has_color_planes = chroma == _YUV444 and bool(bits.u(1))
        bits.ue()
        bits.ue()
        bits.u(1)
        if bits.u(1):
            for number in range(8 if chroma != _YUV444 else 12):
                _skip_scaling_list(bits, 16 if number < _SMALL_LISTS else 64)
    frame_num_bits = bits.ue() + 4
    order_type = bits.ue()
    if order_type == 0:
        bits.ue()
    elif order_type == 1:
        bits.u(1)
        bits.ue()
        bits.ue()
        for _ in range(bits.ue()):
            bits.ue()
    bits.ue()
    bits.u(1)
    bits.ue()
    bits.ue()
    has_only_frames = bits.u(1)
    return None if has_only_frames else _Sps(frame_num_bits, has_color_planes)


def _skip_scaling_list(bits: _Reader, size: int) -> None:
    if not bits.u(1):
        return
    scale = 8
    for _ in range(size):
        code = bits.ue()
        scale = (scale + ((code + 1) // 2 if code % 2 else -code // 2)) % 256
        if not scale:
            return


def _fields(packet: bytes, length_bytes: int, sps: _Sps) -> Iterator[tuple[int, bool]]:
    """For each slice of a field: the number of its frame, and whether its field is the bottom one."""
    for unit in _units(packet, length_bytes):
        if unit[0] & 31 not in _SLICES:
            continue
        bits = _Reader(_unescaped(unit[1:]))
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


def _units(data: bytes, length_bytes: int) -> Iterator[bytes]:
    """The beginning of each unit."""
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


def _unescaped(unit: bytes) -> bytes:
    """A unit without the bytes that keep start codes out of it."""
    return unit.replace(b"\0\0\3", b"\0\0")
