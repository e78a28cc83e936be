"""The audio track of an output: copied without re-encoding where players support the codec, else encoded."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from framepack.closing import closing
from framepack.errors import InvalidMedia
from framepack.media.audio.channels import channel_names, mix_of, named
from framepack.media.audio.file import AudioDamage, AudioFile, open_audio
from framepack.media.audio.render import AudioRenderer, ahead, at_most, audio_sources
from framepack.media.clip import AudioSource, ProbedAudio
from framepack.media.containers import open_output
from framepack.media.metadata import LANGUAGE
from framepack.media.prefetch import prefetch

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet

    from framepack.media.audio.render import AudioSamples
    from framepack.media.clip import AudioPlan, Clip

COPIED_CODECS: Final = frozenset({"aac", "mp3", "ac3", "eac3"})
"""Audio codecs that browsers and players support in an MP4 file."""

_ENCODERS: Final = {"mp4": ("aac", 192_000), "webm": ("libopus", 128_000)}  # with the bit rate of stereo
_MORE_CHANNELS: Final = {  # players of AAC know no layout of 4 or 7 channels, and FFmpeg mixes up 5 or 7 of Opus
    ("mp4", 4): 5,
    ("mp4", 7): 8,
    ("webm", 5): 6,
    ("webm", 7): 8,
}
_LOSSLESS: Final = "flac"
_CD_RATE: Final = 44_100
_DVD_RATE: Final = 48_000
_BATCH: Final = 16  # packets that pass from thread to thread together
_MAX_BATCHES: Final = 256
_MAX_BYTES: Final = 2_000_000  # of packets that wait, a minute of stereo: more than an encoder of video holds back
_PACKET_BYTES: Final = 512  # what a packet takes beside its data
_CHANGED_SECONDS: Final = Fraction(1, 10)  # a copy that decodes to a length that differs by more is wrong
_LEFT_OUT: Final = "The audio could not be read and was left out."
_DAMAGED: Final = "Parts of the audio could not be read."


@dataclass(slots=True)
class AudioTrack:
    """The audio track of a file being written; its packets are muxed as the video advances."""

    _output: OutputContainer
    _damage: AudioDamage
    _packets: Iterator[Packet[AudioStream]]
    _next: Packet[AudioStream] | None

    def mux_until(self, seconds: Fraction) -> None:
        """Write all packets that begin before ``seconds``."""
        import av

        while self._next is not None and (self._next.pts or 0) * self._next.time_base < seconds:
            try:
                self._output.mux_one(self._next)
            except (av.InvalidDataError, av.ArgumentError):
                self._damage.packets += 1
            self._next = next(self._packets, None)


@contextmanager
def audio_track(
    clip: Clip, output: OutputContainer, folder: Path, warn: Callable[[str], None]
) -> Iterator[AudioTrack | None]:
    """Add the audio track of a clip, including repeats, to an output; yields None if there is none.

    The audio stream of a file is copied into an MP4 file if its codec is one of ``COPIED_CODECS`` and its sample rate
    and channels stay the same. Any other audio is encoded (AAC in MP4, Opus in WebM) and ends exactly, to the sample,
    with the video.

    Args:
        clip: The clip; if it is repeated, its length is known.
        output: A container of the clip's format whose header has not been written.
        folder: The folder for temporary files.
        warn: Called with sentences about audio that was lost. Unreadable audio never fails the video.
    """
    audio = clip.expand_repeats().audio
    if audio is None or clip.encoding.format == "gif" or not any(audio_sources(audio)):
        yield None
        return
    damage = AudioDamage()
    with closing(_packets(audio, clip, output, folder, damage)) as packets:
        first = next(packets, None)
        if first is None:
            if not damage.is_outside:  # otherwise the source's own sentence says it
                warn(_LEFT_OUT)
            yield None
            return
        output.streams.audio[0].metadata.update((name, value) for name, value in clip.metadata if name == LANGUAGE)
        yield AudioTrack(output, damage, packets, first)
    if damage.packets or damage.files:
        warn(_DAMAGED)
    for sentence in damage.conversions:
        warn(sentence)


def extract_audio(audio: AudioPlan, path: Path, warn: Callable[[str], None]) -> AudioSource | None:
    """Copy an audio stream into a Matroska file of its own; if the copy decodes differently, encode it, losslessly.

    Args:
        audio: The audio stream, or parts of it, which are encoded.
        path: The new file, replaced if it exists.
        warn: Called with sentences about audio that was lost. Audio that cannot be read is no error.

    Returns:
        The audio in the new file with the same timing; None if it cannot be read.
    """
    import av

    damage = AudioDamage()
    try:
        if not isinstance(audio, AudioSource):
            raise InvalidMedia(_LEFT_OUT)  # noqa: TRY301 - as if it could not be copied
        delay = _copy_into(audio, path, damage)
    except (av.FFmpegError, InvalidMedia, ValueError):  # PyAV raises ValueError for a codec that Matroska cannot hold
        damage = AudioDamage()
        try:
            delay = _encode_into(audio, path, damage)
        except (av.FFmpegError, InvalidMedia):
            if not damage.is_outside:
                warn(_LEFT_OUT)
            return None
    if damage.packets:
        warn(_DAMAGED)
    for sentence in damage.conversions:
        warn(sentence)
    return AudioSource(path, 0, delay)


def _copy_into(audio: AudioSource, path: Path, damage: AudioDamage) -> Fraction:
    """Copy audio into a Matroska file and return its delay there, corrected for the file's coarser timestamps."""
    with open_audio(audio, damage) as file, open_output(path, "matroska") as output:
        packets = _copied(file, output)
        first = next(packets, None)
        if first is None:
            raise InvalidMedia(_LEFT_OUT)
        tick = file.stream.time_base or Fraction(1)
        time = (first.pts or 0) * tick + file.shift_seconds - round(file.shift_seconds / tick) * tick
        for packet in chain([first], packets):
            output.mux_one(packet)
    return time - _begin_of_copy(path, file)


