"""Single pictures: frames as RGB arrays and as PNG files, with the right colours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from framepack.media.clip import Matrix
from framepack.media.colors import resolve

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray

    from framepack.media.clip import Frame


def to_rgb(frame: Frame) -> NDArray[uint8]:
    """Convert a frame to RGB by the colour tags it carries, or by the likely ones if it carries none.

    Returns:
        Array of shape (height, width, 3), 0 to 255.
    """
    from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

    picture = frame.on_host()
    colors = resolve(picture, picture.format)
    matrix = {Matrix.BT709: Colorspace.ITU709, Matrix.BT601: Colorspace.ITU601, Matrix.BT2020: Colorspace.BT2020}
    rgb = VideoReformatter().reformat(
        picture,
        format="rgb24",
        src_colorspace=matrix[colors.matrix],
        dst_colorspace=matrix[colors.matrix],
        interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT,
        src_color_range=ColorRange.JPEG if colors.full_range else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )
    return cast("NDArray[uint8]", rgb.to_ndarray())


def save_png(frame: Frame, path: Path) -> None:
    """Write a frame as an RGB PNG file."""
    from PIL import Image

    Image.fromarray(to_rgb(frame)).save(path, "PNG", compress_level=1)
