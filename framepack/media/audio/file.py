"""Read the audio of a file: its packets, its samples, and how much of it could not be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final, cast

from framepack.errors import InvalidMedia
from framepack.media.containers import open_input, read_packets

if TYPE_CHECKING:
    import av
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.filter import Graph
    from av.packet import Packet

    from framepack.media.clip import AudioSource

_RATE: Final = 48_000
_PREROLL_SECONDS: Final = Fraction(1, 10)  # audio before the first frame, from which a decoder settles


@dataclass(slots=True)
class AudioDamage:
    """What of a clip's audio could not be read: ``pieces`` of files, and whole ``files``."""

    pieces: int = 0
    files: int = 0


@dataclass(slots=True)
class AudioFile:
    """An audio stream that is read.

    Attributes:
        container: The file it belongs to.
        stream: The stream.
        shift_seconds: What is added to the stream's times, so that zero is the clip's first frame.
        losses: Counts what cannot be read.
    """

    container: InputContainer
    stream: AudioStream
    shift_seconds: Fraction
    losses: AudioDamage

    @property
    def codec(self) -> str:
        """FFmpeg's name of the codec."""
        return self.stream.codec_context.codec.canonical_name

    def packets(self) -> Iterator[Packet[AudioStream]]:
        """Everything from shortly before the first frame on; last an empty packet that flushes the decoder."""
        time_base = self.stream.time_base or Fraction(1, _RATE)
        beginning = -_PREROLL_SECONDS - self.shift_seconds
        try:
            for packet in read_packets(self.container, self.stream):
                if packet.is_corrupt:
                    self.losses.pieces += 1
                elif packet.pts is None or (packet.pts + (packet.duration or 0)) * time_base > beginning:
                    yield cast("Packet[AudioStream]", packet)
        except InvalidMedia:
            self.losses.pieces += 1

    def decode(self, packet: Packet[AudioStream]) -> list[av.AudioFrame] | None:
        """The samples of a packet; None, and a loss, if it is damaged."""
        import av

        try:
            return packet.decode()
        except av.FFmpegError:
            self.losses.pieces += 1
            return None

    def resampled(self, rate: int, layout: str) -> Iterator[tuple[int, av.AudioFrame]]:
        """The audio as planar float, with silence where time was lost.

        Args:
            rate: Samples per second.
            layout: "mono" or "stereo".

        Yields:
            The number of a piece's first sample, counted from the clip's first frame (it may be negative), and
            the piece.
        """
        frames = (frame for packet in self.packets() for frame in self.decode(packet) or ())
        shift, end = round(self.shift_seconds * rate), 0
        for frame in _converted(frames, rate, layout):
            begin = end if frame.pts is None else frame.pts + shift
            end = begin + frame.samples
            yield begin, frame


@contextmanager
def open_audio(audio: AudioSource, losses: AudioDamage) -> Iterator[AudioFile]:
    """Open the file of a clip's audio.

    Raises:
        InvalidMedia: It cannot be read.
    """
    with open_input(audio.path) as container:
        if not any(stream.index == audio.stream for stream in container.streams.audio):
            raise InvalidMedia("The file holds no such audio.")
        stream = cast("AudioStream", container.streams[audio.stream])
        start = (stream.start_time or 0) * (stream.time_base or 0)
        yield AudioFile(container, stream, audio.delay - start, losses)


def _converted(frames: Iterator[av.AudioFrame], rate: int, layout: str) -> Iterator[av.AudioFrame]:
    shape, graph = None, None
    for frame in frames:
        if (frame.format.name, frame.layout.name, frame.sample_rate) != shape:
            yield from pulled(graph, None)
            shape, graph = (frame.format.name, frame.layout.name, frame.sample_rate), _graph(frame, rate, layout)
        yield from pulled(graph, frame)
    yield from pulled(graph, None)


def _graph(frame: av.AudioFrame, rate: int, layout: str) -> Graph:
    from av.filter import Graph

    graph = Graph()
    graph.link_nodes(
        graph.add_abuffer(
            sample_rate=frame.sample_rate,
            format=frame.format.name,
            layout=frame.layout.name,
            time_base=frame.time_base,
        ),
        graph.add("aresample", f"{rate}:async=1:min_hard_comp=0.02"),
        graph.add("aformat", f"sample_fmts=fltp:sample_rates={rate}:channel_layouts={layout}"),
        graph.add("abuffersink"),
    ).configure()
    return graph


def pulled(graph: Graph | None, frame: av.AudioFrame | None) -> Iterator[av.AudioFrame]:
    """Put a frame into a graph, or its end, and take out what is ready."""
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
