"""Whatever a decoder gives becomes what clips promise: upright planar YUV of one size, tagged, opaque."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from framepack.media.frames.colors import has_alpha, planar_format, tag, tag_rgb
from framepack.media.frames.graph import build_graph

if TYPE_CHECKING:
    import av
    from av.filter import Graph
    from av.video.format import VideoFormat as PixelFormat

    from framepack.media.clip import Colors
    from framepack.media.read.probe import VideoInfo

_SCALER: Final = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
_MATRIX_NAMES: Final = {1: "bt709", 6: "bt601", 9: "bt2020"}


class Normalizer:
    """Makes the frames of one stream alike. A frame that already is as it should be passes untouched."""

    def __init__(self, info: VideoInfo) -> None:
        self._info = info
        self._shape: tuple[str, int, int] | None = None
        self._graph: Graph | None = None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return ``frame`` upright, opaque, planar, of the first frame's size, with the clip's color tags.

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
        frame.pict_type = 0  # an encoder would repeat the source's choice of I, P and B
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
    """Filters that a frame of this shape needs."""
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
    """The conversion to the clip's size and format. Values of YUV and gray stay: their meaning is in the tags."""
    scale = f"scale={info.coded_width}:{info.coded_height}:flags={_SCALER}"
    if _is_rgb(pixel_format):
        return f"{scale}:out_color_matrix={_MATRIX_NAMES[info.colors.matrix]}:out_range={_range(info.colors)}"
    matrix = _MATRIX_NAMES[info.colors.matrix]
    return f"{scale}:in_color_matrix={matrix}:out_color_matrix={matrix}:in_range=pc:out_range=pc"


def _range(colors: Colors) -> str:
    return "pc" if colors.full_range else "tv"
