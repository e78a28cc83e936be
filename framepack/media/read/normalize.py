"""Convert decoded frames to the format of a clip: upright planar YUV of one size, with color tags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from framepack.media.frames.alpha import planar_with_alpha, put_on_black, scale_with_alpha, with_alpha
from framepack.media.frames.arrays import samples_of
from framepack.media.frames.colors import (
    MATRIX_NAMES,
    PUT_ON_BLACK,
    SCALER_FLAGS,
    bit_depth,
    has_alpha,
    is_rgb,
    planar_format,
    range_name,
    tag,
    tag_rgb,
)
from framepack.media.frames.graph import build_graph, filtered
from framepack.media.frames.letterbox import fitted_size

if TYPE_CHECKING:
    import av
    from av.filter import Graph
    from av.video.format import VideoFormat as PixelFormat

    from framepack.media.read.probe import VideoInfo

_OPAQUE: Final = 0.98
_BYTE: Final = 8  # bits
_MOST: Final = 255
_BRIGHTEST: Final = {5: 248, 6: 252}  # by bits, as FFmpeg converts it to 8 bits


class Normalizer:
    """Converts the frames of one stream to one size and format; frames that need no conversion pass through.

    Args:
        info: The video.
        note: Called with sentences about what is changed.
        keep_alpha: Whether frames have alpha, instead of being put on black.

    Attributes:
        found_transparent: Whether a frame had pixels that are not opaque.
    """

    def __init__(self, info: VideoInfo, note: Callable[[str], None], *, keep_alpha: bool = False) -> None:
        self._info, self._note, self._keep_alpha = info, note, keep_alpha
        self._shape: tuple[str, int, int] | None = None
        self._graph: Graph | None = None
        self._alpha = _LatestGraph()
        self.found_transparent = False

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Convert a frame to upright planar YUV of the first frame's size, with the clip's color tags.

        A frame of another size is scaled to fit and centered on black; transparent pixels are put on black. If alpha
        is kept, colors stay as they are, and a frame of another size is centered on transparent black.

        Raises:
            av.FFmpegError: The frame cannot be converted.
        """
        if has_alpha(frame.format):
            frame = self._note_alpha(frame) if self._keep_alpha else self._on_black(frame)
        shape = (frame.format.name, frame.width, frame.height)
        if shape != self._shape:
            chain = _chain(frame.format, frame.width, frame.height, self._info, keep_alpha=self._keep_alpha)
            self._graph = build_graph(frame, chain) if chain else None
            self._shape = shape
            if (frame.width, frame.height) != (self._info.coded_width, self._info.coded_height):
                self._note(
                    "Frames of another size than the first were scaled to fit into "
                    f"{self._info.width} x {self._info.height} pixels."
                )
        if self._graph is not None:
            frame = self._filter(self._graph, frame)
        tag(frame, self._info.colors)
        frame.pict_type = 0  # otherwise an encoder would reuse the source's picture types (I, P, B)
        return frame

    def _note_alpha(self, frame: av.VideoFrame) -> av.VideoFrame:
        if not self.found_transparent:
            alpha = filtered(self._alpha.of(frame, _alpha_filters(frame.format)), frame, 0)
            depth = alpha.format.components[0].bits
            self.found_transparent = int(samples_of(alpha.planes[0], depth).min()) < _OPAQUE * ((1 << depth) - 1)
        return frame

    def _on_black(self, frame: av.VideoFrame) -> av.VideoFrame:
        filters = planar_with_alpha(frame.format, self._info.colors)
        planar = self._filter(self._alpha.of(frame, filters), frame) if filters else frame
        frame, least = put_on_black(planar, self._info.colors)
        if least < _OPAQUE * _MOST and not self.found_transparent:
            self.found_transparent = True
            self._note(PUT_ON_BLACK)
        return frame

    def _filter(self, graph: Graph, frame: av.VideoFrame) -> av.VideoFrame:
        if is_rgb(frame.format):
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


