"""Sizes of exported frames, and scaling of frames on the host."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from framepack.media.clip import HostFrame
from framepack.media.frames.colors import tag

if TYPE_CHECKING:
    from framepack.media.clip import Clip, Colors, Frame


def fitted_size(clip: Clip, max_width: int) -> tuple[int, int]:
    """The (width, height) in square pixels that a clip has at a width of at most ``max_width``.

    It is what a viewer sees of the clip, never larger than that; both are even as soon as anything is scaled.
    """
    seen = clip.width * clip.pixel_aspect
    if clip.pixel_aspect == 1 and clip.width + clip.width % 2 <= max_width:
        return clip.width, clip.height
    width = min(_even(seen), max_width - max_width % 2)
    return width, _even(clip.height * width / seen)


def _even(side: Fraction) -> int:
    """The nearest even number, at least 2."""
    return max(2, 2 * round(side / 2))


class Scaler:
    """Scales planar YUV frames of one clip; what their numbers mean stays, and so does their format."""

    def __init__(self, width: int, height: int, colors: Colors) -> None:
        from av.video.reformatter import Interpolation, VideoReformatter

        self._size = width, height
        self._colors = colors
        self._reformatter = VideoReformatter()
        self._method = Interpolation.LANCZOS | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT

    def __call__(self, frame: Frame) -> HostFrame:
        """Scale a frame; its time is not kept."""
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
