"""Frame sizes for export, and scaling in host memory."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from framepack.media.clip import HostFrame
from framepack.media.frames.colors import tag

if TYPE_CHECKING:
    from framepack.media.clip import Clip, Colors, Frame


def export_size(clip: Clip, max_width: int) -> tuple[int, int]:
    """The (width, height) in square pixels of a clip that is made at most ``max_width`` wide.

    A clip is never enlarged beyond its display size. If it is scaled, both are even.
    """
    display_width = clip.width * clip.pixel_aspect
    if clip.pixel_aspect == 1 and clip.width + clip.width % 2 <= max_width:
        return clip.width, clip.height
    width = min(nearest_even(display_width), max_width - max_width % 2)
    return width, nearest_even(clip.height * width / display_width)


def nearest_even(side: Fraction) -> int:
    """The nearest even number, at least 2."""
    return max(2, 2 * round(side / 2))


class Scaler:
    """Scales the planar YUV frames of one clip; colors and pixel format are kept."""

    def __init__(self, width: int, height: int, colors: Colors) -> None:
        from av.video.reformatter import Interpolation, VideoReformatter

        self._size = width, height
        self._colors = colors
        self._reformatter = VideoReformatter()
        self._method = Interpolation.LANCZOS | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT

    def __call__(self, frame: Frame) -> HostFrame:
        """Scale a frame; its timestamp is not kept."""
        width, height = self._size
        image = frame.on_host()
        scaled = self._reformatter.reformat(
            image,
            width,
            height,
            interpolation=self._method,
            src_color_range=image.color_range,
            dst_color_range=image.color_range,
        )
        tag(scaled, self._colors)
        return HostFrame(scaled)
