"""Convert decoded frames to the format of a clip: upright planar YUV of one size, with the same colors."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from framepack.media.frames.alpha import planar_with_alpha, put_on_black, scale_with_alpha, with_alpha
from framepack.media.frames.arrays import samples_of, without_range
from framepack.media.frames.colors import (
    MATRIX_NAMES,
    PUT_ON_BLACK,
    SCALER_FLAGS,
    bit_depth,
    colors_of,
    has_alpha,
    is_hdr,
    is_rgb,
    planar_format,
    range_name,
    tag,
    tag_rgb,
)
from framepack.media.frames.conversion import conversion_graph, needs_conversion
from framepack.media.frames.graph import build_graph, filtered
from framepack.media.frames.letterbox import fitted_size
from framepack.media.frames.scale import nearest_even

if TYPE_CHECKING:
    import av
    from av.filter import Graph
    from av.video.format import VideoFormat as PixelFormat

    from framepack.media.clip import Colors
    from framepack.media.read.pixel_aspect import PixelAspects
    from framepack.media.read.probe import VideoInfo

_OPAQUE: Final = 0.98
_BYTE: Final = 8  # bits
_MOST: Final = 255
_BRIGHTEST: Final = {5: 248, 6: 252}  # by bits, as FFmpeg converts it to 8 bits


_COLORS_STAY: Final = (
    "Frames with other color tags than the first were not converted to its colors, because transparency is kept."
)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What decides how a frame is converted.

    Attributes:
        format: FFmpeg's name of the pixel format.
        width: Width in pixels.
        height: Height in pixels.
        ratio: Its pixel aspect, divided by that of the first frame.
        colors: Its colors.
    """

    format: str
    width: int
    height: int
    ratio: Fraction
    colors: Colors

    def differs(self, info: VideoInfo) -> bool:
        """Whether it has to be fitted into the size of the first frame."""
        return self.ratio != 1 or (self.width, self.height) != (info.coded_width, info.coded_height)

    def scaled_size(self, info: VideoInfo) -> tuple[int, int]:
        """The width and height at which it fits into the first frame."""
        return fitted_size(self.width * self.ratio, self.height, info.coded_width, info.coded_height)


def _describe(kind: _Kind, info: VideoInfo) -> Iterator[str]:
    """Describe what is changed in frames of a kind. Sizes are those of display, in square pixels."""
    width = info.width if info.pixel_aspect == 1 else nearest_even(info.width * info.pixel_aspect)
    fitted = f"were scaled to fit into {width} x {info.height} pixels."
    if (kind.width, kind.height) != (info.coded_width, info.coded_height):
        yield f"Frames of another size than the first {fitted}"
    elif kind.ratio != 1:
        yield f"Frames with another pixel aspect than the first {fitted}"
    if kind.colors == info.colors:
        return
    how = ""
    if is_hdr(kind.colors) and not is_hdr(info.colors):
        how = ": HDR was tone-mapped to SDR"
    elif is_hdr(info.colors) and not is_hdr(kind.colors):
        how = ": the white of SDR became HDR reference white (203 cd/m2)"
    yield f"Frames with other color tags than the first were converted to its colors{how}."


