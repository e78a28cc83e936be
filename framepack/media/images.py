"""Single pictures: frames as RGB arrays and as PNG files, with the right colours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from framepack.media.clip import Matrix
from framepack.media.colors import resolve

if TYPE_CHECKING:
    import av
    from av.video.reformatter import VideoReformatter
    from numpy import uint8
    from numpy.typing import NDArray

    from framepack.media.clip import Frame


def to_rgb(frame: Frame) -> NDArray[uint8]:
    """Convert a frame to RGB by the colour tags it carries, or by the likely ones if it carries none.

    Returns:
        Array of shape (height, width, 3), 0 to 255.
    """
    from av.video.reformatter import VideoReformatter

    return cast("NDArray[uint8]", rgb_picture(frame, "rgb24", VideoReformatter()).to_ndarray())


def rgb_picture(frame: Frame, pixel_format: str, reformatter: VideoReformatter) -> av.VideoFrame:
    """Convert a frame as ``to_rgb`` does, to any RGB format that FFmpeg names; reuse ``reformatter`` for the next."""
    from av.video.reformatter import ColorRange, Colorspace, Interpolation

    picture = frame.on_host()
    colors = resolve(picture, picture.format)
    matrix = {Matrix.BT709: Colorspace.ITU709, Matrix.BT601: Colorspace.ITU601, Matrix.BT2020: Colorspace.BT2020}
    return reformatter.reformat(
        picture,
        format=pixel_format,
        src_colorspace=matrix[colors.matrix],
        dst_colorspace=matrix[colors.matrix],
        interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT,
        src_color_range=ColorRange.JPEG if colors.full_range else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )


def save_png(frame: Frame, path: Path) -> None:
    """Write a frame as an RGB PNG file."""
    from PIL import Image

    Image.fromarray(to_rgb(frame)).save(path, "PNG", compress_level=1)
