"""Frame sizes for export, and scaling in host memory."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

from framepack.media.clip import HostFrame
from framepack.media.frames.alpha import scale_with_alpha
from framepack.media.frames.colors import has_alpha, tag
from framepack.media.frames.graph import build_graph, filtered

if TYPE_CHECKING:
    import av
    from av.filter import Graph

    from framepack.media.clip import Clip, Colors, Frame

_ALPHA_FLAGS: Final = "lanczos+accurate_rnd+full_chroma_int"


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
    """Scales the planar YUV frames of one clip; colors and pixel format are kept, and alpha is scaled, too."""

    def __init__(self, width: int, height: int, colors: Colors) -> None:
        from av.video.reformatter import Interpolation, VideoReformatter

        self._size = width, height
        self._graph: Graph | None = None
        self._colors = colors
        self._reformatter = VideoReformatter()
        self._method = Interpolation.LANCZOS | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT

    def __call__(self, frame: Frame) -> HostFrame:
        """Scale a frame; its timestamp is not kept."""
        width, height = self._size
        image = frame.on_host()
        if has_alpha(image.format):
            return self._with_alpha(image)
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

    def _with_alpha(self, image: av.VideoFrame) -> HostFrame:
        if self._graph is None:
            chain = scale_with_alpha(*self._size, self._colors, _ALPHA_FLAGS)
            self._graph = build_graph(image, [*chain, f"format={image.format.name}"])
        scaled = filtered(self._graph, image, 0)
        tag(scaled, self._colors)
        return HostFrame(scaled)
