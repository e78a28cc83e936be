"""Describe what is missing from a video file, and what its timeline changes, in sentences for the client."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from framepack.media.read.scan import WITH_FRAME_INDEX
from framepack.media.read.whole_file import has_damaged_tags, has_unread_blocks, is_cut_off, walk_gif
from framepack.media.timeline.constant_rate import longer_end
from framepack.media.transport_stream import is_transport_stream
from framepack.units import MICROSECONDS

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from framepack.media.read.scan import Scan
    from framepack.media.timeline.constant_rate import Timeline, Timestamps

_WITHOUT_FRAME_INDEX: Final = ("matroska", "mpegts", "mpeg", "flv", "asf")  # damaged frames vanish without a trace
_WITHOUT_DURATION: Final = ("mpegts", "mpeg", "gif")  # the header has no duration
_SLACK_SECONDS: Final = Fraction(1, 10)
_SLACK_BYTES: Final = 2048
_SLACK_SHARE: Final = Fraction(1, 50)
_MOST_TAIL_BYTES: Final = 4_000_000
_START_CODE_BYTES: Final = 4
_END_CODE: Final = 0xB9
_PACK_CODE: Final = 0xBA


def describe_changes(scanned: Scan, timeline: Timeline, timestamps: Timestamps) -> Iterator[str]:
    """Describe what a timeline makes of a scanned file, whose frames have these timestamps."""
    if timeline.dropped:
        verb = "was" if timeline.dropped == 1 else "were"
        yield (
            f"{timeline.dropped} of {scanned.frame_count} frames {verb} dropped, too close to others for "
            f"{float(timeline.fps):.5g} frames per second."
        )
    if timeline.off_seconds:
        yield (
            f"Frames are shown up to {float(timeline.off_seconds):.2f} seconds off their times: at more than "
            f"{float(timeline.fps):.5g} frames per second there would be too many."
        )
    if longer := longer_end(timeline, timestamps):
        late = f"The last frame is shown {float(longer):.2f} seconds longer"
        yield f"{late} than the file says, which is too short for a frame."
    if scanned.clocks.jumps:
        times = "once" if scanned.clocks.jumps == 1 else f"{scanned.clocks.jumps} times"
        yield f"The file's clock starts anew or jumps {times}; its parts follow each other without a gap."
    if scanned.unbelieved_seconds:
        yield (
            f"The file says that the last frame lasts {float(scanned.unbelieved_seconds):.1f} seconds, much longer "
            "than all others together; it lasts one frame duration instead."
        )


def describe_damage(
    container: InputContainer, video: VideoStream, scanned: Scan, timeline: Timeline
) -> Iterator[str]:
    """Describe what is missing from a scanned file."""
    name = container.format.name
    path = Path(container.name.removeprefix("file:"))
    is_cut = is_cut_off(path, name) or has_unread_blocks(path, name, scanned.end_bytes) or scanned.ends_in_error
    if WITH_FRAME_INDEX in name:
        listed = len(video.index_entries)
        if listed > scanned.packet_count:
            yield f"The end of the file is missing: of {listed} frames it holds {scanned.packet_count}."
        elif is_cut:
            yield "The end of the file is missing or cannot be read."
    elif name in _WITHOUT_DURATION:
        yield from _missing_undeclared(path, name, scanned, is_cut=is_cut)
    elif name == "flv" and _lacks_end(path, name, scanned):
        yield "The end of the file cannot be read."
    else:
        yield from _missing_end(container, scanned, timeline, is_cut=is_cut)
    lacking = max(_gaps(path, name, scanned, timeline), min(timeline.duplicated, scanned.last_frames.missing()))
    if lacking:
        yield f"The file lacks {lacking} of {timeline.length} frames; the nearest readable frame was repeated."


def _gaps(path: Path, name: str, scanned: Scan, timeline: Timeline) -> int:
    """Number of frames that are missing between others because of damage; recorders leave out frames, too."""
    if not timeline.gaps or not name.startswith(_WITHOUT_FRAME_INDEX):
        return 0
    is_damaged = scanned.has_holes or (name == "flv" and has_damaged_tags(path))
    return timeline.gaps if is_damaged else 0


def _missing_end(container: InputContainer, scanned: Scan, timeline: Timeline, *, is_cut: bool) -> Iterator[str]:
    declared = Fraction(container.duration or 0, MICROSECONDS)
    if container.format.name == "avi":  # which counts empty audio packets: before audio that begins late, too
        declared = min(declared, scanned.declared_end or declared)
    start = Fraction(container.start_time or 0, MICROSECONDS)
    present = scanned.ends.seconds() - min(start, Fraction(0))  # some muxers count the time before the first packet
    slack = 1 / (2 * timeline.fps) if is_cut else _SLACK_SECONDS + 1 / timeline.fps
    if not scanned.is_whole and declared - present > slack:
        yield f"The end of the file is missing: of {float(declared):.1f} seconds it holds {float(present):.1f}."
    elif is_cut:
        yield "The end of the file is missing or cannot be read."


def _missing_undeclared(path: Path, name: str, scanned: Scan, *, is_cut: bool) -> Iterator[str]:
    blocks = walk_gif(path) if name == "gif" else None
    if blocks is not None and blocks.is_damaged:
        yield "Some of the video's data could not be read."
    elif is_cut or (_lacks_end(path, name, scanned) if blocks is None else not blocks.has_end):
        yield "The end of the file is missing or cannot be read."


def _lacks_end(path: Path, name: str, scanned: Scan) -> bool:
    """Whether much of the file comes after the last packet and is no padding."""
    size_bytes = path.stat().st_size
    slack_bytes = max(_SLACK_BYTES, round(size_bytes * _SLACK_SHARE))
    rest_bytes = size_bytes - scanned.end_bytes
    if name == "mpeg":
        rest_bytes = _unreadable_bytes(_tail(path, scanned.last_position))
    is_padding = name == "mpegts" and is_transport_stream(_tail(path, scanned.last_position))
    return rest_bytes > slack_bytes and not is_padding


def _tail(path: Path, begin: int) -> bytes:
    """The end of a file, but not more than the first few megabytes of it."""
    with path.open("rb") as file:
        file.seek(begin)
        return file.read(_MOST_TAIL_BYTES)


def _unreadable_bytes(data: bytes) -> int:
    """Number of bytes after the last whole packet of an MPEG program stream, which is padded to equal packs.

    For a packet that is cut off, it is more than any file has.
    """
    position = 0
    while position + _START_CODE_BYTES <= len(data):
        code = data[position + 3]
        if data[position : position + 3] != b"\0\0\1" or code < _END_CODE:
            return len(data[position:].strip(b"\0\xff"))
        if code == _END_CODE:
            position += _START_CODE_BYTES
        elif code == _PACK_CODE:
            is_mpeg2 = position + 13 < len(data) and data[position + 4] >> 6 == 1
            position += 14 + (data[position + 13] & 7) if is_mpeg2 else 12
        else:
            position += 6 + int.from_bytes(data[position + 4 : position + 6], "big")
    return 0 if position <= len(data) or len(data) == _MOST_TAIL_BYTES else sys.maxsize
