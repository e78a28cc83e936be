"""Color tags of decoded frames, FFmpeg's names for them, and the planar YUV format nearest to any pixel format."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from framepack.media.clip import Colors, Matrix

if TYPE_CHECKING:
    import av
    from av.video.format import VideoFormat

_MATRICES: Final = {
    1: Matrix.BT709,
    4: Matrix.BT601,  # FCC: its weights differ from BT.601 in the third digit
    5: Matrix.BT601,
    6: Matrix.BT601,
    7: Matrix.BT709,  # SMPTE 240M, the forerunner of BT.709
    9: Matrix.BT2020,
    10: Matrix.BT2020,
}
_MATRIX_OF_PRIMARIES: Final = {1: Matrix.BT709, 5: Matrix.BT601, 6: Matrix.BT601, 9: Matrix.BT2020}
_PRIMARIES: Final = {Matrix.BT709: 1, Matrix.BT601: 6, Matrix.BT2020: 9}
_TRANSFERS: Final = {Matrix.BT709: 1, Matrix.BT601: 6, Matrix.BT2020: 14}
_KNOWN_PRIMARIES: Final = frozenset({1, *range(4, 13), 22})
_KNOWN_TRANSFERS: Final = frozenset({1, *range(4, 19)})
MATRIX_NAMES: Final = {Matrix.BT709: "bt709", Matrix.BT601: "bt601", Matrix.BT2020: "bt2020"}
"""The scale filter's names of the matrices."""

SCALER_FLAGS: Final = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
"""Flags of the scale filter for exact conversions."""

PUT_ON_BLACK: Final = "Transparent pixels were put on black."
"""The sentence for the client where transparency is lost."""

_RGB, _UNSPECIFIED, _FULL_RANGE, _LIMITED_RANGE = 0, 2, 2, 1
_PAL_LINES: Final = 576
_HD_WIDTH: Final = 1280
PQ: Final = 16
HLG: Final = 18
"""Transfer characteristics of HDR, as H.273 numbers."""


class Tags(Protocol):
    """Color tags as FFmpeg stores them on codec contexts and frames."""

    width: int
    height: int
    colorspace: int
    color_primaries: int
    color_trc: int
    color_range: int


def resolve(
    tags: Tags | av.VideoFrame, pixel_format: VideoFormat, container: tuple[int, int, int] = (2, 2, 2)
) -> Colors:
    """Read color tags; a missing tag is that of the container, or gets its most likely value.

    Untagged YUV is BT.2020 if its transfer characteristics are those of HDR, else BT.709 from 1280 columns or above
    576 rows, otherwise BT.601, in limited range. Untagged gray is full range, as in FFmpeg. RGB becomes BT.709 in
    limited range, because it will be converted to that.

    Args:
        tags: What has them.
        pixel_format: Its pixel format.
        container: Matrix, primaries and transfer characteristics as the container has them; 2 means unspecified.
    """
    own = tags.colorspace, tags.color_primaries, tags.color_trc
    matrix_tag, primaries, transfer = (
        other if tag == _UNSPECIFIED else tag for tag, other in zip(own, container, strict=True)
    )
    matrix = _MATRICES.get(matrix_tag) or _MATRIX_OF_PRIMARIES.get(primaries)
    if is_rgb(pixel_format):
        matrix = Matrix.BT709
    elif matrix is None and transfer in {PQ, HLG}:
        matrix = Matrix.BT2020
    elif matrix is None:
        is_hd = tags.width >= _HD_WIDTH or tags.height > _PAL_LINES
        matrix = Matrix.BT709 if is_hd else Matrix.BT601
    if primaries not in _KNOWN_PRIMARIES:
        primaries = 5 if (matrix, tags.height) == (Matrix.BT601, _PAL_LINES) else _PRIMARIES[matrix]
    if transfer not in _KNOWN_TRANSFERS:
        transfer = _TRANSFERS[matrix]
    return Colors(matrix, primaries, transfer, _is_full_range(tags.color_range, pixel_format))


