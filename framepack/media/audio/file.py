"""Read an audio stream: its packets, its samples, and what could not be read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Final, cast

from framepack.errors import InvalidMedia
from framepack.media.audio.channels import Mix, channel_names, layout_of, mix_of
from framepack.media.containers import open_input, read_packets

if TYPE_CHECKING:
    import av
    from av.audio.stream import AudioStream
    from av.buffer import Buffer
    from av.container import InputContainer
    from av.filter import Graph
    from av.packet import Packet
    from av.stream import Stream

    from framepack.media.clip import AudioSource, ClockJumps

_RATE: Final = 48_000
_PREROLL_SECONDS: Final = Fraction(1, 10)  # audio before the first frame, which a decoder needs to converge
_LATE_SECONDS: Final = Fraction(1, 20)  # packets whose times do not advance may be laid end to end up to so late
_HEADER: Final = "new_extradata"  # what FFmpeg calls a header that is valid from a packet on


@dataclass(slots=True)
class AudioDamage:
    """What could not be read of a clip's audio, damaged ``packets`` and whole ``files``; and how it was converted.

    Attributes:
        packets: Number of damaged packets.
        files: Number of files that could not be read.
        earlier: Whether there is audio before the first frame, which is left out.
        conversions: Sentences about channels that were mixed and samples that were left out, each once.
    """

    packets: int = 0
    files: int = 0
    earlier: bool = False
    conversions: dict[str, None] = field(default_factory=dict)

    @property
    def is_outside(self) -> bool:
        """If no audio was found: whether that is because all of it comes before the first frame."""
        return self.earlier and not self.packets and not self.files


@dataclass(slots=True)
class AudioFile:
    """An open audio stream.

    Attributes:
        container: The file.
        stream: The stream.
        shift_seconds: Added to the stream's timestamps, so that zero is the clip's first frame.
        damage: Counts what cannot be read.
        clock_jumps: Where its clock starts anew or jumps; ``packets`` shifts their times to one clock.
        part: Number of jumps before the latest packet.
        formats: The sample rates and channels of what was decoded.
        samples: Number of samples that were decoded.
    """

    container: InputContainer
    stream: AudioStream
    shift_seconds: Fraction
    damage: AudioDamage
    clock_jumps: ClockJumps = ()
    part: int = 0
    formats: set[tuple[int, tuple[str, ...]]] = field(default_factory=set)
    samples: int = 0

    @property
    def codec(self) -> str:
        """FFmpeg's name of the codec."""
        return self.stream.codec_context.codec.canonical_name

    @property
    def mix(self) -> Mix:
        """How the stream's channels become those of an output."""
        return mix_of(channel_names(self.stream.layout))

    def packets(self) -> Iterator[Packet[AudioStream]]:
        """The packets from shortly before the first frame, and at the end an empty packet to flush the decoder."""
        time_base = self.stream.time_base or Fraction(1, _RATE)
        beginning = -_PREROLL_SECONDS - self.shift_seconds
        try:
            for packet in self._in_a_row(self._on_one_clock(read_packets(self.container, self.stream))):
                if packet.is_corrupt and not self.clock_jumps:  # where a clock jumps, continuity counters do, too
                    self.damage.packets += 1
                elif packet.pts is None or (packet.pts + (packet.duration or 0)) * time_base > beginning:
                    yield cast("Packet[AudioStream]", packet)
                else:
                    self.damage.earlier = True
        except InvalidMedia:
            self.damage.packets += 1

    def _on_one_clock(self, packets: Iterator[Packet[Stream]]) -> Iterator[Packet[Stream]]:
        """Shift the times of packets as the jumps of the clock require."""
        jumps, shift, number = deque(self.clock_jumps), 0, 0
        for packet in packets:
            if packet.size:
                while jumps and jumps[0][0] <= number:
                    shift = round(jumps.popleft()[1] / packet.time_base)
                    self.part += 1
                packet.pts = None if packet.pts is None else packet.pts + shift
                packet.dts = None if packet.dts is None else packet.dts + shift
                number += 1
            yield packet

    def _in_a_row(self, packets: Iterator[Packet[Stream]]) -> Iterator[Packet[Stream]]:
        """Lay packets without times, or whose times do not advance, end to end, unless they become too late."""
        begin, end, part = None, 0, self.part
        for original in packets:
            packet = original
            if packet.size:
                if self.part != part:  # the parts of a file may overlap a little
                    begin, part = None, self.part
                if begin is not None and begin < end:
                    most = max(round(_LATE_SECONDS / packet.time_base), packet.duration or 0)
                    if packet.pts is None or end - most <= packet.pts <= begin:
                        packet = _placed(packet, end)
                if packet.pts is not None:
                    begin, end = packet.pts, packet.pts + (packet.duration or 0)
            yield packet

    def decode(self, packet: Packet[AudioStream]) -> list[av.AudioFrame] | None:
        """The samples of a packet; None if it is damaged, which is counted."""
        import av

        try:
            frames = packet.decode()
        except av.FFmpegError:
            self.damage.packets += 1
            return None
        self.formats.update((frame.sample_rate, channel_names(frame.layout)) for frame in frames)
        self.samples += sum(frame.samples for frame in frames)
        return frames

    def changes_format(self) -> bool:
        """Whether the sample rate or the channels change midway; reads the packets up to there.

        Packets that have a header of their own, such as AAC in TS files, are decoded for that.
        """
        header = self.stream.codec_context.extradata
        for packet in self.packets():
            if header:
                if packet.has_sidedata(_HEADER) and bytes(packet.get_sidedata(_HEADER)) != header:
                    return True
            elif packet.size:
                self.decode(packet)
                if len(self.formats) > 1:
                    return True
        return False

    def resampled(self, rate: int, layout: str) -> Iterator[tuple[int, av.AudioFrame]]:
        """Decode to packed float, with silence in place of missing audio.

        Args:
            rate: Samples per second.
            layout: FFmpeg's name of the channel layout.

        Yields:
            Frames, each with the number of its first sample counted from the clip's first frame, which may be
            negative.

        Raises:
            InvalidMedia: The audio is of a kind that cannot be converted.
        """
        frames = (frame for packet in self.packets() for frame in self.decode(packet) or ())
        shift, end = round(self.shift_seconds * rate), 0
        for frame in self._converted(frames, rate, layout):
            begin = end if frame.pts is None else frame.pts + shift
            end = begin + frame.samples
            yield begin, frame

    def _converted(self, frames: Iterator[av.AudioFrame], rate: int, layout: str) -> Iterator[av.AudioFrame]:
        import av

        key, graph = None, None
        try:
            for frame in frames:
                names = channel_names(frame.layout)
                shape = frame.format.name, names, frame.sample_rate, self.part
                if shape != key:
                    yield from filter_frames(graph, None)
                    key, graph = shape, self._graph(frame, names, rate, layout)
                yield from filter_frames(graph, frame)
            yield from filter_frames(graph, None)
        except av.FFmpegError as error:
            raise InvalidMedia("The audio cannot be converted.") from error

    def _graph(self, frame: av.AudioFrame, names: tuple[str, ...], rate: int, layout: str) -> Graph:
        from av.filter import Graph

        mix, graph = mix_of(names), Graph()
        if mix.is_lossy:
            self.damage.conversions[f"The audio's {len(names)} channels were mixed to {mix.layout}."] = None
        if frame.sample_rate > rate:
            self.damage.conversions[f"The audio was resampled from {frame.sample_rate} to {rate} Hz."] = None
        source = graph.add(
            "abuffer",
            sample_rate=str(frame.sample_rate),
            sample_fmt=frame.format.name,
            channel_layout=layout_of(names),
            time_base=str(frame.time_base),
        )
        pan = [graph.add("pan", mix.pan)] if mix.pan else []
        graph.link_nodes(
            source,
            *pan,
            graph.add("aresample", f"{rate}:async=1:min_hard_comp=0.02"),
            graph.add("aformat", f"sample_fmts=flt:sample_rates={rate}:channel_layouts={layout}"),
            graph.add("abuffersink"),
        ).configure()
        return graph


