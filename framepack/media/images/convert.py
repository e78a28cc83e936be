"""Single images: frames as RGB arrays and as PNG files, with the right colors, and arrays as frames."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final, cast

from framepack.media.clip import HostFrame, Matrix
from framepack.media.frames.colors import resolve, tag

if TYPE_CHECKING:
    import av
    from av.video.reformatter import Colorspace, VideoReformatter
    from numpy import uint8
    from numpy.typing import NDArray

    from framepack.media.clip import Colors, Frame

# Twice as fast as Pillow at its fastest, and files no larger.
_PNG_OPTIONS: Final = {"compression_level": "1", "pred": "up"}


def to_rgb(frame: Frame) -> NDArray[uint8]:
    """Convert a frame to RGB by the color tags it carries, or by the likely ones if it carries none.

    Returns:
        Array of shape (height, width, 3), 0 to 255.
    """
    from av.video.reformatter import VideoReformatter

    return cast("NDArray[uint8]", rgb_image(frame, "rgb24", VideoReformatter()).to_ndarray())


def rgb_image(frame: Frame, pixel_format: str, reformatter: VideoReformatter) -> av.VideoFrame:
    """Convert a frame as ``to_rgb`` does, to any RGB format that FFmpeg names; reuse ``reformatter`` for the next."""
    from av.video.reformatter import ColorRange, Interpolation

    image = frame.on_host()
    colors = resolve(image, image.format)
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


class FromRgb:
    """Makes frames of RGB arrays, one after another."""

    def __init__(self, colors: Colors) -> None:
        from av.video.reformatter import VideoReformatter

        self._colors = colors
        self._reformatter = VideoReformatter()

    def __call__(self, rgb: NDArray[uint8]) -> HostFrame:
        """Convert an array of shape (height, width, 3), 0 to 255, to planar YUV 4:4:4 of the colors."""
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
    """Encode a frame as an RGB PNG file of 8 bits, fast and without loss of what ``to_rgb`` gives."""
    import av
    from av.codec.context import ThreadType

    image = av.VideoFrame.from_ndarray(to_rgb(frame), "rgb24")
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height = image.width, image.height
    encoder.pix_fmt, encoder.time_base, encoder.sample_aspect_ratio = "rgb24", Fraction(1), Fraction(1)
    encoder.thread_type = ThreadType.NONE  # callers encode several images at a time
    encoder.options = _PNG_OPTIONS
    return b"".join(bytes(packet) for packet in (*encoder.encode(image), *encoder.encode(None)))


def _colorspace(matrix: Matrix) -> Colorspace:
    from av.video.reformatter import Colorspace

    return {Matrix.BT709: Colorspace.ITU709, Matrix.BT601: Colorspace.ITU601, Matrix.BT2020: Colorspace.BT2020}[
        matrix
    ]
