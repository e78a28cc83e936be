"""What MP4, MOV and Matroska files say about a video track that FFmpeg's decoders leave to others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from framepack.errors import InvalidMedia
from framepack.media.frames.side_data import side_data
from framepack.media.read.nal_units import BitReader
from framepack.media.read.whole_file import ebml_number

if TYPE_CHECKING:
    import av

    from framepack.media.read.combs import Parity

_MOST_INDEX_BYTES: Final = 2**26
_HEAD_BYTES: Final = 2**20
_SAMPLE_ENTRY_BYTES: Final = 78  # of a video, before its boxes
_TO_SAMPLE_ENTRIES: Final = (b"mdia", b"minf", b"stbl", b"stsd")
_TO_KIND: Final = (b"mdia", b"hdlr")
_CONFIGURATIONS: Final = (b"dvcC", b"dvvC", b"dvwC")
_SEGMENT, _TRACKS, _TRACK = b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae"
_KIND, _VIDEO, _VIDEO_KIND = b"\x83", b"\xe0", b"\x01"
_WIDTH, _HEIGHT = b"\xb0", b"\xba"
_CROPS: Final = (b"\x54\xcc", b"\x54\xdd", b"\x54\xbb", b"\x54\xaa")  # left, right, top, bottom
_MAPPING, _MAPPING_KIND, _MAPPING_DATA = b"\x41\xe4", b"\x41\xe7", b"\x41\xed"
_WITHOUT_BASE: Final = frozenset({1, 3, 5})
_MAYBE_WITHOUT_BASE: Final = frozenset({10, 20})  # with a base in other colors if a field says in which ones
_PARITIES: Final[dict[bytes, Parity]] = {b"\2\1": "tff", b"\2\11": "tff", b"\2\6": "bff", b"\2\16": "bff"}
_PREVENTION: Final = b"\0\0\3"  # the last byte is inserted, so that data never has a start code
_RPU_PREFIX: Final = 25
_RPU_TYPE: Final = 2


@dataclass(frozen=True, slots=True)
class VideoHeader:
    """What a file says about a video track.

    Attributes:
        shown: Width and height of the part of each frame that players are asked to show; None if there is no such
            part, or it is the whole frame.
        dolby_vision: The configuration of Dolby Vision; empty if there is none.
        parity: Which field of its frames comes first; None if they are not interlaced, or nothing says so.
    """

    shown: tuple[int, int] | None = None
    dolby_vision: bytes = b""
    parity: Parity | None = None


def read_video_header(path: Path, container: str, number: int) -> VideoHeader:
    """Read the header of a video track; an empty one where there is none, or it is damaged.

    Args:
        path: The file.
        container: FFmpeg's name of its container.
        number: Number of the track among the video tracks, from 0.
    """
    read = {"mov": _in_mp4, "matroska": _in_matroska}.get(container.partition(",")[0])
    found: list[VideoHeader] = []
    if read is not None:
        with suppress(ValueError, IndexError, ZeroDivisionError):
            found = list(read(path))
    return found[number] if number < len(found) else VideoHeader()


def describe_shown(header: VideoHeader, width: int, height: int) -> Iterator[str]:
    """Describe a part of the frames that players are asked to show; browsers and most players show all of them."""
    if header.shown is not None and header.shown != (width, height):
        yield (
            f"The file asks players to show only {header.shown[0]} x {header.shown[1]} of its {width} x {height} "
            "pixels (clean aperture); outputs have all of them."
        )


def refuse_dolby_vision(header: VideoHeader, frame: av.VideoFrame | None) -> None:
    """Refuse Dolby Vision whose colors only its own decoders know.

    Raises:
        InvalidMedia: There is no base in the colors of HDR10, HLG or SDR.
    """
    profile = _profile_without_base(header.dolby_vision)
    if profile is None and frame is not None:
        profile = _profile_of_frame(frame)
    if profile is not None:
        raise InvalidMedia(
            f"The video is Dolby Vision of profile {profile}, whose colors only Dolby's own decoders know: "
            "profiles 7 and 8 are accepted, as are HDR10, HLG and SDR. Export it as one of these."
        )


def _profile_without_base(configuration: bytes) -> int | None:
    if len(configuration) <= 4:  # noqa: PLR2004
        return None
    profile, compatible = configuration[2] >> 1, configuration[4] >> 4
    is_without = profile in _WITHOUT_BASE or (profile in _MAYBE_WITHOUT_BASE and not compatible)
    return profile if is_without else None


def _profile_of_frame(frame: av.VideoFrame) -> int | None:
    """Profile 5 if the metadata of a HEVC frame is that of it, which containers need not say."""
    data = side_data(frame, "DOVI_RPU_BUFFER")
    if data is None:
        return None
    bits = BitReader(data.replace(_PREVENTION, _PREVENTION[:2]))
    try:
        if bits.u(8) != _RPU_PREFIX or bits.u(6) != _RPU_TYPE:
            return None
        bits.u(11)  # format
        profile = bits.u(4)
        bits.u(4)  # level
        if not bits.u(1):  # no sequence parameters follow
            return None
        bits.u(1)
        if not bits.u(2):
            bits.ue()
        bits.u(2)
        is_full_range = bool(bits.u(1))
    except ValueError:
        return None
    return 5 if profile == 0 and is_full_range else None


def _in_mp4(path: Path) -> Iterator[VideoHeader]:
    for name, track in _boxes(_index(path)):
        if name != b"trak" or _inside(track, _TO_KIND)[8:12] != b"vide":
            continue
        entries = _inside(track, _TO_SAMPLE_ENTRIES)
        _, entry = next(_boxes(entries[8:]), (b"", b""))
        boxes = dict(_boxes(entry[_SAMPLE_ENTRY_BYTES:]))
        configuration = next((boxes[each] for each in _CONFIGURATIONS if each in boxes), b"")
        aperture = _aperture(boxes[b"clap"]) if b"clap" in boxes else None
        yield VideoHeader(aperture, configuration, _PARITIES.get(boxes.get(b"fiel", b"")))


def _aperture(data: bytes) -> tuple[int, int]:
    width, per_width, height, per_height = (int.from_bytes(data[at : at + 4], "big") for at in (0, 4, 8, 12))
    return round(Fraction(width, per_width)), round(Fraction(height, per_height))


def _index(path: Path) -> bytes:
    """The content of the box ``moov``; empty if there is none, or it is too large."""
    size_bytes, begin = path.stat().st_size, 0
    with path.open("rb") as file:
        while begin + 8 <= size_bytes:
            file.seek(begin)
            head = file.read(16)
            length, used = int.from_bytes(head[:4], "big"), 8
            if length == 1:  # the size follows, in 64 bits
                length, used = int.from_bytes(head[8:16], "big"), 16
            if head[4:8] == b"moov":
                file.seek(begin + used)
                return file.read(length - used) if used <= length <= _MOST_INDEX_BYTES else b""
            if length < used:
                return b""
            begin += length
    return b""


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes of an MP4 file: name and content."""
    begin = 0
    while begin + 8 <= len(data):
        length = int.from_bytes(data[begin : begin + 4], "big")
        if length < 8:  # noqa: PLR2004
            return
        yield data[begin + 4 : begin + 8], data[begin + 8 : begin + length]
        begin += length


