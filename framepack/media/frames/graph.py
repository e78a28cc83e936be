"""FFmpeg filter graphs for video frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import av
    from av.filter import Graph


def build_graph(frame: av.VideoFrame, chain: Iterable[str]) -> Graph:
    """Build a filter graph from a chain of filters such as ``["scale=64:48", "hflip"]``.

    Args:
        frame: A frame of the size and format that the graph will receive.
        chain: The filters with their arguments.

    Raises:
        av.FFmpegError: A filter or its arguments are invalid.
    """
    from av.filter import Graph

    graph = Graph()
    shape = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1000:pixel_aspect=1/1"
    last = graph.add("buffer", shape)
    for step in [*chain, "buffersink"]:
        name, _, arguments = step.partition("=")
        following = graph.add(name, arguments or None)
        last.link_to(following)
        last = following
    graph.configure()
    return graph