class Normalizer:
    """Converts the frames of one stream to one size and format; frames that need no conversion pass through.

    Args:
        info: The video.
        note: Called with sentences about what is changed.
        aspects: Tells the pixel aspects of frames; None: they do not change.
        keep_alpha: Whether frames have alpha, instead of being put on black.

    Attributes:
        found_transparent: Whether a frame had pixels that are not opaque.
    """

    def __init__(
        self,
        info: VideoInfo,
        note: Callable[[str], None],
        *,
        aspects: PixelAspects | None = None,
        keep_alpha: bool = False,
    ) -> None:
        self._info, self._note, self._aspects, self._keep_alpha = info, note, aspects, keep_alpha
        self._kind: _Kind | None = None
        self._graph: Graph | None = None
        self._count = 0
        self._part: tuple[str, int | None] | None = None
        self._colors, self._ratio = info.colors, Fraction(1)
        self._alpha = _LatestGraph()
        self.found_transparent = False

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Convert a frame to upright planar YUV of the first frame's size, with the clip's color tags.

        A frame of another size or pixel aspect is scaled to fit and centered on black; one with other color tags is
        converted; transparent pixels are put on black. If alpha is kept, colors stay as they are, and a frame of
        another size is centered on transparent black.

        Raises:
            av.FFmpegError: The frame cannot be converted.
        """
        self.note_marks(frame)
        colors, ratio = self._colors, self._ratio
        if has_alpha(frame.format):
            frame = self._note_alpha(frame) if self._keep_alpha else self._on_black(frame, colors)
        if colors != self._info.colors:
            frame = without_range(frame)
        kind = _Kind(frame.format.name, frame.width, frame.height, ratio, colors)
        if kind != self._kind:
            self._graph = self._build(frame, kind)
            self._kind = kind
            for sentence in _describe(kind, self._info):
                self._note(sentence)
        if self._graph is not None:
            frame = self._filter(self._graph, frame, colors)
        tag(frame, self._info.colors)
        frame.pict_type = 0  # otherwise an encoder would reuse the source's picture types (I, P, B)
        return frame

    def note_marks(self, frame: av.VideoFrame) -> None:
        """Note the colors and pixel aspect of a frame. They change with key frames and pixel formats only.

        FFmpeg gives frames that lack tags those of its decoder, which may have gone on to the next key frame.
        """
        keys = self._info.order.key_packets
        part = frame.format.name, None if frame.pts is None else bisect_right(keys, frame.pts)
        if part == self._part and frame.pts is not None:
            return
        self._part, first = part, self._info.colors
        self._ratio = Fraction(1) if self._aspects is None else self._aspects.ratio(frame)
        self._colors = colors_of(frame, first)
        if not needs_conversion(self._colors, first):
            self._colors = first
        elif self._keep_alpha:
            self._note(_COLORS_STAY)
            self._colors = first

    def _build(self, frame: av.VideoFrame, kind: _Kind) -> Graph | None:
        """The filter graph for frames of one kind; None if they need none."""
        info = self._info
        if kind.colors == info.colors:
            chain = _chain(frame.format, kind, info, keep_alpha=self._keep_alpha)
            return build_graph(frame, chain) if chain else None
        wanted = _wanted(info)
        return conversion_graph(
            frame,
            kind.colors,
            info.colors,
            kind.scaled_size(info),
            _padded_layout(wanted, info),
            [*_padding(kind, info), f"format={wanted}", *_upright(info)],
        )

    def _note_alpha(self, frame: av.VideoFrame) -> av.VideoFrame:
        if not self.found_transparent:
            alpha = filtered(self._alpha.of(frame, _alpha_filters(frame.format)), frame, 0)
            depth = alpha.format.components[0].bits
            self.found_transparent = int(samples_of(alpha.planes[0], depth).min()) < _OPAQUE * ((1 << depth) - 1)
        return frame

    def _on_black(self, frame: av.VideoFrame, colors: Colors) -> av.VideoFrame:
        filters = planar_with_alpha(frame.format, colors)
        planar = self._filter(self._alpha.of(frame, filters), frame, colors) if filters else frame
        frame, least = put_on_black(planar, colors)
        if least < _OPAQUE * _MOST and not self.found_transparent:
            self.found_transparent = True
            self._note(PUT_ON_BLACK)
        return frame

    def _filter(self, graph: Graph, frame: av.VideoFrame, colors: Colors) -> av.VideoFrame:
        if is_rgb(frame.format):
            tag_rgb(frame)
        else:
            tag(frame, colors)
        time, time_base = frame.pts, frame.time_base
        result = filtered(graph, frame, self._count)
        self._count += 1
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
        shape = (frame.format.name, frame.width, frame.height, tuple(filters))
        if self._graph is None or shape != self._shape:
            self._shape, self._graph = shape, build_graph(frame, filters)
        return self._graph


def _alpha_filters(pixel_format: PixelFormat) -> list[str]:
    """The filters that give the alpha of frames as gray; they do not know palettes."""
    return [*(["format=gbrap"] if pixel_format.has_palette else []), "alphaextract"]


def _chain(pixel_format: PixelFormat, kind: _Kind, info: VideoInfo, *, keep_alpha: bool) -> list[str]:
    """The filters that a frame with the colors of the first one needs."""
    chain = []
    wanted = _wanted(info)
    if keep_alpha:
        wanted = with_alpha(wanted)
        if has_alpha(pixel_format) and is_rgb(pixel_format) and bit_depth(pixel_format) <= _BYTE:
            chain.append("format=gbrap")  # FFmpeg changes 8 bits of alpha by up to 1 where they are not planar
    if is_rgb(pixel_format) and not has_alpha(pixel_format):
        chain += _stretched(pixel_format)
    if kind.differs(info):
        chain += _letterbox(pixel_format, kind, wanted, info, keep_alpha=keep_alpha)
    elif pixel_format.name != wanted:
        chain += [_scale(pixel_format, info.coded_width, info.coded_height, info), f"format={wanted}"]
    return chain + _upright(info)


def _wanted(info: VideoInfo) -> str:
    """FFmpeg's name of the format that all frames get, but for alpha."""
    from av.video.format import VideoFormat

    return planar_format(VideoFormat(info.pixel_format))


