"""Frames that are missing among the last ones of a stream, by the numbers with which codecs count frames in order.

Where decoding is not in order of presentation, a stream that is cut off lacks frames before its last one. Timestamps
do not tell these from a pause; H.264, HEVC and MPEG count the frames themselves, whatever their times.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from framepack.media.read.frame_order import MOST_REORDERED
from framepack.media.read.h264_parameters import new_parameters, parameters
from framepack.media.read.nal_units import BitReader, unescaped, units_of

_HEAD_BYTES: Final = 4096  # parameters and messages come before the first slice
_PACKETS: Final = 4 * MOST_REORDERED

_H264_SLICES: Final = frozenset({1, 2, 5})
_H264_IDR: Final = 5
_HEVC_SPS, _HEVC_PPS = 33, 34
_HEVC_SLICES: Final = frozenset((*range(10), *range(16, 22)))
_HEVC_KEYS: Final = range(16, 24)
_HEVC_RESETS: Final = range(16, 21)  # BLA and IDR
_HEVC_IDR: Final = (19, 20)
_HEVC_FOLLOWED: Final = frozenset({0, 2, 4, *range(6, 16)})  # their numbers are not continued
_HVCC_BYTES: Final = 22  # before the arrays of parameters
_PROFILE_BITS: Final = 88
_YUV444: Final = 3
_UNKNOWN: Final = "no number"
_FRAME, _GROUP = b"\0\0\1\0", b"\0\0\1\xb8"

Heads = Iterable[bytes]
Numbers = Iterator[tuple[int, bool]]
"""For each packet the number of its frame, and whether counting starts anew with it."""


@dataclass(slots=True)
class LastFrames:
    """The beginnings of the last packets of a stream, one for each frame.

    Attributes:
        codec: FFmpeg's name of the codec.
        extradata: The codec's parameters as the container has them.
    """

    codec: str
    extradata: bytes
    _heads: deque[bytes] = field(default_factory=lambda: deque(maxlen=_PACKETS))
    _is_whole: bool = True

    def add(self, packet: memoryview) -> None:
        """Add the next packet with data."""
        self._is_whole &= len(self._heads) < _PACKETS
        self._heads.append(bytes(packet[:_HEAD_BYTES]))

    def missing(self) -> int:
        """Number of frames that are missing before the one that is shown last; 0 if that is not known."""
        read = _READERS.get(self.codec)
        if read is None:
            return 0
        runs: list[list[int]] = [[]]
        try:
            for number, is_first in read(self.extradata, self._heads):
                if is_first:
                    runs.append([])
                runs[-1].append(number)
        except ValueError:
            return 0
        return _missing(runs[-1], _step(runs), is_whole=self._is_whole or len(runs) > 1)


def _step(runs: Iterable[Sequence[int]]) -> int:
    """The difference between the numbers of two neighbors; 0 if there are none."""
    steps = (after - before for numbers in runs for before, after in pairwise(sorted(set(numbers))))
    return min(steps, default=0)


def _missing(numbers: Sequence[int], step: int, *, is_whole: bool) -> int:
    """Number of frames that are missing in the last group of frames that are decoded after a later one.

    Args:
        numbers: The numbers of frames in order of decoding.
        step: The difference between two neighbors.
        is_whole: Whether nothing is left out before the first of them.
    """
    anchors = [index for index, number in enumerate(numbers) if number > max(numbers[:index], default=number - 1)]
    if len(anchors) < 2:  # noqa: PLR2004 - a group lies between two
        return 0
    groups = []
    for before, anchor, end in zip(anchors[:-1], anchors[1:], [*anchors[2:], len(numbers)], strict=True):
        within = numbers[anchor + 1 : end]
        lacks = (numbers[anchor] - numbers[before]) // step - 1 - len(set(within))
        if is_whole or before > MOST_REORDERED:
            groups.append(lacks if min(within, default=numbers[anchor]) > numbers[before] else -1)
    return max(0, groups[-1]) if groups and not any(groups[:-1]) else 0  # otherwise they count something else


def _continued(low: int, bits: int, latest: int) -> int:
    """The number near ``latest`` that has these lowest bits."""
    half = 1 << bits - 1
    return latest - half + (low - latest + half) % (2 * half)


def _h264(extradata: bytes, heads: Heads) -> Numbers:
    length_bytes, sps = parameters(extradata)
    latest = 0
    for head in heads:
        units = list(units_of(head, length_bytes))
        sps = new_parameters(units, sps)
        unit = next((unit for unit in units if unit[0] & 31 in _H264_SLICES), None)
        if unit is None or sps is None or not sps.order_bits:
            raise ValueError(_UNKNOWN)
        bits = BitReader(unescaped(unit[1:]))
        is_idr = unit[0] & 31 == _H264_IDR
        for _ in range(3):  # first macroblock, type, number of parameters
            bits.ue()
        bits.u(2 * sps.has_color_planes + sps.frame_num_bits)
        if not sps.has_only_frames and bits.u(1):
            bits.u(1)
        if is_idr:
            bits.ue()
            latest = 0
        number = _continued(bits.u(sps.order_bits), sps.order_bits, latest)
        if unit[0] >> 5 & 3:
            latest = number
        yield number, is_idr


@dataclass(slots=True)
class _HevcParameters:
    order_bits: int = 0
    has_color_planes: bool = False
    has_output_flag: bool = False
    extra_bits: int = 0

    def read(self, unit: bytes) -> None:
        """Take over what a unit says."""
        kind, bits = unit[0] >> 1 & 63, BitReader(unescaped(unit[2:]))
        if kind == _HEVC_PPS:
            bits.ue()
            bits.ue()
            bits.u(1)
            self.has_output_flag, self.extra_bits = bool(bits.u(1)), bits.u(3)
        elif kind == _HEVC_SPS:
            bits.u(4)
            layers = bits.u(3)
            bits.u(1 + _PROFILE_BITS + 8)
            flags = [(bits.u(1), bits.u(1)) for _ in range(layers)]
            bits.u(2 * (8 - layers) if layers else 0)
            for has_profile, has_level in flags:
                bits.u(_PROFILE_BITS * has_profile + 8 * has_level)
            bits.ue()
            self.has_color_planes = bits.ue() == _YUV444 and bool(bits.u(1))
            bits.ue()
            bits.ue()
            for _ in range(4 * bits.u(1)):
                bits.ue()
            bits.ue()
            bits.ue()
            self.order_bits = bits.ue() + 4


def _hevc(extradata: bytes, heads: Heads) -> Numbers:
    known, length_bytes = _HevcParameters(), 0
    if extradata[:1] == b"\1" and len(extradata) > _HVCC_BYTES:
        length_bytes = (extradata[_HVCC_BYTES - 1] & 3) + 1
    for unit in _hvcc_units(extradata) if length_bytes else units_of(extradata, 0):
        known.read(unit)
    latest = 0
    for head in heads:
        slices = []
        for unit in units_of(head, length_bytes):
            known.read(unit)
            slices += [unit] if unit[0] >> 1 & 63 in _HEVC_SLICES else []
        if not slices or not known.order_bits:
            raise ValueError(_UNKNOWN)
        unit = slices[0]
        kind, bits = unit[0] >> 1 & 63, BitReader(unescaped(unit[1:]))
        layer = bits.u(8) & 7
        bits.u(1 + (kind in _HEVC_KEYS))
        bits.ue()
        bits.u(known.extra_bits)
        bits.ue()
        bits.u(known.has_output_flag + 2 * known.has_color_planes)
        latest = 0 if kind in _HEVC_RESETS else latest
        number = 0 if kind in _HEVC_IDR else _continued(bits.u(known.order_bits), known.order_bits, latest)
        if layer == 1 and kind not in _HEVC_FOLLOWED:
            latest = number
        yield number, kind in _HEVC_RESETS


def _hvcc_units(extradata: bytes) -> Iterator[bytes]:
    """The units of parameters in the header that MP4 and MKV have."""
    place = _HVCC_BYTES + 1
    for _ in range(extradata[_HVCC_BYTES]):
        count = int.from_bytes(extradata[place + 1 : place + 3])
        place += 3
        for _ in range(count):
            size_bytes = int.from_bytes(extradata[place : place + 2])
            if size_bytes > 1 and place + 2 + size_bytes <= len(extradata):
                yield extradata[place + 2 : place + 2 + size_bytes]
            place += 2 + size_bytes


def _mpeg(_: bytes, heads: Heads) -> Numbers:
    begin = top = -1
    for head in heads:
        place = head.find(_FRAME)
        if place < 0 or place + 6 > len(head):
            raise ValueError(_UNKNOWN)
        if 0 <= head.find(_GROUP) < place:
            begin = top
        number = begin + 1 + (int.from_bytes(head[place + 4 : place + 6]) >> 6)
        top = max(top, number)
        yield number, False


_READERS: Final[dict[str, Callable[[bytes, Heads], Numbers]]] = {
    "h264": _h264,
    "hevc": _hevc,
    "mpeg1video": _mpeg,
    "mpeg2video": _mpeg,
}
