"""Scan the packets of a file: its frames, their timestamps and what is missing, whatever the header says."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from framepack.errors import InvalidMedia, TooLarge
from framepack.media.containers import MAX_PIXELS, read_packets
from framepack.media.timeline.constant_rate import Timeline, Timestamps

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

MAX_FRAMES: Final = 2**20
"""Number of frames at which a scan gives up at the latest: far above any sensible limit."""

_PEEKED_PACKETS: Final = 300

_WITH_FRAME_INDEX: Final = "mov"  # the header lists every frame
_WITHOUT_FRAME_INDEX: Final = ("matroska", "mpegts", "mpeg", "flv", "asf")  # damaged frames vanish without a trace
_WITHOUT_DURATION: Final = ("mpegts", "mpeg", "gif")  # the header has no duration
_MICROSECONDS: Final = 1_000_000
_SLACK_SECONDS: Final = Fraction(1, 10)
_SLACK_BYTES: Final = 2048
_SLACK_SHARE: Final = Fraction(1, 50)
_GIF_END: Final = b"\0;"  # the end of the last block, and the trailer


@dataclass(slots=True)
class Scan:
    """What the packets of a video stream and of the other streams show.

    Attributes:
        frame_count: Number of frames to be shown.
        packet_count: Number of packets of the video stream, including those that are decoded but not shown.
        frame: The first frame, or None if the first packets could not be decoded.
        end_seconds: End time of the last packet of any stream.
        end_bytes: File position of the end of the last packet.
        max_frames: Number of frames at which the scan gives up.
    """

    frame_count: int = 0
    packet_count: int = 0
    frame: av.VideoFrame | None = None
    end_seconds: Fraction = Fraction(0)
    end_bytes: int = 0
    max_frames: int = MAX_FRAMES
    _times: array[int] = field(default_factory=lambda: array("q"))
    _latest: int | None = None
    _last_duration: int = 0
    _decoding_time: int | None = None
    _jumped_back: bool = False

    def add(self, packet: Packet[Stream], *, is_video: bool) -> None:
        """Count one packet."""
        time = packet.pts if packet.pts is not None else packet.dts
        if time is not None:
            self.end_seconds = max(self.end_seconds, (time + (packet.duration or 0)) * packet.time_base)
        self.end_bytes = max(self.end_bytes, (packet.pos or 0) + packet.size)
        if not is_video:
            return
        self.packet_count += 1
        if packet.is_discard:
            return
        self.frame_count += 1
        if self.frame_count > self.max_frames:
            raise TooLarge(f"The video has more than {self.max_frames} frames, which is the maximum.")
        if time is not None:
            self._add_time(time, packet)

    def _add_time(self, time: int, packet: Packet[Stream]) -> None:
        self._times.append(time)
        if self._latest is None or time >= self._latest:
            self._latest, self._last_duration = time, packet.duration or 0
        if packet.dts is not None:
            self._jumped_back |= self._decoding_time is not None and packet.dts < self._decoding_time
            self._decoding_time = packet.dts

    def timestamps(self, time_base: Fraction) -> Timestamps:
        """The timestamps of all frames; none if some frames lack one or decoding times are not monotonic."""
        usable = len(self._times) == self.frame_count and not self._jumped_back
        return Timestamps(sorted(self._times) if usable else (), time_base, self._last_duration)


def scan(container: InputContainer, video: VideoStream, max_frames: int = MAX_FRAMES) -> Scan:
    """Read all packets of a file, and decode the first frame.

    Raises:
        InvalidMedia: There is no packet of the video.
        TooLarge: There are more than ``max_frames`` frames.
    """
    result = Scan(max_frames=max_frames)
    peek = video.width * video.height <= MAX_PIXELS
    video.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    video.codec_context.thread_count = 1  # for one frame, threads only add delay
    with suppress(InvalidMedia):  # the rest is lost, which describe_damage() reports
        for packet in read_packets(container):
            is_video = packet.stream_index == video.index
            if packet.size:
                result.add(packet, is_video=is_video)
            if is_video and peek and result.frame is None and result.packet_count <= _PEEKED_PACKETS:
                result.frame = next(_decoded(packet), None)
    if not result.frame_count:
        raise InvalidMedia("The file holds no frames.")
    return result


def _decoded(packet: Packet[Stream]) -> Iterator[av.VideoFrame]:
    import av

    try:
        for frame in packet.decode():
            if isinstance(frame, av.VideoFrame):
                yield frame
    except av.FFmpegError:
        return


def describe_damage(
    container: InputContainer, video: VideoStream, scanned: Scan, timeline: Timeline
) -> Iterator[str]:
    """Describe what is missing from a scanned file, in sentences for the client."""
    name = container.format.name
    if _WITH_FRAME_INDEX in name:
        listed = len(video.index_entries)
        if listed > scanned.packet_count:
            yield f"The end of the file is missing: of {listed} frames it holds {scanned.packet_count}."
    elif name in _WITHOUT_DURATION:
        if _is_cut_off(Path(container.name.removeprefix("file:")), name, scanned):
            yield "The end of the file is missing or cannot be read."
    else:
        yield from _missing_end(container, scanned, timeline)
    if timeline.gaps and name.startswith(_WITHOUT_FRAME_INDEX):
        yield f"The file lacks {timeline.gaps} of {timeline.length} frames; the nearest readable frame was repeated."


def _missing_end(container: InputContainer, scanned: Scan, timeline: Timeline) -> Iterator[str]:
    declared = Fraction(container.duration or 0, _MICROSECONDS)
    present = scanned.end_seconds - Fraction(container.start_time or 0, _MICROSECONDS)
    if declared - present > _SLACK_SECONDS + 1 / timeline.fps:
        yield f"The end of the file is missing: of {float(declared):.1f} seconds it holds {float(present):.1f}."


def _is_cut_off(path: Path, name: str, scanned: Scan) -> bool:
    """Whether much of the file comes after the last packet, or a GIF has no trailer."""
    size_bytes = path.stat().st_size
    if size_bytes - scanned.end_bytes > max(_SLACK_BYTES, round(size_bytes * _SLACK_SHARE)):
        return True
    if name != "gif":
        return False
    with path.open("rb") as file:
        file.seek(-min(size_bytes, 16), 2)
        return not file.read().rstrip(b"\0\r\n").endswith(_GIF_END)
