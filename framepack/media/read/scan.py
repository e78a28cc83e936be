"""Scan the packets of a file: its frames, their timestamps and what is missing, whatever the header says."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from framepack.errors import InvalidMedia, TooLarge
from framepack.media.audio.extent import AudioExtent
from framepack.media.containers import MAX_PIXELS, read_packets
from framepack.media.read.clock import Clocks
from framepack.media.read.edit_start import LEAST_SECONDS, EditStart
from framepack.media.read.ends import StreamEnds
from framepack.media.read.fields import FieldPairs
from framepack.media.read.frame_order import NO_TIME, FrameOrder, presentation_order
from framepack.media.read.hidden import is_shown
from framepack.media.read.last_frame import FileEnds, declared_end
from framepack.media.read.order_counts import LastFrames
from framepack.media.read.repaired_times import frame_duration, repaired_times
from framepack.media.read.whole_file import is_whole
from framepack.media.timeline.constant_rate import Timestamps
from framepack.units import MICROSECONDS

if TYPE_CHECKING:
    import av
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

    from framepack.media.clip import ClockJumps

MAX_FRAMES: Final = 2**20
"""Number of frames at which a scan gives up at the latest: far above any sensible limit."""

_PEEKED_PACKETS: Final = 300
_TIME_BASE: Final = Fraction(1, 90_000)
_OVERHEAD: Final = {"matroska": (256, 0.0), "flv": (256, 0.0), "mpegts": (2048, 0.5)}  # others are padded at will
_MOST_HIDDEN: Final = 4  # packets for each frame that is shown
_WITHOUT_PTS: Final = ("avi", "asf")  # presentation times are the demuxer's guesses; the file has decoding times
_DELAYED: Final = "asf"  # the first frame is shown when the decoder returns it; AVI players show it at once
_MOST_DELAY_SECONDS: Final = 1
_MOST_TICKS: Final = 2**56  # larger timestamps are damage
_LONG_SECONDS: Final = Fraction(10)
_GIF: Final = "gif"
_LEAST_GIF_TICKS: Final = 2  # browsers show frames with shorter delays, hundredths of a second, for
_SLOW_GIF_TICKS: Final = 10

WITH_FRAME_INDEX: Final = "mov"
"""In the name of containers whose header lists every frame."""
_SLACK_SECONDS: Final = Fraction(1, 10)


@dataclass(slots=True)
class Scan:
    """What the packets of a video stream and of the other streams show.

    Attributes:
        clocks: The clocks of the streams.
        codec: FFmpeg's name of the video's codec.
        time_base: Time base of the video stream.
        fields: Finds packets that hold the second field of a frame.
        last_frames: The packets of the last frames.
        frame_count: Number of frames that are shown.
        frame: The first frame, or None if the first packets could not be decoded.
        ends: When the packets of each stream end.
        end_bytes: File position of the end of the last packet.
        max_frames: Number of frames at which the scan gives up.
        overhead: Most bytes that belong to no packet between two, and this share of the second one's size.
        last_position: File position of the last packet whose position is known.
        missing_bytes: Bytes between packets that belong to none.
        declared_end: End time of the video as the header has it, in seconds; None if it has none.
        declared_seconds: Duration of the file as the header has it; 0 if it has none. Some muxers count from time 0.
        is_whole: Whether the file ends later than its packets, and its structure shows that nothing is missing.
        unbelieved_seconds: Duration of the last frame that is so long that it must be wrong; 0 if there is none.
        is_corrupt: Whether the demuxer has found damage.
        ends_in_error: Whether there is damage behind which nothing could be read.
        audio: When the chosen audio stream has audio; None without one.
        delay: How much later than it is decoded a frame is shown, where the file does not say it.
        edit_start: The frames around the beginning of an edit list.
        held: Number of the packet whose frame is on screen when an edit list begins within it; None if none does.
    """

    clocks: Clocks
    codec: str
    time_base: Fraction
    fields: FieldPairs
    last_frames: LastFrames
    frame_count: int = 0
    frame: av.VideoFrame | None = None
    ends: StreamEnds = field(default_factory=StreamEnds)
    end_bytes: int = 0
    max_frames: int = MAX_FRAMES
    overhead: tuple[float, float] = (inf, 0)
    last_position: int = 0
    missing_bytes: int = 0
    declared_end: Fraction | None = None
    declared_seconds: Fraction = Fraction(0)
    is_whole: bool = False
    unbelieved_seconds: Fraction = Fraction(0)
    is_corrupt: bool = False
    ends_in_error: bool = False
    audio: AudioExtent | None = None
    delay: int = 0
    edit_start: EditStart = field(default_factory=EditStart)
    held: int | None = None
    _slowed: int = 0
    _bytes: int = 0
    _times: array[int] = field(default_factory=lambda: array("q"))
    _decoding_times: array[int] = field(default_factory=lambda: array("q"))
    _durations: array[int] = field(default_factory=lambda: array("q"))
    _parts: array[int] = field(default_factory=lambda: array("i"))
    _shown: bytearray = field(default_factory=bytearray)
    _key_packets: array[int] = field(default_factory=lambda: array("i"))

    @property
    def packet_count(self) -> int:
        """Number of packets of the video stream, including those that are decoded but not shown."""
        return len(self._times)

    def add(self, packet: Packet[Stream], *, is_video: bool) -> None:
        """Count one packet with data."""
        time = packet.pts
        if time is None or (is_video and self.clocks.container in _WITHOUT_PTS):
            time = packet.dts
        time, decoding_time = _believed(time), _believed(packet.dts)
        time, duration = self._as_browsers_show(time, packet.duration or 0)
        self._extend(packet, time, duration)
        self.is_corrupt |= packet.is_corrupt
        part = self.clocks.part(packet)
        if not is_video:
            if self.audio is not None and packet.stream_index == self.audio.stream:
                self.audio.add(packet, part)
            return
        self._bytes += packet.size
        is_second_field = self._is_second_field(packet)
        shown = not packet.is_discard and not is_second_field and is_shown(self.codec, packet)
        if packet.is_keyframe:
            self._key_packets.append(len(self._times))
        self.edit_start.add(len(self._times), time, packet)
        self._times.append(NO_TIME if time is None else time)
        self._decoding_times.append(NO_TIME if decoding_time is None else decoding_time)
        self._durations.append(duration)
        self._parts.append(part)
        self._shown.append(shown)
        self.frame_count += shown
        if self.frame_count > self.max_frames or self.packet_count > _MOST_HIDDEN * self.max_frames:
            raise TooLarge(f"The video has more than {self.max_frames} frames, which is the maximum.")

    def begin_with(self, frame: av.VideoFrame | None) -> None:
        """Note the first frame, which the latest packet completes."""
        self.frame = frame
        if (
            frame is not None
            and self.clocks.container == _DELAYED
            and NO_TIME not in (self._times[0], self._times[-1])
        ):
            delay = self._times[-1] - self._times[0]
            self.delay = delay if 0 <= delay * self.time_base <= _MOST_DELAY_SECONDS else 0

    def _as_browsers_show(self, time: int | None, duration: int) -> tuple[int | None, int]:
        """Time and duration of a packet; those of a GIF are longer if its delays are very short."""
        if self.clocks.container != _GIF or time is None:
            return time, duration
        time += self._slowed
        if 0 < duration < _LEAST_GIF_TICKS:
            self._slowed += _SLOW_GIF_TICKS - duration
            duration = _SLOW_GIF_TICKS
        return time, duration

    def _is_second_field(self, packet: Packet[Stream]) -> bool:
        """Whether a packet only completes the frame of the packet before it."""
        data = memoryview(cast("Any", packet))
        if not self.fields.is_second(data, is_key=packet.is_keyframe):
            self.last_frames.add(data)
            return False
        if packet.pts is not None:  # otherwise the first one has the duration of the frame
            self._durations[-1] += packet.duration or 0
        return True

    def _extend(self, packet: Packet[Stream], time: int | None, duration: int) -> None:
        """Note where a packet ends, in time and in the file."""
        if time is not None:
            self.ends.add(packet, time + duration)
        if packet.pos is not None:
            hole = packet.pos - self.end_bytes
            if self.end_bytes and hole > self.overhead[0] + self.overhead[1] * packet.size:
                self.missing_bytes += hole
            self.end_bytes = max(self.end_bytes, packet.pos + packet.size)
            self.last_position = max(self.last_position, packet.pos)

    def ordered(self) -> tuple[FrameOrder, Timestamps]:
        """The order of the frames and their timestamps, on one clock."""
        ranks, times = presentation_order(self._on_one_clock(), self._shown)
        jumps = frozenset(number for number, _ in self.clock_jumps(self.clocks.video))
        order = FrameOrder(ranks, self._key_packets, jumps, self.held)
        declared = min(self.declared_seconds, self.declared_end or self.declared_seconds)
        ends = FileEnds(declared, self.ends.seconds(without=self.clocks.video), self.ends.seconds())
        is_exact, to_end = self._is_end_exact(), ends.seconds_to(times, self.time_base)
        if is_exact or to_end is None or self.clocks.jumps:
            return order, Timestamps(times, self.time_base, self._last_duration(), is_exact)
        return order, Timestamps(times, self.time_base, round(to_end / self.time_base), is_end_exact=True)

    @property
    def is_retimed(self) -> bool:
        """Whether frames have other times than the demuxer says, so that its rates are wrong, too."""
        return self.held is not None or self._slowed > 0

    @property
    def has_holes(self) -> bool:
        """Whether the demuxer has found damage, or about the bytes of a frame or more belong to no packet."""
        return self.is_corrupt or self.missing_bytes * 2 * len(self._times) > self._bytes

    def repair_times(self, video: VideoStream) -> None:
        """Give frames of the stream that have no timestamp, or a wrong one, the one that they must have."""
        keys = set(self._key_packets)
        duration = frame_duration(video, self._durations) / self.time_base
        for part in set(self._parts):
            numbers = [n for n, shown in enumerate(self._shown) if shown and self._parts[n] == part]
            times, decoding_times = (
                [all_times[n] for n in numbers] for all_times in (self._times, self._decoding_times)
            )
            are_keys = [n in keys for n in numbers]
            repaired = repaired_times(self.clocks.container, times, decoding_times, are_keys, duration)
            for number, time in zip(numbers, repaired, strict=True):
                self._times[number] = time

    def hold_start(self, path: Path) -> None:
        """Show the frame within which an edit list begins for its rest, and all others as much later."""
        if not self.clocks.container.startswith(WITH_FRAME_INDEX):
            return
        held = self.edit_start.held(path, self.clocks.video)
        if held is None or (self.frame_count and held.rest * self.time_base <= LEAST_SECONDS):
            return
        for number, time in enumerate(self._times):
            if time != NO_TIME:
                self._times[number] = time + held.rest
        self.held = held.number
        self._times[held.number], self._shown[held.number] = held.begin, True
        self.frame_count += 1

    def clock_jumps(self, stream: int) -> ClockJumps:
        """The jumps of a stream's clock."""
        return self.clocks.jumps_of(stream, self.clocks.shifts(self._extents())) if self.clocks.jumps else ()

    def audio_spans(self) -> list[tuple[Fraction, Fraction]]:
        """When there is audio: begin and end, in seconds on one clock."""
        if self.audio is None:
            return []
        return self.audio.spans(self.clocks.shifts(self._extents()) if self.clocks.jumps else ())

    def _on_one_clock(self) -> array[int]:
        """The timestamps of all packets, shifted as their parts require."""
        times = array("q", self._times)
        for number in self.clocks.wrong:
            times[number] = NO_TIME
        if self.clocks.jumps:
            shifts = [round(shift / self.time_base) for shift in self.clocks.shifts(self._extents())]
            for number, part in enumerate(self._parts):
                if times[number] != NO_TIME:
                    times[number] += shifts[part]
        if self.delay:
            times = array("q", (time if time == NO_TIME else time + self.delay for time in times))
        return times

    def _last_duration(self) -> int:
        """How long the last frame stays, as far as the file says so; 0 if it does not."""
        # A packet's duration is the time until the next one in file order. So with B-frames that of the last packet
        # counts, although its frame may not be the last one shown.
        numbers = [number for number, is_shown in enumerate(self._shown) if is_shown]
        last = max(numbers, key=lambda number: (self._parts[number], self._times[number]))
        duration = self._durations[numbers[-1]]
        if not self.clocks.container.startswith(WITH_FRAME_INDEX):
            duration = max(duration, self._durations[last])
        seconds = duration * self.time_base
        if self.is_whole:
            seconds = self.declared_seconds - self._times[last] * self.time_base
        if self.declared_end is not None and not self.clocks.jumps and not self._slowed:
            left = max(self.declared_end - self._times[last] * self.time_base, Fraction(0))
            if seconds - left > _SLACK_SECONDS:
                seconds = left
        rest = (self._times[last] - self._times[numbers[0]]) * self.time_base
        if (
            self.clocks.container != _GIF
            and rest
            and seconds > max(_LONG_SECONDS, 10 * rest, self.ends.seconds(without=self.clocks.video))
        ):
            self.unbelieved_seconds = seconds
            return 0
        return int(seconds / self.time_base)

    def _is_end_exact(self) -> bool:
        """Whether the file has durations of single frames."""
        name = self.clocks.container
        if name == _GIF or name.startswith(WITH_FRAME_INDEX):
            return True
        shown = zip(self._durations, self._shown, strict=True)
        return name.startswith("matroska") and len({duration for duration, is_shown in shown if is_shown}) > 1

    def _extents(self) -> list[tuple[Fraction, Fraction] | None]:
        """For each part of the file, begin and end of its video in seconds of its own clock."""
        numbers: list[list[int]] = [[] for _ in range(self.clocks.jumps + 1)]
        for number, part in enumerate(self._parts):
            if self._shown[number] and self._times[number] != NO_TIME and number not in self.clocks.wrong:
                numbers[part].append(number)
        return [self._extent(part) for part in numbers]

    def _extent(self, numbers: list[int]) -> tuple[Fraction, Fraction] | None:
        if not numbers:
            return None
        times = sorted(self._times[number] for number in numbers)
        last = max(numbers, key=self._times.__getitem__)
        duration: Fraction | int = self._durations[last]
        if not duration and len(times) > 1:
            duration = Fraction(times[-1] - times[0], len(times) - 1)
        return times[0] * self.time_base, (times[-1] + duration) * self.time_base


