"""Conversion of frames from one clip's colors to another's: matrix, range, primaries and curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from framepack.media.frames.colors import MATRIX_NAMES, SCALER_FLAGS, range_name
from framepack.media.frames.graph import build_graph
from framepack.media.frames.hdr import cube_graph, needs_cube

if TYPE_CHECKING:
    import av
    from av.filter import Graph

    from framepack.media.clip import Colors

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


def needs_conversion(source: Colors, target: Colors) -> bool:
    """Whether frames with the colors ``source`` look different with the tags ``target``, and can be converted."""
    layout = (source.matrix, source.full_range) != (target.matrix, target.full_range)
    return layout or needs_cube(source, target) or bool(_mapping(source, target, "yuv420p"))


def conversion_graph(
    frame: av.VideoFrame,
    source: Colors,
    target: Colors,
    size: tuple[int, int],
    layout: str,
    after: Sequence[str] = (),
) -> Graph:
    """Build a filter graph that scales frames and converts their colors; see `framepack.media.frames.graph.filtered`.

    Args:
        frame: A frame of the size and format that the graph will receive: YUV or gray.
        source: The colors of the frames.
        target: The colors of the result.
        size: Width and height of the result.
        layout: FFmpeg's name of the planar YUV format of the result: 4:2:0, 4:2:2 or 4:4:4 with 8, 10 or 12 bits.
        after: Filters for the result.
    """
    width, height = size
    if needs_cube(source, target):
        to_rgb = f"{_scale(width, height, source)}:out_range=pc"
        from_rgb = f"scale=flags={SCALER_FLAGS}:in_range=pc:{_out(target)}"
        return cube_graph(frame, source, target, [to_rgb], [from_rgb, f"format={layout}", *after])
    mapping = _mapping(source, target, layout)
    end = source if mapping else target
    scale = f"{_scale(width, height, source)}:{_out(end)}"
    if mapping and (width % 2 or height % 2):  # the colorspace filter takes even sizes only
        mapping = ["pad=2*ceil(iw/2):2*ceil(ih/2)", *mapping, f"crop={width}:{height}:0:0"]
    return build_graph(frame, [scale, f"format={layout}", *mapping, *after])


def _scale(width: int, height: int, source: Colors) -> str:
    matrix = MATRIX_NAMES[source.matrix]
    return f"scale={width}:{height}:flags={SCALER_FLAGS}:in_color_matrix={matrix}:in_range={range_name(source)}"


def _out(target: Colors) -> str:
    return f"out_color_matrix={MATRIX_NAMES[target.matrix]}:out_range={range_name(target)}"


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
        f":irange={range_name(source)}:range={range_name(target)}:format={layout.removesuffix('le')}"
    )
    return [mapping]
