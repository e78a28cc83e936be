"""Frames with an alpha channel: planar YUV with a fourth plane, and straight colors, which alpha does not change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from framepack.media.frames.arrays import samples_of
from framepack.media.frames.colors import MATRIX_NAMES, range_name

if TYPE_CHECKING:
    import av
    from numpy import uint8
    from numpy.typing import NDArray

    from framepack.media.clip import Colors

NOTHING_TRANSPARENT: Final = "Nothing in the video is transparent, so there was no transparency to keep."
"""The sentence for the client who asked to keep it."""

_MISSING: Final = {"yuva420p12le": "yuva422p12le"}
_MOST: Final = 255


def with_alpha(planar: str) -> str:
    """FFmpeg's name of a planar YUV format that holds another one, and alpha."""
    name = planar.replace("yuv", "yuva", 1)
    return _MISSING.get(name, name)


def alpha_of(frame: av.VideoFrame) -> NDArray[uint8]:
    """The alpha of a planar YUV frame that has it: shape (height, width), 0 (transparent) to 255 (opaque)."""
    import numpy as np

    depth = frame.format.components[3].bits
    samples = samples_of(frame.planes[3], depth)
    if samples.dtype == np.uint8:
        return samples
    levels = np.linspace(0, _MOST, 1 << depth).round().astype(np.uint8)
    return levels.take(samples, mode="clip")


def scale_with_alpha(width: int, height: int, colors: Colors, flags: str) -> list[str]:
    """The filters that scale planar YUV with alpha to a size; a format follows.

    Pixels count as much as they are opaque: otherwise the hidden colors of transparent pixels would show at edges.
    Where all is transparent, black remains.
    """
    matrix, levels = MATRIX_NAMES[colors.matrix], range_name(colors)
    same = f"in_color_matrix={matrix}:out_color_matrix={matrix}:in_range={levels}:out_range={levels}"
    return [
        f"scale=flags={flags}:{same}",
        "format=yuva444p16le",  # the filters around it take only 4:4:4
        "premultiply=inplace=1",
        f"scale={width}:{height}:flags={flags}:{same}",
        "unpremultiply=inplace=1",
        f"scale=flags={flags}:{same}:sws_dither=none",
    ]