def scan(
    container: InputContainer, video: VideoStream, max_frames: int = MAX_FRAMES, audio: AudioStream | None = None
) -> Scan:
    """Read all packets of a file, and decode the first frame.

    Args:
        container: The file.
        video: Its video stream.
        max_frames: Number of frames at which the scan gives up.
        audio: Its audio stream.

    Raises:
        InvalidMedia: There is no packet of the video.
        TooLarge: There are more than ``max_frames`` frames.
    """
    codec = video.codec_context.codec.canonical_name
    result = Scan(
        Clocks(container.format.name, video.index),
        codec,
        video.time_base or _TIME_BASE,
        FieldPairs(codec, video.codec_context.extradata),
        LastFrames(codec, video.codec_context.extradata or b""),
        max_frames=max_frames,
    )
    result.overhead = next(
        (most for name, most in _OVERHEAD.items() if container.format.name.startswith(name)), (inf, 0)
    )
    result.audio = None if audio is None else AudioExtent(audio.index)
    result.declared_seconds = Fraction(container.duration or 0, MICROSECONDS)
    result.declared_end = declared_end(container, video)
    peek = video.width * video.height <= MAX_PIXELS
    video.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    video.codec_context.thread_count = 1  # for one frame, threads only add delay
    try:
        for packet in read_packets(container):
            is_video = packet.stream_index == video.index
            if packet.size:
                result.add(packet, is_video=is_video)
            if is_video and peek and result.frame is None and result.packet_count <= _PEEKED_PACKETS:
                result.begin_with(next(_decoded(packet), None))
    except InvalidMedia:
        result.ends_in_error = True
    if result.audio is not None:
        result.audio.end_with_last_sample()
    result.repair_times(video)
    path = Path(container.name.removeprefix("file:"))
    result.hold_start(path)
    if not result.frame_count:
        raise InvalidMedia(f"The file's video ({codec}) has no frames; at least one is needed.")
    ends_later = result.declared_seconds - result.ends.seconds() > _SLACK_SECONDS
    result.is_whole = ends_later and is_whole(path, container.format.name)
    return result


def _believed(ticks: int | None) -> int | None:
    """A timestamp, unless it is so large that it must be damage."""
    return None if ticks is None or abs(ticks) > _MOST_TICKS else ticks


def _decoded(packet: Packet[Stream]) -> Iterator[av.VideoFrame]:
    import av

    try:
        if not isinstance(packet.stream, av.VideoStream):  # a damaged stream changes its kind midway
            return
        for frame in packet.decode():
            if isinstance(frame, av.VideoFrame):
                yield frame
    except av.FFmpegError:
        return
