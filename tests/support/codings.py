"""Files of one codec whose frames are painted, and may have several sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from numpy.typing import NDArray

from framepack.media.clip import Colors
from tests.support.clips import BT709, REPRODUCIBLE, to_frame

TICK = Fraction(1, 25)

Painter = Callable[[int, int, int], NDArray[Any]]


@dataclass(frozen=True)
class Coding:
    """How frames become a file."""

    name: str
    codec: str
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    colors: Colors = BT709
    rotation: int = 0


def encoded(folder: Path, coding: Coding, paint: Painter, sizes: Sequence[tuple[int, int]], count: int) -> Path:
    """A file of ``count`` frames in each size, by an encoder for each, as where a phone is turned."""
    path = folder / coding.name
    number = 0
    with av.open(str(path), "w", options=REPRODUCIBLE) as output:
        stream = cast("av.VideoStream", output.add_stream(coding.codec, rate=25, options=coding.options))
        stream.width, stream.height = sizes[0]
        stream.pix_fmt = coding.pix_fmt
        stream.codec_context.color_range = 2 if coding.colors.full_range else 1
        if coding.rotation:
            stream.set_display_rotation(-coding.rotation)
        for size in sizes:
            encoder = stream.codec_context if len(sizes) == 1 else _encoder(coding, size)
            packets = []
            for index in range(count):
                frame = _frame(paint(index, *size), coding)
                frame.pts, frame.time_base = index, TICK
                packets += encoder.encode(frame)
            for packet in [*packets, *encoder.encode(None)]:
                if len(sizes) > 1:
                    packet.pts = packet.dts = number
                    packet.duration, packet.time_base = 1, TICK
                number += 1
                packet.stream = stream
                output.mux(packet)
    return path


def _encoder(coding: Coding, size: tuple[int, int]) -> av.VideoCodecContext:
    encoder = cast("av.VideoCodecContext", av.CodecContext.create(coding.codec, "w"))
    encoder.width, encoder.height = size
    encoder.pix_fmt, encoder.time_base, encoder.framerate = coding.pix_fmt, TICK, Fraction(25)
    encoder.color_range = 2 if coding.colors.full_range else 1
    encoder.options = dict(coding.options)
    return encoder


def _frame(image: NDArray[Any], coding: Coding) -> av.VideoFrame:
    if image.shape[-1] == 4:
        return av.VideoFrame.from_ndarray(image, "rgba").reformat(format=coding.pix_fmt)
    return to_frame(image.astype(np.uint8), coding.pix_fmt, coding.colors)
