"""Transparent videos and animations, in every coding that has alpha."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.clips import REPRODUCIBLE
from tests.support.codings import Coding, Painter


def glass(index: int, width: int, height: int) -> NDArray[np.uint8]:
    """Hidden red at the left, green at the right that is half transparent at the top."""
    frame = np.full((height, width, 4), (200, 10, 10, 0), np.uint8)
    frame[:, width // 2 :] = 20, 200, 30, 255
    frame[: height // 4, width // 2 :, 3] = 128
    frame[-4:, : 2 * index + 2] = 90, 90, 90, 255
    return frame


ALPHA = [
    Coding("clip9.webm", "libvpx-vp9", "yuva420p", {"auto-alt-ref": "0"}),
    Coding("clip8.webm", "libvpx", "yuva420p", {"auto-alt-ref": "0", "b": "2M"}),
    Coding("clip.mov", "prores_ks", "yuva444p10le"),
    Coding("png.mov", "png", "rgba"),
    Coding("rle.mov", "qtrle", "argb"),
    Coding("clip.mkv", "ffv1", "yuva420p"),
]
"""Videos with alpha."""


def animation(path: Path, paint: Painter, size: tuple[int, int], durations: list[int]) -> Path:
    """An animated WebP, PNG or GIF file of frames that last so many milliseconds; lossless but for the GIF."""
    images = [Image.fromarray(paint(index, *size)) for index in range(len(durations))]
    more: dict[str, dict[str, Any]] = {".webp": {"lossless": True, "exact": True}, ".gif": {"disposal": 2}}
    images[0].save(
        path,
        save_all=True,
        append_images=images[1:],
        duration=durations,
        loop=0,
        **more.get(path.suffix, {}),
    )
    return path


def palette_video(path: Path, paint: Painter, size: tuple[int, int], count: int) -> Path:
    """A QuickTime file of PNG images with palettes, which no encoder of FFmpeg makes."""
    with av.open(str(path), "w", options=REPRODUCIBLE) as output:
        stream = output.add_stream("png", rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = "rgba"
        for index in range(count):
            file = io.BytesIO()
            image = Image.fromarray(paint(index, *size))
            image.quantize(16, Image.Quantize.FASTOCTREE).save(file, "PNG")
            packet = av.Packet(file.getvalue())
            packet.pts = packet.dts = index
            packet.duration, packet.time_base, packet.stream = 1, Fraction(1, 25), stream
            packet.is_keyframe = True
            output.mux(packet)
    return path
