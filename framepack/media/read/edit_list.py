"""The edit lists of an MP4 file: which parts of its tracks are played, in which order and how fast."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from framepack.media.boxes import file_boxes

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.video.stream import VideoStream

_MOST_MOOV_BYTES: Final = 2**27
_MOST_EDITS: Final = 200
_NOTHING: Final = -1
_FIXED_POINT: Final = 2**16
_DELAY: Final = struct.Struct(">Ii")  # for so many frames, how much later they are shown than decoded


class Edit(NamedTuple):
    """One entry of an edit list.

    Attributes:
        seconds: How long it plays; 0 if up to the end of the track.
        begin: Where it begins, in seconds of the track's own clock; None if nothing is played.
        rate: How fast it plays; 0 holds one frame.
    """

    seconds: Fraction
    begin: Fraction | None
    rate: Fraction = Fraction(1)


EditLists = dict[int, list[Edit]]
"""By number of the track; tracks without a list are missing."""


def read_edit_lists(path: Path) -> EditLists:
    """The edit lists of an MP4 file; none if it has no complete index, or its frames are in fragments."""
    movie = _movie(path)
    boxes = list(_boxes(movie))
    names = [name for name, _ in boxes]
    if b"mvhd" not in names or b"mvex" in names:
        return {}
    try:
        units = _units(dict(boxes)[b"mvhd"])
        return {number: edits for name, track in boxes if name == b"trak" for number, edits in _edits(track, units)}
    except (struct.error, KeyError, IndexError, ZeroDivisionError):  # damaged
        return {}


def own_reading(path: Path, lists: EditLists, video: VideoStream, audio: AudioStream | None) -> list[list[Edit]]:
    """The edit lists of a video and its audio, if FFmpeg does not follow one of them; else none.

    FFmpeg leaves out the wrong frames if they have the times of decoding, and are shown in another order.
    """
    found = [lists.get(stream.id, []) for stream in (video, audio) if stream is not None]
    is_cut = any(edit.begin for edit in found[0]) and video.codec_context.reorder_depth > 0
    needs_it = any(map(needs_own_reading, found)) or (is_cut and has_decoding_times(path, video.id))
    return found if needs_it else []


def has_decoding_times(path: Path, number: int) -> bool:
    """Whether the frames of a track have only the times at which they are decoded."""
    try:
        tracks = [dict(_boxes(track)) for name, track in _boxes(_movie(path)) if name == b"trak"]
        track = next(boxes for boxes in tracks if _number(boxes[b"tkhd"]) == number)
        table = dict(_boxes(dict(_boxes(dict(_boxes(track[b"mdia"]))[b"minf"]))[b"stbl"]))
        delays = table.get(b"ctts", bytes(8))
        (count,) = struct.unpack_from(">I", delays, 4)
        return not any(delay for _, delay in _DELAY.iter_unpack(delays[8 : 8 + count * _DELAY.size]))
    except (struct.error, KeyError, IndexError, StopIteration):  # damaged
        return False


def needs_own_reading(edits: Sequence[Edit]) -> bool:
    """Whether FFmpeg does not follow a list: it knows a pause at the beginning, then one part at normal speed."""
    played = list(dropwhile(lambda edit: edit.begin is None, edits))
    return len(played) > 1 or any(edit.rate != 1 or not edit.seconds for edit in played)


def obstacle(edits: Sequence[Edit]) -> str | None:
    """Why a list cannot be followed, as a sentence for the client; None if it can."""
    backward = sum(edit.rate < 0 for edit in edits)
    if len(edits) <= _MOST_EDITS and not backward:
        return None
    reason = f"has {len(edits)} parts, more than the {_MOST_EDITS} that can be followed"
    if backward:
        reason = f"plays {backward} of its {len(edits)} parts backward, which is not followed"
    return f"The file's edit list {reason}: all of the video is played once, in order."


def played_once(edits: Sequence[Edit]) -> list[Edit]:
    """A list that plays all from the earliest part on."""
    return [Edit(Fraction(0), min((edit.begin for edit in edits if edit.begin is not None), default=Fraction(0)))]


def _movie(path: Path) -> bytes:
    """The content of the box that describes all tracks; nothing if there is none."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        for box in file_boxes(file, size_bytes):
            length = box.length or size_bytes - box.begin
            if box.name == b"moov":
                file.seek(box.begin + box.header_bytes)
                content_bytes = min(length - box.header_bytes, _MOST_MOOV_BYTES)
                return file.read(content_bytes) if content_bytes > 0 else b""
            if length < box.header_bytes:
                break
    return b""


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents of the boxes in a box."""
    begin = 0
    while begin + 8 <= len(data):
        length = int.from_bytes(data[begin : begin + 4], "big") or len(data) - begin
        if length < 8:  # noqa: PLR2004 - a length and a name
            return
        yield data[begin + 4 : begin + 8], data[begin + 8 : begin + length]
        begin += length


def _edits(track: bytes, movie_units: int) -> Iterator[tuple[int, list[Edit]]]:
    """The number of a track and its edit list, if it has one."""
    boxes = dict(_boxes(track))
    entries = dict(_boxes(boxes.get(b"edts", b""))).get(b"elst")
    if entries is None:
        return
    units = _units(dict(_boxes(boxes[b"mdia"]))[b"mdhd"])
    number = _number(boxes[b"tkhd"])
    layout = struct.Struct(">Qqi" if entries[0] else ">Iii")
    (count,) = struct.unpack_from(">I", entries, 4)
    edits = []
    for duration, begin, rate in layout.iter_unpack(entries[8 : 8 + count * layout.size]):
        place = None if begin == _NOTHING else Fraction(begin, units)
        edits.append(Edit(Fraction(duration, movie_units), place, Fraction(rate, _FIXED_POINT)))
    yield number, edits


def _number(header: bytes) -> int:
    """The number of a track, by its header."""
    (number,) = struct.unpack_from(">I", header, 20 if header[0] else 12)
    return int(number)


def _units(header: bytes) -> int:
    """Units per second of a header of the movie or of a track's content."""
    (units,) = struct.unpack_from(">I", header, 20 if header[0] else 12)
    return int(units)
