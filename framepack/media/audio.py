"""A clip's sound on its way into the output: copied where MP4 players take it, else AAC; always in sync."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, Final, cast

from framepack.errors import InvalidMedia
from framepack.media.demux import open_input, read_packets

if TYPE_CHECKING:
    import av
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.filter import Graph
    from av.packet import Packet

    from framepack.media.clip import Audio

COPIED_CODECS: Final = frozenset({"aac", "mp3", "ac3", "eac3"})
"""What browsers and players take in an MP4 file."""

_BIT_RATE: Final = 192_000
_CD_RATE: Final = 44_100
_DVD_RATE: Final = 48_000
_SAMPLES: Final = 1024  # of one AAC frame
_PREROLL_SECONDS: Final = Fraction(1, 10)  # sound before the first picture, from which a decoder settles
_LEFT_OUT: Final = "The sound could not be read and was left out."
_LOSSES: Final = "Parts of the sound could not be read."


@dataclass(slots=True)
class _Source:
    """An audio stream that is read; ``losses`` counts what could not be."""

    container: InputContainer
    stream: AudioStream
    shift_seconds: Fraction
    losses: int = 0

    def packets(self) -> Iterator[Packet[AudioStream]]:
        """Everything from shortly before the first picture on; last an empty packet that flushes the decoder."""
        time_base = self.stream.time_base or Fraction(1, _DVD_RATE)
        beginning = -_PREROLL_SECONDS - self.shift_seconds
        try:
            for packet in read_packets(self.container, self.stream):
                if packet.is_corrupt:
                    self.losses += 1
                elif packet.pts is None or (packet.pts + (packet.duration or 0)) * time_base > beginning:
                    yield cast("Packet[AudioStream]", packet)
        except InvalidMedia:
            self.losses += 1

    def decode(self, packet: Packet[AudioStream]) -> list[av.AudioFrame] | None:
        """The samples of a packet; None, and a loss, if it is damaged."""
        import av

        try:
            return packet.decode()
        except av.FFmpegError:
            self.losses += 1
            return None


@dataclass(slots=True)
class SoundTrack:
    """The sound of an output under construction; its packets go in as the pictures advance."""

    _output: OutputContainer
    _source: _Source
    _packets: Iterator[Packet[AudioStream]]
    _next: Packet[AudioStream] | None

    def mux_until(self, seconds: Fraction) -> None:
        """Write every packet that begins before ``seconds`` of the output."""
        import av

        while self._next is not None and (self._next.pts or 0) * self._next.time_base < seconds:
            try:
                self._output.mux_one(self._next)
            except (av.InvalidDataError, av.ArgumentError):
                self._source.losses += 1
            self._next = next(self._packets, None)


@contextmanager
def sound_track(
    audio: Audio | None, output: OutputContainer, warn: Callable[[str], None]
) -> Iterator[SoundTrack | None]:
    """Prepare the sound of an output; yields None where there is none.

    Args:
        audio: The sound, or None.
        output: An MP4 container whose header is not written yet.
        warn: Is told what of the sound was lost. Sound that cannot be read never fails the video.
    """
    if audio is None:
        yield None
        return
    try:
        container = open_input(audio.path)
    except InvalidMedia:
        warn(_LEFT_OUT)
        yield None
        return
    with container:
        stream = cast("AudioStream", container.streams[audio.stream])
        start = (stream.start_time or 0) * (stream.time_base or 0)
        source = _Source(container, stream, audio.delay - start)
        packets = _packets(source, output)
        first = next(packets, None)
        if first is None:
            warn(_LEFT_OUT)
        yield SoundTrack(output, source, packets, first) if first else None
        if first and source.losses:
            warn(_LOSSES)


def _packets(source: _Source, output: OutputContainer) -> Iterator[Packet[AudioStream]]:
    """Packets for the output, timed from its first picture. The output's stream is added with the first packet."""
    codec = source.stream.codec_context.codec.canonical_name
    return _copied(source, output) if codec in COPIED_CODECS else _encoded(source, output)


def _copied(source: _Source, output: OutputContainer) -> Iterator[Packet[AudioStream]]:
    # Each packet is decoded too: players stumble over damaged ones, and only so they show.
    packets = (
        packet
        for packet in source.packets()
        if packet.size and packet.pts is not None and source.decode(packet) is not None
    )
    first = next(packets, None)
    if first is None:
        return
    target = output.add_stream_from_template(source.stream)
    shift = round(source.shift_seconds / (source.stream.time_base or 1))
    latest = None
    for packet in chain([first], packets):
        time = (packet.pts or 0) + shift
        if latest is not None and time <= latest:
            source.losses += 1
            continue
        packet.pts = packet.dts = latest = time
        packet.stream = target
        yield packet


def _encoded(source: _Source, output: OutputContainer) -> Iterator[Packet[AudioStream]]:
    frames = (frame for packet in source.packets() for frame in source.decode(packet) or ())
    first = next(frames, None)
    if first is None:
        return
    rate = _CD_RATE if _CD_RATE % first.sample_rate == 0 else _DVD_RATE
    layout = "mono" if len(first.layout.channels) == 1 else "stereo"
    target = output.add_stream("aac", rate=rate, layout=layout, bit_rate=_BIT_RATE)
    shift = round(source.shift_seconds * rate)
    for frame in _resampled(chain([first], frames), rate, layout):
        frame.pts = None if frame.pts is None else frame.pts + shift
        yield from target.encode(frame)
    yield from target.encode(None)


def _resampled(frames: Iterator[av.AudioFrame], rate: int, layout: str) -> Iterator[av.AudioFrame]:
    """Frames as the encoder takes them; where time was lost there is silence."""
    shape, graph = None, None
    for frame in frames:
        if (frame.format.name, frame.layout.name, frame.sample_rate) != shape:
            yield from _pulled(graph, None)
            shape, graph = (frame.format.name, frame.layout.name, frame.sample_rate), _graph(frame, rate, layout)
        yield from _pulled(graph, frame)
    yield from _pulled(graph, None)


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
        graph.add("asetnsamples", f"{_SAMPLES}:p=0"),
        graph.add("abuffersink"),
    ).configure()
    return graph


def _pulled(graph: Graph | None, frame: av.AudioFrame | None) -> Iterator[av.AudioFrame]:
    import av

    if graph is None:
        return
    graph.push(frame)
    while True:
        try:
            pulled = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        yield cast("av.AudioFrame", pulled)
