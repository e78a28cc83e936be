"""Convert decoded frames to the format of a clip: upright, opaque planar YUV of one size, with color tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from framepack.media.frames.colors import (
    MATRIX_NAMES,
    SCALER_FLAGS,
    has_alpha,
    planar_format,
    range_name,
    tag,
    tag_rgb,
)
from framepack.media.frames.graph import build_graph

if TYPE_CHECKING:
    import av
    from av.filter import Graph
    from av.video.format import VideoFormat as PixelFormat

    from framepack.media.read.probe import VideoInfo


class Normalizer:
    """Converts the frames of one stream to one size and format; frames that need no conversion pass through."""

    def __init__(self, info: VideoInfo) -> None:
        self._info = info
        self._shape: tuple[str, int, int] | None = None
        self._graph: Graph | None = None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Convert a frame to upright, opaque planar YUV of the first frame's size, with the clip's color tags.

        Raises:
            av.FFmpegError: The frame cannot be converted.
        """
        shape = (frame.format.name, frame.width, frame.height)
        if shape != self._shape:
            chain = _chain(frame.format, frame.width, frame.height, self._info)
            self._graph = build_graph(frame, chain) if chain else None
            self._shape = shape
        if self._graph is not None:
            frame = self._filter(self._graph, frame)
        tag(frame, self._info.colors)
        frame.pict_type = 0  # otherwise an encoder would reuse the source's picture types (I, P, B)
        return frame

    def _filter(self, graph: Graph, frame: av.VideoFrame) -> av.VideoFrame:
        if _is_rgb(frame.format):
            tag_rgb(frame)
        else:
            tag(frame, self._info.colors)
        time, time_base = frame.pts, frame.time_base
        graph.vpush(frame)
        result = graph.vpull()
        result.pts = time
        if time_base is not None:
            result.time_base = time_base
        return result


def _is_rgb(pixel_format: PixelFormat) -> bool:
    return pixel_format.is_rgb or pixel_format.has_palette


def _chain(pixel_format: PixelFormat, width: int, height: int, info: VideoInfo) -> list[str]:
    """The filters that a frame of this format and size needs."""
    from av.video.format import VideoFormat

    chain = []
    wanted = planar_format(VideoFormat(info.pixel_format))
    if has_alpha(pixel_format):
        layout = "gbrap" if _is_rgb(pixel_format) else "yuva444p"
        chain += [f"format={layout}", "premultiply=inplace=1"]
    if (pixel_format.name, width, height) != (wanted, info.coded_width, info.coded_height):
        chain += [_scale(pixel_format, info), f"format={wanted}"]
    return chain + (info.upright.split(",") if info.upright else [])


def _scale(pixel_format: PixelFormat, info: VideoInfo) -> str:
    """The scale filter to the clip's size. Samples of YUV and gray keep their values; the tags say their range."""
    scale = f"scale={info.coded_width}:{info.coded_height}:flags={SCALER_FLAGS}"
    if _is_rgb(pixel_format):
        return f"{scale}:out_color_matrix={MATRIX_NAMES[info.colors.matrix]}:out_range={range_name(info.colors)}"
    matrix = MATRIX_NAMES[info.colors.matrix]
    return f"{scale}:in_color_matrix={matrix}:out_color_matrix={matrix}:in_range=pc:out_range=pc"