def _upright(info: VideoInfo) -> list[str]:
    """The filters that make a stored frame upright."""
    return info.upright.split(",") if info.upright else []


def _stretched(pixel_format: PixelFormat) -> list[str]:
    """The filters that make the brightest value of RGB with few bits 255; FFmpeg fills their low bits with zeros."""
    brightest = [_BRIGHTEST.get(component.bits, _MOST) for component in pixel_format.components]
    if all(value == _MOST for value in brightest):
        return []
    curves = (f"{name}=round(val*{_MOST}/{value})" for name, value in zip("rgb", brightest, strict=True))
    return ["format=gbrp", f"lutrgb={':'.join(curves)}"]


def _letterbox(
    pixel_format: PixelFormat, kind: _Kind, wanted: str, info: VideoInfo, *, keep_alpha: bool
) -> list[str]:
    """The filters that fit a frame into the size of the first one and center it on black, transparent with alpha."""
    size = kind.scaled_size(info)
    scale = [_scale(pixel_format, *size, info)]
    set_range = f"setparams=range={range_name(info.colors)}"
    if keep_alpha:
        same = _scale(pixel_format, kind.width, kind.height, info)
        scale = [same, f"format={wanted}", set_range, *scale_with_alpha(*size, info.colors, SCALER_FLAGS)]
    return [
        *scale,
        f"format={_padded_layout(wanted, info)}",
        set_range,
        *_padding(kind, info, "black@0" if keep_alpha else "black"),
        f"format={wanted}",
    ]


def _padded_layout(wanted: str, info: VideoInfo) -> str:
    """The format in which a frame is padded: the pad filter counts in whole chroma samples."""
    if info.coded_width % 2 or info.coded_height % 2:
        return wanted.replace("420p", "444p").replace("422p", "444p")
    return wanted


def _padding(kind: _Kind, info: VideoInfo, color: str = "black") -> list[str]:
    """The filters that center a fitted frame."""
    coded = info.coded_width, info.coded_height
    left, top = ((side - part) // 4 * 2 for side, part in zip(coded, kind.scaled_size(info), strict=True))
    return [f"pad={coded[0]}:{coded[1]}:{left}:{top}:{color}"]


def _scale(pixel_format: PixelFormat, width: int, height: int, info: VideoInfo) -> str:
    """The scale filter to a size. Samples of YUV and gray keep their values; the tags say their range."""
    scale = f"scale={width}:{height}:flags={SCALER_FLAGS}"
    if is_rgb(pixel_format):
        return f"{scale}:out_color_matrix={MATRIX_NAMES[info.colors.matrix]}:out_range={range_name(info.colors)}"
    matrix = MATRIX_NAMES[info.colors.matrix]
    return f"{scale}:in_color_matrix={matrix}:out_color_matrix={matrix}:in_range=pc:out_range=pc"