def _inside(data: bytes, names: tuple[bytes, ...]) -> bytes:
    """The content of a box within boxes; empty if there is none."""
    for name in names:
        data = next((content for each, content in _boxes(data) if each == name), b"")
    return data


def _in_matroska(path: Path) -> Iterator[VideoHeader]:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    segment = next((content for name, content in _elements(head) if name == _SEGMENT), b"")
    tracks = next((content for name, content in _elements(segment) if name == _TRACKS), b"")
    for name, track in _elements(tracks):
        fields = dict(_elements(track)) if name == _TRACK else {}
        if fields.get(_KIND) != _VIDEO_KIND:
            continue
        video = {each: int.from_bytes(value, "big") for each, value in _elements(fields.get(_VIDEO, b""))}
        left, right, top, bottom = (video.get(each, 0) for each in _CROPS)
        shown = video.get(_WIDTH, 0) - left - right, video.get(_HEIGHT, 0) - top - bottom
        mappings = [dict(_elements(value)) for each, value in _elements(track) if each == _MAPPING]
        configuration = next(
            (each.get(_MAPPING_DATA, b"") for each in mappings if each.get(_MAPPING_KIND, b"") in _CONFIGURATIONS),
            b"",
        )
        yield VideoHeader(shown if left or right or top or bottom else None, configuration)


def _elements(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The elements of a Matroska file: name and content; that of the last one may be cut off."""
    begin = 0
    while begin < len(data):
        name_bytes = 9 - data[begin].bit_length()
        size = ebml_number(data[begin + name_bytes : begin + name_bytes + 8])
        if name_bytes > 4 or size is None:  # noqa: PLR2004
            return
        content = begin + name_bytes + size[0]
        end = len(data) if size[1] is None else content + size[1]
        yield data[begin : begin + name_bytes], data[content:end]
        begin = end
