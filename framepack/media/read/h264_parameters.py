"""The parameters of H.264 streams (SPS), as far as the headers of slices depend on them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from framepack.media.read.nal_units import BitReader, unescaped, units_of

_SPS: Final = 7
_AVCC: Final = 1  # first byte of extradata whose units have lengths instead of start codes
_AVCC_BYTES: Final = 8  # before the first unit, whose length comes last
_WITH_CHROMA_FORMAT: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_YUV444: Final = 3
_SMALL_LISTS: Final = 6


@dataclass(frozen=True, slots=True)
class Sps:
    """What a sequence parameter set says about slice headers.

    Attributes:
        frame_num_bits: Number of bits of the number of a frame.
        has_color_planes: Whether each plane has slices of its own.
        has_only_frames: Whether no frame may be coded as fields.
        order_bits: Number of bits of the number by which frames are shown; 0 if slices do not have it.
    """

    frame_num_bits: int
    has_color_planes: bool
    has_only_frames: bool
    order_bits: int


def parameters(extradata: bytes) -> tuple[int, Sps | None]:
    """The number of bytes of a unit's length, 0 with start codes, and the parameters if they are known."""
    if not extradata or extradata[0] != _AVCC or len(extradata) < _AVCC_BYTES:
        return 0, new_parameters(units_of(extradata, 0), None)
    first = extradata[_AVCC_BYTES : _AVCC_BYTES + int.from_bytes(extradata[_AVCC_BYTES - 2 : _AVCC_BYTES])]
    return (extradata[4] & 3) + 1, new_parameters([first] if first else [], None)


def new_parameters(units: Iterable[bytes], known: Sps | None) -> Sps | None:
    """The parameters among some units; without any those that are known."""
    for unit in units:
        if unit[0] & 31 == _SPS:
            with suppress(ValueError):
                return _sps(BitReader(unescaped(unit[1:])))
    return known


def _sps(bits: BitReader) -> Sps:
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
    order_type, order_bits = bits.ue(), 0
    if order_type == 0:
        order_bits = bits.ue() + 4
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
    return Sps(frame_num_bits, has_color_planes, bool(bits.u(1)), order_bits)


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    if not bits.u(1):
        return
    scale = 8
    for _ in range(size):
        code = bits.ue()
        scale = (scale + ((code + 1) // 2 if code % 2 else -code // 2)) % 256
        if not scale:
            return
