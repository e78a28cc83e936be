"""What of a file is missing, judged by what its packets show: said in sentences for the client, never silent."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from framepack.media.read.packet_index import Scan
    from framepack.media.timeline.constant_rate import Timeline

_INDEXED: Final = "mov"  # its header lists every frame
_STREAMED: Final = ("matroska", "mpegts", "mpeg", "flv", "asf")  # damage makes frames of these vanish
_UNTOLD: Final = ("mpegts", "mpeg", "gif")  # these do not say how long they are
_MICROSECONDS: Final = 1_000_000
_SLACK_SECONDS: Final = Fraction(1, 10)
_SLACK_BYTES: Final = 2048
_SLACK: Final = Fraction(1, 50)
_GIF_END: Final = b"\0;"  # the end of the last block, and the trailer


def losses(container: InputContainer, video: VideoStream, found: Scan, timeline: Timeline) -> Iterator[str]:
    """Say what is missing from a file that was scanned, one sentence each."""
    name = container.format.name
    if _INDEXED in name:
        listed = len(video.index_entries)
        if listed > found.packet_count:
            yield f"The end of the file is missing: of {listed} frames it holds {found.packet_count}."
    elif name in _UNTOLD:
        if _stops_early(Path(container.name.removeprefix("file:")), name, found):
            yield "The end of the file is missing or cannot be read."
    else:
        yield from _too_short(container, found, timeline)
    if timeline.gaps and name.startswith(_STREAMED):
        yield f"The file lacks {timeline.gaps} of {timeline.length} frames; neighbors stay on screen instead."


def _too_short(container: InputContainer, found: Scan, timeline: Timeline) -> Iterator[str]:
    declared = Fraction(container.duration or 0, _MICROSECONDS)
    present = found.end_seconds - Fraction(container.start_time or 0, _MICROSECONDS)
    if declared - present > _SLACK_SECONDS + 1 / timeline.fps:
        yield f"The end of the file is missing: of {float(declared):.1f} seconds it holds {float(present):.1f}."


def _stops_early(path: Path, name: str, found: Scan) -> bool:
    """Whether much of the file lies behind the last packet, or a GIF has no end."""
    size_bytes = path.stat().st_size
    if size_bytes - found.end_bytes > max(_SLACK_BYTES, round(size_bytes * _SLACK)):
        return True
    if name != "gif":
        return False
    with path.open("rb") as file:
        file.seek(-min(size_bytes, 16), 2)
        return not file.read().rstrip(b"\0\r\n").endswith(_GIF_END)
