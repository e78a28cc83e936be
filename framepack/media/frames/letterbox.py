"""Letterboxing: scale frames to fit another clip's size, center them on black and convert them to its colors."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from framepack.media.clip import HostFrame
from framepack.media.frames.colors import tag
from framepack.media.frames.conversion import conversion_graph
from framepack.media.frames.graph import filtered
from framepack.media.frames.scale import nearest_even

if TYPE_CHECKING:
    import av
    from av.filter import Graph

    from framepack.media.clip import Clip, Frame


class Letterbox:
    """Converts the frames of ``clip`` to the size, pixel aspect and colors of ``canvas``.

    Attributes:
        is_needed: Whether the two clips differ in any of these.
    """

    def __init__(self, clip: Clip, canvas: Clip) -> None:
        self._clip, self._canvas = clip, canvas
        self._graph: Graph | None = None
        self._shape: tuple[str, int, int] | None = None
        self._count = 0
        self.is_needed = (clip.width, clip.height, clip.pixel_aspect, clip.colors) != (
            canvas.width,
            canvas.height,
            canvas.pixel_aspect,
            canvas.colors,
        )

    def __call__(self, frame: Frame) -> HostFrame:
        """Convert a frame of the clip to 8-bit planar YUV of the canvas's size."""
        image = frame.on_host()
        shape = (image.format.name, image.width, image.height)
        if self._graph is None or shape != self._shape:
            self._graph, self._shape = self._build(image), shape
        tag(image, self._clip.colors)
        result = filtered(self._graph, image, self._count)
        self._count += 1
        tag(result, self._canvas.colors)
        return HostFrame(result)

    def _build(self, image: av.VideoFrame) -> Graph:
        canvas = self._canvas
        width, height = size = letterboxed_size(self._clip, canvas)
        # The pad filter counts in whole chroma samples: only 4:4:4 can have an odd number of columns beside a frame.
        layout = "yuv444p" if canvas.width % 2 or canvas.height % 2 else "yuv420p"
        padding = []
        if size != (canvas.width, canvas.height):
            left, top = (canvas.width - width) // 4 * 2, (canvas.height - height) // 4 * 2
            padding = [f"pad={canvas.width}:{canvas.height}:{left}:{top}:black"]
        return conversion_graph(image, self._clip.colors, canvas.colors, size, layout, padding)


def letterboxed_size(clip: Clip, canvas: Clip) -> tuple[int, int]:
    """The largest (width, height) on the canvas at which the clip keeps its aspect ratio.

    Both are even, unless they are a side of the canvas, which may be odd.
    """
    display_width = clip.width * clip.pixel_aspect / canvas.pixel_aspect
    return fitted_size(display_width, clip.height, canvas.width, canvas.height)


def fitted_size(width: Fraction, height: int, most_width: int, most_height: int) -> tuple[int, int]:
    """The largest (width, height) with the aspect ratio of ``width`` and ``height`` that fits into a size.

    Both are even, unless they are the most that is allowed.
    """
    factor = min(most_width / width, Fraction(most_height, height))
    return _even_within(width * factor, most_width), _even_within(height * factor, most_height)


def _even_within(size: Fraction, limit: int) -> int:
    """The nearest even number, at least 2; a size that equals the limit is kept."""
    return limit if size == limit else min(nearest_even(size), limit)
