"""Letterboxing: scale frames to fit another clip's size, center them on black and convert them to its colors."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

from framepack.media.clip import HostFrame
from framepack.media.frames.colors import MATRIX_NAMES, SCALER_FLAGS, range_name, tag
from framepack.media.frames.graph import build_graph, filtered
from framepack.media.frames.hdr import cube_graph, needs_cube
from framepack.media.frames.scale import nearest_even

if TYPE_CHECKING:
    import av
    from av.filter import Graph

    from framepack.media.clip import Clip, Colors, Frame

# Names of the colorspace filter for H.273 numbers.
_PRIMARIES: Final = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    11: "smpte431",
    12: "smpte432",
    22: "ebu3213",
}
_TRANSFERS: Final = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    11: "iec61966-2-4",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
}
_SPACES: Final = {1: "bt709", 6: "smpte170m", 9: "bt2020ncl"}
_SAME_CURVE: Final = frozenset({1, 6, 14, 15})


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
        width, height = letterboxed_size(self._clip, canvas)
        source, target = self._clip.colors, canvas.colors
        # The pad filter counts in whole chroma samples: only 4:4:4 can have an odd number of columns beside a frame.
        layout = "yuv444p" if canvas.width % 2 or canvas.height % 2 else "yuv420p"
        padding = []
        if (width, height) != (canvas.width, canvas.height):
            left, top = (canvas.width - width) // 4 * 2, (canvas.height - height) // 4 * 2
            padding = [f"pad={canvas.width}:{canvas.height}:{left}:{top}:black"]
        if needs_cube(source, target):
            to_rgb = f"{_scale(width, height, source)}:out_range=pc"
            from_rgb = f"scale=flags={SCALER_FLAGS}:in_range=pc:{_out(target)}"
            return cube_graph(image, source, target, [to_rgb], [from_rgb, f"format={layout}", *padding])
        mapping = _mapping(source, target, layout)
        end = source if mapping else target
        scale = f"{_scale(width, height, source)}:{_out(end)}"
        if mapping and (width % 2 or height % 2):  # the colorspace filter takes even sizes only
            mapping = ["pad=2*ceil(iw/2):2*ceil(ih/2)", *mapping, f"crop={width}:{height}:0:0"]
        return build_graph(image, [scale, f"format={layout}", *mapping, *padding])


def _scale(width: int, height: int, source: Colors) -> str:
    matrix = MATRIX_NAMES[source.matrix]
    return f"scale={width}:{height}:flags={SCALER_FLAGS}:in_color_matrix={matrix}:in_range={range_name(source)}"


def _out(target: Colors) -> str:
    return f"out_color_matrix={MATRIX_NAMES[target.matrix]}:out_range={range_name(target)}"


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


def _mapping(source: Colors, target: Colors, layout: str) -> list[str]:
    """The filter that converts primaries and SDR transfer characteristics; empty if they are the same."""
    curves = {source.transfer, target.transfer}
    if source.primaries == target.primaries and (len(curves) == 1 or curves <= _SAME_CURVE):
        return []
    if not (curves <= _TRANSFERS.keys() and {source.primaries, target.primaries} <= _PRIMARIES.keys()):
        return []
    mapping = (
        f"colorspace=ispace={_SPACES[source.matrix]}:space={_SPACES[target.matrix]}"
        f":iprimaries={_PRIMARIES[source.primaries]}:primaries={_PRIMARIES[target.primaries]}"
        f":itrc={_TRANSFERS[source.transfer]}:trc={_TRANSFERS[target.transfer]}"
        f":irange={range_name(source)}:range={range_name(target)}:format={layout}"
    )
    return [mapping]