@contextmanager
def open_audio(audio: AudioSource, damage: AudioDamage) -> Iterator[AudioFile]:
    """Open the audio of a clip.

    Raises:
        InvalidMedia: The file cannot be read or has no such stream.
    """
    probed = audio.probed
    with open_input(audio.path, ignores_edits=audio.ignores_edits, without_video=probed is not None) as container:
        if not any(stream.index == audio.stream for stream in container.streams.audio):
            raise InvalidMedia("The file has no such audio stream.")
        stream = cast("AudioStream", container.streams[audio.stream])
        # Without video more of the file is read when it is opened, so that more may be known of its beginning.
        start = (stream.start_time or 0) * (stream.time_base or 0) if probed is None else probed.start
        yield AudioFile(container, stream, audio.delay - start, damage, audio.clock_jumps)


def _placed(packet: Packet[Stream], time: int) -> Packet[Stream]:
    """A copy of a packet at another time, not marked to be discarded as those whose times do not advance are."""
    import av

    placed = av.Packet(bytes(cast("Buffer", packet)))
    placed.stream, placed.time_base, placed.duration = packet.stream, packet.time_base, packet.duration
    placed.pts = placed.dts = time
    placed.is_keyframe = packet.is_keyframe
    return placed


def filter_frames(graph: Graph | None, frame: av.AudioFrame | None) -> Iterator[av.AudioFrame]:
    """Push a frame, or None for the end, into a filter graph, and yield the frames that are ready."""
    import av

    if graph is None:
        return
    graph.push(frame)
    while True:
        try:
            result = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        yield cast("av.AudioFrame", result)
