"""Read the packets of a file once, decoding only the first frame: what it holds, whatever its header says."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from framepack.errors import InvalidMedia, TooLarge
from framepack.media.containers import MAX_PIXELS, read_packets
from framepack.media.timeline.constant_rate import Timestamps

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

MAX_FRAMES: Final = 2**20
"""Frames after which reading stops: far above any sensible limit, and still counted within seconds."""

_PEEKED_PACKETS: Final = 300


@dataclass(slots=True)
class Scan:
    """What the packets of a video stream, and of the audio beside it, show.

    Attributes:
        frame_count: Frames to be shown.
        packet_count: Packets of the video stream, also those that only help to decode others.
        frame: The first frame, or None if none of the first packets gives one.
        end_seconds: When the last packet of any stream ends.
        end_bytes: Where in the file the last packet ends.
    """

    frame_count: int = 0
    packet_count: int = 0
    frame: av.VideoFrame | None = None
    end_seconds: Fraction = Fraction(0)
    end_bytes: int = 0
    _times: array[int] = field(default_factory=lambda: array("q"))
    _latest: int | None = None
    _last_duration: int = 0
    _decoding_time: int | None = None
    _jumped_back: bool = False

    def add(self, packet: Packet[Stream], *, is_video: bool) -> None:
        """Take one packet into account."""
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
        if self.frame_count > MAX_FRAMES:
            raise TooLarge(f"The video has more than {MAX_FRAMES} frames.")
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
        """The times of all frames; none if some are missing, or if the clock was set back on the way."""
        usable = len(self._times) == self.frame_count and not self._jumped_back
        return Timestamps(sorted(self._times) if usable else (), time_base, self._last_duration)


def scan(container: InputContainer, video: VideoStream) -> Scan:
    """Read all packets.

    Raises:
        InvalidMedia: There is no packet of the video.
        TooLarge: There are more than ``MAX_FRAMES`` frames.
    """
    result = Scan()
    peek = video.width * video.height <= MAX_PIXELS
    video.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    video.codec_context.thread_count = 1  # for one frame threads would only be a delay
    with suppress(InvalidMedia):  # what follows a break is lost, and losses() says so
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