def _begin_of_copy(path: Path, file: AudioFile) -> Fraction:
    """The time of the first packet in a copy of ``file``, which was decoded.

    Raises:
        InvalidMedia: What is decoded from the copy is not the same.
    """
    with open_audio(AudioSource(path, 0), AudioDamage()) as copy:
        first = next(copy.packets())  # an empty packet ends the file
        begin = (first.pts or 0) * first.time_base + copy.shift_seconds
        for packet in chain([first], copy.packets()):
            if packet.size:
                copy.decode(packet)
        changed = abs(copy.samples - file.samples) > _CHANGED_SECONDS * (copy.stream.sample_rate or 1)
        changed |= _channels(copy) != _channels(file)  # Matroska has no channel layouts
        if copy.codec != file.codec or copy.damage.packets or changed or len(file.formats) > 1:
            raise InvalidMedia(_LEFT_OUT)
    return begin


def _channels(file: AudioFile) -> set[tuple[str, ...]]:
    """The channels of what was decoded."""
    return {named(names) for _, names in file.formats}


def _encode_into(audio: AudioPlan, path: Path, damage: AudioDamage) -> Fraction:
    """Encode audio, from the clip's first frame on, into a Matroska file and return its delay there."""
    with open_audio(next(audio_sources(audio)), AudioDamage()) as file:
        rate, channels = file.stream.sample_rate, file.mix.channels
    renderer = AudioRenderer(rate, channels, path.parent, damage)
    with open_output(path, "matroska") as output:
        packets = _encoded(renderer, renderer.blocks(audio), output, _LOSSLESS)
        first = next(packets, None)
        if first is None:
            raise InvalidMedia(_LEFT_OUT)
        for packet in chain([first], packets):
            output.mux_one(packet)
    return Fraction(0)