def colors_of(frame: av.VideoFrame, first: Colors) -> Colors:
    """The colors of a frame of a video whose first frame has the colors ``first``.

    They are the same unless a tag of the frame contradicts them: missing tags do not. RGB is converted to the colors
    of the first frame, whatever its tags.
    """
    if is_rgb(frame.format):
        return first
    own = resolve(frame, frame.format)
    is_full = first.full_range
    if frame.color_range in {_FULL_RANGE, _LIMITED_RANGE} or frame.format.name.startswith("yuvj"):
        is_full = own.full_range
    contradicts = (
        (frame.colorspace in _MATRICES and own.matrix != first.matrix)
        or (frame.color_primaries in _KNOWN_PRIMARIES and own.primaries != first.primaries)
        or (frame.color_trc in _KNOWN_TRANSFERS and own.transfer != first.transfer)
    )
    if (own.matrix, own.primaries, own.transfer) == (Matrix.BT709, 1, HLG) and first.primaries != 1:
        # The HEVC decoder keeps an alternative curve (SEI) that an earlier part of the stream named: this one is SDR.
        own = replace(own, transfer=1)
    return replace(own if contradicts else first, full_range=is_full)


def _is_full_range(color_range: int, pixel_format: VideoFormat) -> bool:
    if is_rgb(pixel_format):
        return False
    if color_range == 0:
        return pixel_format.name.startswith("yuvj") or is_gray(pixel_format)
    return color_range == _FULL_RANGE


def is_hdr(colors: Colors) -> bool:
    """Whether the transfer characteristics are those of HDR (PQ or HLG)."""
    return colors.transfer in {PQ, HLG}


def range_name(colors: Colors) -> str:
    """FFmpeg's name of the color range: "pc" (full) or "tv" (limited)."""
    return "pc" if colors.full_range else "tv"


def tag(frame: av.VideoFrame, colors: Colors) -> None:
    """Set the color tags of a YUV frame."""
    frame.colorspace = int(colors.matrix)
    frame.color_primaries = colors.primaries
    frame.color_trc = colors.transfer
    frame.color_range = _FULL_RANGE if colors.full_range else _LIMITED_RANGE


def tag_rgb(frame: av.VideoFrame) -> None:
    """Set the color tags of an RGB frame, whose own tags may be wrong."""
    frame.colorspace, frame.color_range = _RGB, _FULL_RANGE
    frame.color_primaries = frame.color_trc = _UNSPECIFIED


def planar_format(pixel_format: VideoFormat) -> str:
    """FFmpeg's name of the planar YUV format that holds ``pixel_format`` without loss of chroma resolution or depth.

    It is one of yuv420p, yuv422p and yuv444p, with 8, 10 or 12 bits (little endian).
    """
    chroma = (pixel_format.chroma_width(8), pixel_format.chroma_height(8))
    if is_rgb(pixel_format):
        layout = "yuv444p"
    elif is_gray(pixel_format) or chroma in {(4, 4), (2, 2)}:
        layout = "yuv420p"
    else:
        layout = "yuv422p" if chroma in {(4, 8), (2, 8)} else "yuv444p"
    bits = bit_depth(pixel_format)
    return layout + ("" if bits <= 8 else "10le" if bits <= 10 else "12le")  # noqa: PLR2004 - depths that exist


def bit_depth(pixel_format: VideoFormat) -> int:
    """Bits of the deepest component."""
    if pixel_format.has_palette:
        return 8
    return max(component.bits for component in pixel_format.components)


def is_rgb(pixel_format: VideoFormat) -> bool:
    """Whether pixels are red, green and blue, perhaps of a palette."""
    return pixel_format.is_rgb or pixel_format.has_palette


def is_gray(pixel_format: VideoFormat) -> bool:
    """Whether there is only luma."""
    colored = [component for component in pixel_format.components if not component.is_alpha]
    return len(colored) == 1 and not is_rgb(pixel_format)


def has_alpha(pixel_format: VideoFormat) -> bool:
    """Whether pixels may be transparent."""
    return pixel_format.has_palette or any(component.is_alpha for component in pixel_format.components)
