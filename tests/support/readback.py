"""Reading of video files with FFmpeg and textbook formulas, independent of the code under test."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from numpy.typing import NDArray

from framepack.media.clip import Colors, Matrix

Pixels = NDArray[np.uint8]
"""RGB, shape (height, width, 3)."""


@dataclass(frozen=True)
class DecodedFile:
    """The contents of a file, decoded by FFmpeg."""

    frames: list[Pixels]
    times: list[Fraction]
    colors: Colors
    pix_fmt: str
    rate: Fraction | None
    aspect: Fraction | None


def read_back(path: Path) -> DecodedFile:
    """Decode a video file that has color tags."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        frames, times = [], []
        for frame in container.decode(stream):
            frames.append(rgb_of(frame))
            times.append((frame.pts or 0) * Fraction(stream.time_base or 1))
        colors = Colors(
            Matrix(context.colorspace), context.color_primaries, context.color_trc, context.color_range == 2
        )
        return DecodedFile(
            frames, times, colors, context.pix_fmt or "", stream.average_rate, stream.sample_aspect_ratio
        )


def rgb_of(frame: av.VideoFrame) -> Pixels:
    """RGB of a tagged planar YUV frame by the textbook formulas; chroma is repeated, not interpolated."""
    depth = frame.format.components[0].bits
    unit, full = 2 ** (depth - 8), frame.color_range == 2
    kr, kb = Matrix({5: 6}.get(frame.colorspace, frame.colorspace)).red_blue
    kind = np.uint8 if depth == 8 else np.uint16
    planes = []
    for plane in frame.planes:
        stride = plane.line_size // np.dtype(kind).itemsize
        small = np.frombuffer(cast("bytes", plane), kind).reshape(plane.height, stride)[:, : plane.width]
        across, down = -(-frame.width // plane.width), -(-frame.height // plane.height)
        planes.append(small.repeat(down, 0).repeat(across, 1)[: frame.height, : frame.width] / unit)
    luma = planes[0] / 255 if full else (planes[0] - 16) / 219
    blue_part, red_part = ((plane - 128) / (255 if full else 224) for plane in planes[1:])
    red, blue = luma + 2 * (1 - kr) * red_part, luma + 2 * (1 - kb) * blue_part
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return (np.stack([red, green, blue], axis=-1) * 255).round().clip(0, 255).astype(np.uint8)


def psnr(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio of two arrays of 8-bit numbers, in dB; infinite if they are equal."""
    error = float(np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def audio_of(path: Path) -> tuple[NDArray[np.float64], int]:
    """A file's first audio as mono samples from time zero on, -1 to 1, and their rate."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        rate = stream.sample_rate
        total = np.zeros(rate * 60)
        resampler = av.AudioResampler("fltp", "mono", rate)
        end = 0
        for frame in container.decode(stream):
            begin = round((frame.time or 0) * rate)
            for piece in resampler.resample(frame):
                samples = piece.to_ndarray()[0]
                skipped = max(0, -begin)
                end = begin + len(samples)
                if end > 0:
                    total[begin + skipped : end] = samples[skipped:]
                begin = end
        return total[:end], rate


def beep_times(path: Path) -> list[float]:
    """Seconds at which beeps begin."""
    samples, rate = audio_of(path)
    loud = np.abs(samples) > 0.2
    return [
        float(index) / rate
        for index in np.flatnonzero(loud)
        if not loud[max(0, int(index) - rate // 20) : int(index)].any()
    ]