def _packets(
    audio: AudioPlan, clip: Clip, output: OutputContainer, folder: Path, damage: AudioDamage
) -> Iterator[Packet[AudioStream]]:
    """Packets for the output, timed from its first frame. The output stream is added before the first packet."""
    if clip.encoding.format == "mp4" and isinstance(audio, AudioSource):
        try:
            if _is_copyable(audio):
                with open_audio(audio, damage) as file:
                    yield from _copied(file, output)
                return
        except InvalidMedia:
            return
    rate, channels = _shape(audio, clip)
    renderer = AudioRenderer(rate, channels, folder, damage)
    blocks = renderer.blocks(audio)
    if clip.total_frames is not None:
        count = round(clip.total_frames / clip.fps * renderer.rate)
        blocks = at_most(blocks, count) if isinstance(audio, AudioSource) else renderer.exactly(blocks, count)
    codec, stereo_bit_rate = _ENCODERS[clip.encoding.format]
    bit_rate = stereo_bit_rate * (2 + max(2, channels)) // 4

    def encoded() -> Iterator[Packet[AudioStream]]:
        with closing(ahead(blocks)) as rendered:
            yield from _encoded(renderer, rendered, output, codec, bit_rate)

    with closing(_beside_video(encoded)) as packets:
        yield from packets


def _beside_video(source: Callable[[], Iterator[Packet[AudioStream]]]) -> Generator[Packet[AudioStream]]:
    """The same packets, which a thread makes ahead; close it to stop early."""

    def batches() -> Iterator[list[Packet[AudioStream]]]:
        with closing(source()) as packets:
            while batch := list(islice(packets, _BATCH)):
                yield batch

    def size_bytes(batch: list[Packet[AudioStream]]) -> int:
        return sum(packet.size + _PACKET_BYTES for packet in batch)

    with closing(prefetch(batches, _MAX_BATCHES, size_bytes=size_bytes, max_bytes=_MAX_BYTES)) as made:
        for batch in made:
            yield from batch


def _is_copyable(audio: AudioSource) -> bool:
    """Whether players of MP4 files support the audio, and one header describes all of it."""
    with open_audio(audio, AudioDamage()) as file:
        return file.codec in COPIED_CODECS and not file.changes_format()


def _copied(source: AudioFile, output: OutputContainer) -> Iterator[Packet[AudioStream]]:
    # Each packet is decoded too: only this reveals damaged packets, at which players fail.
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
    least_step = int("matroska" not in output.format.name)  # only there packets may begin at the same time
    for packet in chain([first], packets):
        time = (packet.pts or 0) + shift
        if latest is not None and time - latest < least_step:
            source.damage.packets += not source.clock_jumps  # parts of a file may overlap a little
            continue
        packet.pts = packet.dts = latest = time
        packet.stream = target
        yield packet


def _shape(audio: AudioPlan, clip: Clip) -> tuple[int, int]:
    """The sample rate and the number of channels to encode audio with."""
    rates, channels = set(), 1
    for source in set(audio_sources(audio)):
        try:
            probed = source.probed or _probed(source)
        except InvalidMedia:
            continue
        rates.add(probed.rate)
        channels = max(channels, mix_of(probed.channels).channels)
    is_cd = (
        isinstance(audio, AudioSource)
        and clip.encoding.format == "mp4"
        and all(_CD_RATE % rate == 0 for rate in rates)
    )
    channels = _MORE_CHANNELS.get((clip.encoding.format, channels), channels)
    return _CD_RATE if rates and is_cd else _DVD_RATE, channels


def _probed(source: AudioSource) -> ProbedAudio:
    """What is known of a stream once its file is open."""
    with open_audio(source, AudioDamage()) as file:
        stream = file.stream
        start = (stream.start_time or 0) * (stream.time_base or Fraction(0))
        return ProbedAudio(start, stream.sample_rate, channel_names(stream.layout))


def _encoded(
    renderer: AudioRenderer, blocks: Iterator[AudioSamples], output: OutputContainer, codec: str, bit_rate: int = 0
) -> Iterator[Packet[AudioStream]]:
    first = next(blocks, None)
    if first is None:
        return
    target = cast("AudioStream", output.add_stream(codec, rate=renderer.rate, layout=renderer.layout))
    if bit_rate:
        target.bit_rate = bit_rate
    position = 0
    for block in chain([first], blocks):
        yield from target.encode(renderer.frame(block, position))
        position += block.shape[1]
    yield from target.encode(None)
