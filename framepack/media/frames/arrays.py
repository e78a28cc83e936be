"""PyAV frames as NumPy arrays that share their memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import av
    import numpy as np
    from av.video.plane import VideoPlane
    from numpy.typing import NDArray

    from framepack.media.clip import Colors

    Samples = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """The samples of a planar YUV frame, as views of the frame's memory.

    Attributes:
        y: Luma, shape (height, width), uint8 or uint16.
        u: Blue difference, shape (chroma height, chroma width), dtype as ``y``.
        v: Red difference, as ``u``.
        depth: Bits per sample, 8 to 16.
        halved: Whether chroma has half the (columns, rows) of luma, rounded up.
    """

    y: Samples
    u: Samples
    v: Samples
    depth: int
    halved: tuple[bool, bool]


def planes_of(frame: av.VideoFrame) -> Planes:
    """The planes of a frame in planar YUV 4:2:0, 4:2:2 or 4:4:4, little endian. The views keep its memory alive."""
    layout = frame.format
    depth = layout.components[0].bits
    y, u, v = (samples_of(frame.planes[index], depth) for index in range(3))
    return Planes(y, u, v, depth, (layout.chroma_width(2) == 1, layout.chroma_height(2) == 1))


def frame_from_planes(
    y: NDArray[np.uint8], u: NDArray[np.uint8], v: NDArray[np.uint8], colors: Colors
) -> av.VideoFrame:
    """Build a yuv420p frame with color tags.

    Args:
        y: Luma, shape (height, width).
        u: Blue difference, half of each size, rounded up.
        v: Red difference, as ``u``.
        colors: The color tags.

    Returns:
        A frame that owns its memory, aligned for encoders, without a timestamp.
    """
    import av

    from framepack.media.frames.colors import tag

    frame = av.VideoFrame(y.shape[1], y.shape[0], "yuv420p")
    for plane, samples in zip(frame.planes, (y, u, v), strict=True):
        samples_of(plane, 8)[:] = samples
    tag(frame, colors)
    return frame


def without_range(frame: av.VideoFrame) -> av.VideoFrame:
    """The same samples in a pixel format that does not stand for full range, as yuvj420p does: only tags say it then.

    FFmpeg's decoders keep such a format when later frames have limited range, and its scale filter believes it.
    """
    if not frame.format.name.startswith("yuvj"):
        return frame
    made = empty_like(frame, frame.format.name.replace("yuvj", "yuv"))
    for source, target in zip(frame.planes, made.planes, strict=True):
        samples_of(target, 8)[:] = samples_of(source, 8)
    return made


def empty_like(frame: av.VideoFrame, pixel_format: str) -> av.VideoFrame:
    """A frame of the same size and time in another pixel format, whose samples are not set."""
    import av

    made = av.VideoFrame(frame.width, frame.height, pixel_format)
    made.pts = frame.pts
    if frame.time_base is not None:
        made.time_base = frame.time_base
    return made


def samples_of(plane: VideoPlane, depth: int) -> NDArray[Any]:
    """The samples of one plane, as a view of its memory: uint8, or uint16 for more than 8 bits."""
    import numpy as np

    dtype = np.dtype(np.uint8 if depth == 8 else "<u2")  # noqa: PLR2004 - bits of a byte
    rows = np.frombuffer(_memory(plane), np.uint8).reshape(plane.height, abs(plane.line_size))
    if plane.line_size < 0:
        rows = rows[::-1]
    return rows.view(dtype)[:, : plane.width]


def _memory(plane: VideoPlane) -> memoryview[int]:
    """The plane's bytes in memory order.

    A vertically flipped frame has a negative line size: its rows run upwards, and PyAV's buffer begins at the last
    one. The view therefore has to begin ``height - 1`` lines before the address that FFmpeg gives.
    """
    if plane.line_size >= 0:
        return cast("memoryview[int]", plane)
    import ctypes

    start = plane.buffer_ptr + plane.line_size * (plane.height - 1)
    memory = (ctypes.c_uint8 * plane.buffer_size).from_address(start)
    memory.plane = plane  # type: ignore[attr-defined] # keeps the frame alive as long as the view
    return memoryview(memory)
