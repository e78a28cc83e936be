"""A clip's audio on its way into the output: copied where the players of the format take it, else encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from framepack.errors import InvalidMedia
from framepack.media.audio.file import AudioDamage, AudioFile, open_audio
from framepack.media.audio.render import Renderer, at_most, leaves
from framepack.media.clip import AudioSource
from framepack.media.containers import open_output

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet

    from framepack.media.clip import AudioPlan, Clip

COPIED_CODECS: Final = frozenset({"aac", "mp3", "ac3", "eac3"})
"""What browsers and players take in an MP4 file."""

_ENCODERS: Final = {"mp4": ("aac", 192_000), "webm": ("libopus", 128_000)}
_CD_RATE: Final = 44_100
_DVD_RATE: Final = 48_000
_LEFT_OUT: Final = "The audio could not be read and was left out."
_LOSSES: Final = "Parts of the audio could not be read."


@dataclass(slots=True)
class AudioTrack:
    """The audio of an output under construction; its packets go in as the frames advance."""

    _output: OutputContainer
    _losses: AudioDamage
    _packets: Iterator[Packet[AudioStream]]
    _next: Packet[AudioStream] | None

    def mux_until(self, seconds: Fraction) -> None:
        """Write every packet that begins before ``seconds`` of the output."""
        import av

        while self._next is not None and (self._next.pts or 0) * self._next.time_base < seconds:
            try:
                self._output.mux_one(self._next)
            except (av.InvalidDataError, av.ArgumentError):
                self._losses.pieces += 1
            self._next = next(self._packets, None)


@contextmanager
def audio_track(
    clip: Clip, output: OutputContainer, folder: Path, warn: Callable[[str], None]
) -> Iterator[AudioTrack | None]:
    """Prepare the audio of an output, with all the clip's repeats; yields None where there is none.

    A file's own audio is copied into an MP4 file if players take it there; any other audio is encoded (AAC in MP4,
    Opus in WebM) and ends with the frames, to the sample.

    Args:
        clip: Whose audio it is; if repeated, its length is known.
        output: A container of the clip's format, whose header is not written yet.
        folder: Where audio that must wait on disk lies meanwhile.
        warn: Is told what of the audio was lost. Audio that cannot be read never fails the video.
    """
    audio = clip.unrolled().audio
    if audio is None or clip.encoding.format == "gif" or not any(leaves(audio)):
        yield None
        return
    losses = AudioDamage()
    packets = _packets(audio, clip, output, folder, losses)
    first = next(packets, None)
    if first is None:
        warn(_LEFT_OUT)
        yield None
        return
    yield AudioTrack(output, losses, packets, first)
    if losses.pieces or losses.files:
        warn(_LOSSES)


def kept_audio(audio: AudioSource, path: Path, warn: Callable[[str], None]) -> AudioSource | None:
    """Copy an audio, packet by packet, into a Matroska file of its own.

    Args:
        audio: The audio of a file.
        path: The new file, replaced if it exists.
        warn: Is told what of the audio was lost. Audio that cannot be kept is no error.

    Returns:
        The audio in the new file, timed as before; None if it cannot be kept.
    """
    import av

    losses = AudioDamage()
    try:
        delay = _copy_alone(audio, path, losses)
    except (av.FFmpegError, InvalidMedia, ValueError):  # PyAV raises ValueError for a codec that the format lacks
        warn(_LEFT_OUT)
        return None
    if losses.pieces:
        warn(_LOSSES)
    return AudioSource(path, 0, delay)


def _copy_alone(audio: AudioSource, path: Path, losses: AudioDamage) -> Fraction:
    """Copy an audio into a Matroska file; return its delay there, which the file's coarse times leave as it was."""
    with open_audio(audio, losses) as file, open_output(path, "matroska") as output:
        packets = _copied(file, output)
        first = next(packets, None)
        if first is None:
            raise InvalidMedia(_LEFT_OUT)
        tick = file.stream.time_base or Fraction(1)
        time = (first.pts or 0) * tick + file.shift_seconds - round(file.shift_seconds / tick) * tick
        for packet in chain([first], packets):
            output.mux_one(packet)
    with open_audio(AudioSource(path, 0), losses) as copy:
        again = next(copy.packets())  # at the end of a file comes an empty packet
        return time - (again.pts or 0) * again.time_base - copy.shift_seconds


def _packets(
    audio: AudioPlan, clip: Clip, output: OutputContainer, folder: Path, losses: AudioDamage
) -> Iterator[Packet[AudioStream]]:
    """Packets for the output, timed from its first frame. The output's stream is added with the first packet."""
    if clip.encoding.format == "mp4" and isinstance(audio, AudioSource):
        try:
            with open_audio(audio, losses) as file:
                if file.codec in COPIED_CODECS:
                    yield from _copied(file, output)
                    return
        except InvalidMedia:
            return
    rate, channels = _shape(audio, clip)
    renderer = Renderer(rate, channels, folder, losses)
    yield from _encoded(renderer, audio, clip, output)


def _copied(source: AudioFile, output: OutputContainer) -> Iterator[Packet[AudioStream]]:
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
            source.losses.pieces += 1
            continue
        packet.pts = packet.dts = latest = time
        packet.stream = target
        yield packet


def _shape(audio: AudioPlan, clip: Clip) -> tuple[int, int]:
    """The rate and the number of channels in which an audio is encoded."""
    rates, channels = set(), 1
    for leaf in set(leaves(audio)):
        try:
            with open_audio(leaf, AudioDamage()) as file:
                rates.add(file.stream.sample_rate)
                channels = max(channels, min(2, file.stream.channels))
        except InvalidMedia:
            continue
    is_cd = (
        isinstance(audio, AudioSource)
        and clip.encoding.format == "mp4"
        and all(_CD_RATE % rate == 0 for rate in rates)
    )
    return _CD_RATE if rates and is_cd else _DVD_RATE, channels


def _encoded(
    renderer: Renderer, audio: AudioPlan, clip: Clip, output: OutputContainer
) -> Iterator[Packet[AudioStream]]:
    blocks = renderer.blocks(audio)
    if clip.shown_frames is not None:
        count = round(clip.shown_frames / clip.fps * renderer.rate)
        blocks = at_most(blocks, count) if isinstance(audio, AudioSource) else renderer.exactly(blocks, count)
    first = next(blocks, None)
    if first is None:
        return
    codec, bit_rate = _ENCODERS[clip.encoding.format]
    stream = output.add_stream(codec, rate=renderer.rate, layout=renderer.layout, bit_rate=bit_rate)
    target = cast("AudioStream", stream)
    position = 0
    for block in chain([first], blocks):
        yield from target.encode(renderer.frame(block, position))
        position += block.shape[1]
    yield from target.encode(None)
