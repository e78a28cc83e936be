"""H.264 whose frames are coded as single fields (PAFF), as broadcasters write it; no encoder at hand does."""

from __future__ import annotations

import io
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tests.support.clips import REPRODUCIBLE

_SPS, _PPS, _IDR, _SLICE, _DELIMITER = 7, 8, 5, 1, 9
_PCM, _I_SLICE, _MAIN_PROFILE = 25, 7, 77
_MB = 16
_FRAME_NUM_BITS = _POC_BITS = 8
TICK = Fraction(1, 90_000)


@dataclass
class _Bits:
    """A NAL unit while it is written."""

    bits: list[int] = field(default_factory=list)

    def u(self, count: int, value: int) -> None:
        """Unsigned, of a fixed number of bits."""
        self.bits += [value >> place & 1 for place in reversed(range(count))]

    def ue(self, value: int) -> None:
        """Exponential-Golomb code."""
        length = (value + 1).bit_length()
        self.u(2 * length - 1, value + 1)

    def align(self) -> None:
        """Zeros up to a whole byte."""
        self.bits += [0] * (-len(self.bits) % 8)

    def samples(self, values: NDArray[np.uint8]) -> None:
        """Whole bytes."""
        self.bits += np.unpackbits(values).tolist()

    def unit(self, kind: int, importance: int = 3) -> bytes:
        """The finished unit with its start code."""
        data = np.packbits([*self.bits, 1]).tobytes()
        escaped = bytearray()
        for byte in data:
            if byte <= 3 and escaped[-2:] == b"\0\0":
                escaped.append(3)
            escaped.append(byte)
        return b"\0\0\0\1" + bytes([importance << 5 | kind]) + bytes(escaped)


def coded_fields(luma: Sequence[NDArray[np.uint8]], order: Sequence[int]) -> list[tuple[bytes, bytes]]:
    """Two coded fields for each frame, the top field first.

    Args:
        luma: The frames in order of presentation, gray, their sides multiples of 32.
        order: Numbers of the frames in order of decoding.
    """
    height, width = luma[0].shape
    head = _parameters(width, height)
    return [
        (
            (head if not position else b"") + _coded_field(luma[number][0::2], position, number, is_bottom=False),
            _coded_field(luma[number][1::2], position, number, is_bottom=True),
        )
        for position, number in enumerate(order)
    ]


def _parameters(width: int, height: int) -> bytes:
    sps = _Bits()
    for count, value in (8, _MAIN_PROFILE), (8, 0), (8, 30):
        sps.u(count, value)
    for value in 0, _FRAME_NUM_BITS - 4, 0, _POC_BITS - 4, 4:
        sps.ue(value)
    sps.u(1, 0)
    sps.ue(width // _MB - 1)
    sps.ue(height // _MB // 2 - 1)
    for flag in 0, 0, 1, 0, 0:  # frames only, adaptive, direct inference, cropping, VUI
        sps.u(1, flag)
    pps = _Bits()
    pps.ue(0)
    pps.ue(0)
    pps.u(2, 0)
    for value in 0, 0, 0:
        pps.ue(value)
    pps.u(3, 0)
    for value in 0, 0, 0:  # QP, QP of switching slices, chroma QP
        pps.ue(value)
    pps.u(3, 0b100)  # deblocking is controlled by slices
    return sps.unit(_SPS) + pps.unit(_PPS)


def _coded_field(luma: NDArray[np.uint8], position: int, number: int, *, is_bottom: bool) -> bytes:
    is_idr = position == 0 and not is_bottom
    bits = _Bits()
    bits.ue(0)
    bits.ue(_I_SLICE)
    bits.ue(0)
    bits.u(_FRAME_NUM_BITS, position % 2**_FRAME_NUM_BITS)
    bits.u(2, 0b10 | is_bottom)
    if is_idr:
        bits.ue(0)
    bits.u(_POC_BITS, (2 * number + is_bottom) % 2**_POC_BITS)
    bits.u(2 if is_idr else 1, 0)  # reference marking
    bits.ue(0)  # change of QP
    bits.ue(1)  # no deblocking
    gray = np.full(_MB * _MB // 2, 128, np.uint8)
    for top in range(0, luma.shape[0], _MB):
        for left in range(0, luma.shape[1], _MB):
            bits.ue(_PCM)
            bits.align()
            bits.samples(luma[top : top + _MB, left : left + _MB].ravel())
            bits.samples(gray)
    delimiter = _Bits()
    delimiter.u(3, 7)
    return (b"" if is_bottom else delimiter.unit(_DELIMITER, 0)) + bits.unit(_IDR if is_idr else _SLICE)


def write_fields(
    path: Path,
    luma: Sequence[NDArray[np.uint8]],
    *,
    order: Sequence[int] | None = None,
    fps: Fraction = Fraction(25),
    each_alone: bool = True,
    lost_fields: Container[int] = (),
) -> Path:
    """Write a file of coded fields; its suffix sets the container.

    Args:
        path: The file.
        luma: As in `coded_fields`.
        order: As in `coded_fields`; None for that of presentation.
        fps: Frames, not fields, per second.
        each_alone: Whether each field has a packet of its own.
        lost_fields: Numbers of fields, in order of decoding, that are left out.
    """
    order = list(range(len(luma)) if order is None else order)
    duration = round(1 / fps / TICK)
    coded = coded_fields(luma, order)
    raw = av.open(io.BytesIO(b"".join(top + bottom for top, bottom in coded)), format="h264")
    ahead = max(position - number for position, number in enumerate(order))
    with raw, av.open(str(path), "w", options=REPRODUCIBLE) as output:
        stream = output.add_stream_from_template(raw.streams.video[0])
        for position, (number, fields) in enumerate(zip(order, coded, strict=True)):
            for half, data in enumerate(fields if each_alone else [b"".join(fields)]):
                if 2 * position + half in lost_fields:
                    continue
                packet = av.Packet(data)
                middle = half * duration // 2
                packet.time_base, packet.stream = TICK, stream
                packet.pts = (number + ahead) * duration + middle
                packet.dts = position * duration + middle
                packet.duration = duration // 2 if each_alone else duration
                packet.is_keyframe = position == 0 and not half
                output.mux(packet)
    return path
