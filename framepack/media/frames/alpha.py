"""Frames with an alpha channel: planar YUV with a fourth plane, and straight colors, which alpha does not change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from framepack.media.frames.arrays import empty_like, samples_of
from framepack.media.frames.colors import MATRIX_NAMES, SCALER_FLAGS, bit_depth, is_rgb, range_name

if TYPE_CHECKING:
    import av
    from av.video.format import VideoFormat
    from numpy import float32, uint8
    from numpy.typing import NDArray

    from framepack.media.clip import Colors

NOTHING_TRANSPARENT: Final = "Nothing in the video is transparent, so there was no transparency to keep."
"""The sentence for the client who asked to keep it."""

_MISSING: Final = {"yuva420p12le": "yuva422p12le"}
_MOST: Final = 255
_BYTE: Final = 8  # bits


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


def planar_with_alpha(pixel_format: VideoFormat, colors: Colors) -> list[str]:
    """The filters that make planes of a frame with alpha, which stay as they are; none for planar YUV."""
    if pixel_format.name.startswith("yuva") and not pixel_format.name.endswith("be"):
        return []
    deep = "" if bit_depth(pixel_format) <= _BYTE else "16le"
    if is_rgb(pixel_format):
        return [f"format=gbrap{deep}"]
    return [f"scale=flags={SCALER_FLAGS}:{_unchanged(colors)}", f"format=yuva444p{deep}"]


def put_on_black(frame: av.VideoFrame, colors: Colors) -> tuple[av.VideoFrame, int]:
    """Put a planar frame with alpha on black. Pixels that are opaque stay as they are, to the bit.

    FFmpeg's filter for this knows chroma only at full size, and changes opaque pixels by 1.

    Args:
        frame: Planar YUV or RGB with straight colors; not changed.
        colors: The color tags, which say which luma is black.

    Returns:
        A frame without alpha, and the least alpha, from 0 (transparent) to 255 (opaque), rounded down.
    """
    import numpy as np

    name = frame.format.name
    made = empty_like(frame, name.replace("yuva", "yuv").replace("gbrap", "gbrp"))
    depth = frame.format.components[0].bits
    alpha, most = samples_of(frame.planes[3], depth), (1 << depth) - 1
    least = int(alpha.min())
    share = None if least == most else np.divide(alpha, most, dtype=np.float32)
    for number, plane in enumerate(made.planes):
        samples, target = samples_of(frame.planes[number], depth), samples_of(plane, depth)
        if share is None:
            target[:] = samples
            continue
        black = 0
        if name.startswith("yuv"):
            black = (most + 1) // 2 if number else 0 if colors.full_range else (most + 1) // 16
        shown = share if samples.shape == share.shape else _in_blocks(share, samples.shape)
        target[:] = ((samples.astype(np.float32) - black) * shown + black).round()
    return made, least * _MOST // most


def _in_blocks(share: NDArray[float32], shape: tuple[int, ...]) -> NDArray[float32]:
    """The mean of the pixels that a sample of chroma stands for, in an array of this shape."""
    import numpy as np

    rows, columns = (-(-length // count) for length, count in zip(share.shape, shape, strict=True))
    missing = [
        (0, count * size - length) for count, size, length in zip(shape, (rows, columns), share.shape, strict=True)
    ]
    padded = np.pad(share, missing, "edge")
    blocks: NDArray[float32] = padded.reshape(shape[0], rows, shape[1], columns).mean((1, 3), np.float32)
    return blocks


def scale_with_alpha(width: int, height: int, colors: Colors, flags: str) -> list[str]:
    """The filters that scale planar YUV with alpha to a size; a format follows.

    Pixels count as much as they are opaque: otherwise the hidden colors of transparent pixels would show at edges.
    Where all is transparent, black remains.
    """
    same = _unchanged(colors)
    return [
        f"scale=flags={flags}:{same}",
        "format=yuva444p16le",  # the filters around it take only 4:4:4
        "premultiply=inplace=1",
        f"scale={width}:{height}:flags={flags}:{same}",
        "unpremultiply=inplace=1",
        f"scale=flags={flags}:{same}:sws_dither=none",
    ]


def _unchanged(colors: Colors) -> str:
    """Arguments of the scale filter, which otherwise guesses the colors of YUV in between filters."""
    matrix, levels = MATRIX_NAMES[colors.matrix], range_name(colors)
    return f"in_color_matrix={matrix}:out_color_matrix={matrix}:in_range={levels}:out_range={levels}"