@dataclass(slots=True)
class _LatestGraph:
    """A filter graph, built again when frames have another shape."""

    _shape: tuple[object, ...] | None = None
    _graph: Graph | None = None

    def of(self, frame: av.VideoFrame, filters: Sequence[str]) -> Graph:
        """The graph of these filters for frames like this one."""
        shape = (frame.format.name, frame.width, frame.height)
        if self._graph is None or shape != self._shape:
            self._shape, self._graph = shape, build_graph(frame, filters)
        return self._graph


def _alpha_filters(pixel_format: PixelFormat) -> list[str]:
    """The filters that give the alpha of frames as gray; they do not know palettes."""
    return [*(["format=gbrap"] if pixel_format.has_palette else []), "alphaextract"]


def _chain(pixel_format: PixelFormat, width: int, height: int, info: VideoInfo, *, keep_alpha: bool) -> list[str]:
    """The filters that a frame of this format and size needs."""
    from av.video.format import VideoFormat

    chain = []
    wanted = planar_format(VideoFormat(info.pixel_format))
    if keep_alpha:
        wanted = with_alpha(wanted)
        if has_alpha(pixel_format) and is_rgb(pixel_format) and bit_depth(pixel_format) <= _BYTE:
            chain.append("format=gbrap")  # FFmpeg changes 8 bits of alpha by up to 1 where they are not planar
    if is_rgb(pixel_format) and not has_alpha(pixel_format):
        chain += _stretched(pixel_format)
    coded = info.coded_width, info.coded_height
    if (width, height) != coded:
        chain += _letterbox(pixel_format, width, height, wanted, info, keep_alpha=keep_alpha)
    elif pixel_format.name != wanted:
        chain += [_scale(pixel_format, *coded, info), f"format={wanted}"]
    return chain + (info.upright.split(",") if info.upright else [])


def _stretched(pixel_format: PixelFormat) -> list[str]:
    """The filters that make the brightest value of RGB with few bits 255; FFmpeg fills their low bits with zeros."""
    brightest = [_BRIGHTEST.get(component.bits, _MOST) for component in pixel_format.components]
    if all(value == _MOST for value in brightest):
        return []
    curves = (f"{name}=round(val*{_MOST}/{value})" for name, value in zip("rgb", brightest, strict=True))
    return ["format=gbrp", f"lutrgb={':'.join(curves)}"]


def _letterbox(
    pixel_format: PixelFormat, width: int, height: int, wanted: str, info: VideoInfo, *, keep_alpha: bool
) -> list[str]:
    """The filters that fit a frame into the size of the first one and center it on black, transparent with alpha."""
    coded = info.coded_width, info.coded_height
    size = fitted_size(Fraction(width), height, *coded)
    layout = wanted
    if coded[0] % 2 or coded[1] % 2:  # the pad filter counts in whole chroma samples
        layout = wanted.replace("420p", "444p").replace("422p", "444p")
    left, top = ((side - part) // 4 * 2 for side, part in zip(coded, size, strict=True))
    scale = [_scale(pixel_format, *size, info)]
    set_range = f"setparams=range={range_name(info.colors)}"
    if keep_alpha:
        same = _scale(pixel_format, width, height, info)
        scale = [same, f"format={wanted}", set_range, *scale_with_alpha(*size, info.colors, SCALER_FLAGS)]
    return [
        *scale,
        f"format={layout}",
        set_range,
        f"pad={coded[0]}:{coded[1]}:{left}:{top}:{'black@0' if keep_alpha else 'black'}",
        f"format={wanted}",
    ]


def _scale(pixel_format: PixelFormat, width: int, height: int, info: VideoInfo) -> str:
    """The scale filter to a size. Samples of YUV and gray keep their values; the tags say their range."""
    scale = f"scale={width}:{height}:flags={SCALER_FLAGS}"
    if is_rgb(pixel_format):
        return f"{scale}:out_color_matrix={MATRIX_NAMES[info.colors.matrix]}:out_range={range_name(info.colors)}"
    matrix = MATRIX_NAMES[info.colors.matrix]
    return f"{scale}:in_color_matrix={matrix}:out_color_matrix={matrix}:in_range=pc:out_range=pc"
