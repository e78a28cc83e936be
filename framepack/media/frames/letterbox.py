"""Show a clip's frames on another clip's screen: scaled to fit, centerd, black around, in the other's colors."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

from framepack.media.frames.colors import tag
from framepack.media.frames.graph import build_graph

if TYPE_CHECKING:
    import av
    from av.filter import Graph

    from framepack.media.clip import Clip, Colors

_SCALER: Final = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
_MATRIX_NAMES: Final = {1: "bt709", 6: "bt601", 9: "bt2020"}
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
    """Converts the frames of ``clip`` to the shape of ``screen``.

    Attributes:
        is_needed: Whether there is anything to do at all.
    """

    def __init__(self, clip: Clip, screen: Clip) -> None:
        self._clip, self._screen = clip, screen
        self._graph: Graph | None = None
        self._shape: tuple[str, int, int] | None = None
        self.is_needed = (clip.width, clip.height, clip.pixel_aspect, clip.colors) != (
            screen.width,
            screen.height,
            screen.pixel_aspect,
            screen.colors,
        )

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return a planar YUV frame of the clip as 8-bit planar YUV of the screen's size."""
        shape = (frame.format.name, frame.width, frame.height)
        if self._graph is None or shape != self._shape:
            self._graph, self._shape = build_graph(frame, self._chain()), shape
        tag(frame, self._clip.colors)
        self._graph.vpush(frame)
        result = self._graph.vpull()
        tag(result, self._screen.colors)
        return result

    def _chain(self) -> list[str]:
        screen = self._screen
        width, height = fitted_size(self._clip, screen)
        source, target = self._clip.colors, screen.colors
        # Filters count in whole samples of chroma: only 4:4:4 can have an odd number of columns around a frame.
        layout = "yuv444p" if screen.width % 2 or screen.height % 2 else "yuv420p"
        mapping = _mapping(source, target, layout)
        end = source if mapping else target
        scale = (
            f"scale={width}:{height}:flags={_SCALER}"
            f":in_color_matrix={_MATRIX_NAMES[source.matrix]}:out_color_matrix={_MATRIX_NAMES[end.matrix]}"
            f":in_range={_range(source)}:out_range={_range(end)}"
        )
        if mapping and (width % 2 or height % 2):  # which the mapping does not take
            mapping = ["pad=2*ceil(iw/2):2*ceil(ih/2)", *mapping, f"crop={width}:{height}:0:0"]
        chain = [scale, f"format={layout}", *mapping]
        if (width, height) != (screen.width, screen.height):
            left, top = (screen.width - width) // 4 * 2, (screen.height - height) // 4 * 2
            chain.append(f"pad={screen.width}:{screen.height}:{left}:{top}:black")
        return chain


def fitted_size(clip: Clip, screen: Clip) -> tuple[int, int]:
    """Width and height in the screen's pixels of the largest frame of the clip's shape that fits, mostly even."""
    wide = clip.width * clip.pixel_aspect / screen.pixel_aspect
    factor = min(screen.width / wide, Fraction(screen.height, clip.height))
    return _even(wide * factor, screen.width), _even(clip.height * factor, screen.height)


def _even(size: Fraction, limit: int) -> int:
    """The nearest even number, at least 2; a size that is the limit stays."""
    return limit if size == limit else min(max(2, 2 * round(size / 2)), limit)


def _mapping(source: Colors, target: Colors, layout: str) -> list[str]:
    """The filter that brings colors from one set of primaries or curve to another; none where they agree.

    There is none for curves of high dynamic range either: their numbers stay.
    """
    curves = {source.transfer, target.transfer}
    if source.primaries == target.primaries and (len(curves) == 1 or curves <= _SAME_CURVE):
        return []
    if not (curves <= _TRANSFERS.keys() and {source.primaries, target.primaries} <= _PRIMARIES.keys()):
        return []
    mapping = (
        f"colorspace=ispace={_SPACES[source.matrix]}:space={_SPACES[target.matrix]}"
        f":iprimaries={_PRIMARIES[source.primaries]}:primaries={_PRIMARIES[target.primaries]}"
        f":itrc={_TRANSFERS[source.transfer]}:trc={_TRANSFERS[target.transfer]}"
        f":irange={_range(source)}:range={_range(target)}:format={layout}"
    )
    return [mapping]


def _range(colors: Colors) -> str:
    return "pc" if colors.full_range else "tv"
