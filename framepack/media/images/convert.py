"""Conversion of frames to RGB and RGBA arrays and PNG files, and of RGB arrays to frames, with correct colors."""

from __future__ import annotations

import threading
from fractions import Fraction
from typing import TYPE_CHECKING, Final, cast

from framepack.media.clip import HostFrame, Matrix
from framepack.media.frames.alpha import alpha_of
from framepack.media.frames.colors import MATRIX_NAMES, SCALER_FLAGS, has_alpha, is_hdr, range_name, resolve, tag
from framepack.media.frames.graph import filtered
from framepack.media.frames.hdr import SDR, cube_graph

if TYPE_CHECKING:
    import av
    from av.video.reformatter import Colorspace, VideoReformatter
    from numpy import uint8
    from numpy.typing import NDArray

    from framepack.media.clip import Colors, Frame

# Twice as fast as Pillow at its fastest setting; the files are no larger.
_PNG_OPTIONS: Final = {"compression_level": "1", "pred": "up"}

_of_thread = threading.local()


def to_rgb(frame: Frame) -> NDArray[uint8]:
    """Convert a frame to RGB by its color tags; a missing tag gets its most likely value. HDR is tone-mapped to SDR.

    The transparent pixels of a frame with alpha are put on black.

    Returns:
        Array of shape (height, width, 3), 0 to 255.
    """
    import numpy as np

    rgb = _straight_rgb(frame)
    if not has_alpha(frame.on_host().format):
        return rgb
    return ((rgb.astype(np.uint16) * alpha_of(frame.on_host())[..., None] + 127) // 255).astype(np.uint8)


def to_rgba(frame: Frame) -> NDArray[uint8]:
    """Convert a frame with alpha to RGBA; its colors become what ``to_rgb`` makes of those of opaque pixels.

    Returns:
        Array of shape (height, width, 4), 0 to 255.
    """
    import numpy as np

    return np.dstack((_straight_rgb(frame), alpha_of(frame.on_host())))


def _straight_rgb(frame: Frame) -> NDArray[uint8]:
    return cast("NDArray[uint8]", rgb_image(frame, "rgb24", _threads_reformatter()).to_ndarray())


def _threads_reformatter() -> VideoReformatter:
    """This thread's reformatter: preparing one takes a third of the time of a conversion."""
    from av.video.reformatter import VideoReformatter

    if not hasattr(_of_thread, "reformatter"):
        _of_thread.reformatter = VideoReformatter()
    return cast("VideoReformatter", _of_thread.reformatter)


def rgb_image(frame: Frame, pixel_format: str, reformatter: VideoReformatter) -> av.VideoFrame:
    """Convert a frame to an RGB pixel format of FFmpeg; use one ``reformatter`` for all frames of a clip.

    Images have no tags for HDR here: it is tone-mapped to SDR. Colors of transparent pixels stay as they are.
    """
    from av.video.reformatter import ColorRange, Interpolation

    image = frame.on_host()
    colors = resolve(image, image.format)
    if is_hdr(colors):
        return _tone_mapped(image, colors, pixel_format)
    matrix = _colorspace(colors.matrix)
    return reformatter.reformat(
        image,
        format=pixel_format,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT,
        src_color_range=ColorRange.JPEG if colors.full_range else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )


def _tone_mapped(image: av.VideoFrame, colors: Colors, pixel_format: str) -> av.VideoFrame:
    scale = (
        f"scale=flags={SCALER_FLAGS}:in_color_matrix={MATRIX_NAMES[colors.matrix]}"
        f":in_range={range_name(colors)}:out_range=pc"
    )
    graph = cube_graph(image, colors, SDR, [scale], [f"scale=flags={SCALER_FLAGS}", f"format={pixel_format}"])
    return filtered(graph, image, 0)


class RgbToYuv:
    """Converts RGB arrays to frames."""

    def __init__(self, colors: Colors) -> None:
        from av.video.reformatter import VideoReformatter

        self._colors = colors
        self._reformatter = VideoReformatter()

    def __call__(self, rgb: NDArray[uint8]) -> HostFrame:
        """Convert an array of shape (height, width, 3), 0 to 255, to planar YUV 4:4:4."""
        import av
        from av.video.reformatter import ColorRange, Interpolation

        matrix = _colorspace(self._colors.matrix)
        image = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(rgb, "rgb24"),
            format="yuv444p",
            src_colorspace=matrix,
            dst_colorspace=matrix,
            interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.JPEG if self._colors.full_range else ColorRange.MPEG,
        )
        tag(image, self._colors)
        return HostFrame(image)


def png(frame: Frame) -> bytes:
    """Encode a frame as an 8-bit PNG file: exactly the pixels of ``to_rgb``, or of ``to_rgba`` if it has alpha."""
    import av
    from av.codec.context import ThreadType

    is_rgba = has_alpha(frame.on_host().format)
    layout = "rgba" if is_rgba else "rgb24"
    image = av.VideoFrame.from_ndarray(to_rgba(frame) if is_rgba else to_rgb(frame), layout)
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height = image.width, image.height
    encoder.pix_fmt, encoder.time_base, encoder.sample_aspect_ratio = layout, Fraction(1), Fraction(1)
    encoder.thread_type = ThreadType.NONE  # callers encode several images in parallel
    encoder.options = _PNG_OPTIONS
    return b"".join(bytes(packet) for packet in (*encoder.encode(image), *encoder.encode(None)))


def _colorspace(matrix: Matrix) -> Colorspace:
    from av.video.reformatter import Colorspace

    return {Matrix.BT709: Colorspace.ITU709, Matrix.BT601: Colorspace.ITU601, Matrix.BT2020: Colorspace.BT2020}[
        matrix
    ]
