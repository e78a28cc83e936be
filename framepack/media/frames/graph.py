"""FFmpeg filter graphs for video frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import av
    from av.filter import Graph
    from av.filter.context import FilterContext

_TWO_INPUTS: Final = "haldclut"


def build_graph(frame: av.VideoFrame, chain: Iterable[str], second: av.VideoFrame | None = None) -> Graph:
    """Build a filter graph from a chain of filters such as ``["scale=64:48", "hflip"]``.

    Args:
        frame: A frame of the size and format that the graph will receive.
        chain: The filters with their arguments.
        second: The color cube for the filter haldclut, as an image.

    Raises:
        av.FFmpegError: A filter or its arguments are invalid.
    """
    from av.filter import Graph

    graph = Graph()
    last = _source(graph, frame)
    other = None if second is None else _source(graph, second)
    for step in [*chain, "buffersink"]:
        name, _, arguments = step.partition("=")
        following = graph.add(name, arguments or None)
        last.link_to(following)
        if other is not None and name == _TWO_INPUTS:
            other.link_to(following, input_idx=1)
        last = following
    graph.configure()
    if second is not None:
        graph.vpush(second, at=1)
        graph.vpush(None, at=1)
    return graph


def filtered(graph: Graph, frame: av.VideoFrame, number: int) -> av.VideoFrame:
    """Filter a frame with a graph that gives a frame for each one.

    Args:
        graph: The graph.
        frame: The frame; its own timestamp, which may be missing, is not used.
        number: Its number among the frames of this graph: filters with two inputs pass frames without a timestamp.
    """
    time, frame.pts = frame.pts, number
    graph.vpush(frame, at=0)
    frame.pts = time
    return graph.vpull()


def _source(graph: Graph, frame: av.VideoFrame) -> FilterContext:
    shape = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1000:pixel_aspect=1/1"
    return graph.add("buffer", shape)
