"""Join videos without re-encoding, if their streams have identical parameters and headers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from framepack.errors import InvalidMedia
from framepack.media.audio.track import audio_track
from framepack.media.containers import open_input, open_output, read_packets
from framepack.media.mux.h264 import changes_parameters, is_b_frame, is_idr
from framepack.media.mux.muxer import Muxer, Watch, unwatched

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from framepack.media.clip import Clip
    from framepack.media.read.probe import VideoInfo

_CONTAINER: Final = "mov"
_CODEC: Final = "h264"
_PIXELS: Final = "yuv420p"


@dataclass(frozen=True, slots=True)
class JoinInput:
    """A file to be joined and the result of ``probe`` for it."""

    path: Path
    info: VideoInfo


class _NotJoinable(Exception):
    """The packets cannot be joined without re-encoding."""


def copy_joined(
    inputs: Sequence[JoinInput], clip: Clip, path: Path, *, warn: Callable[[str], None], watch: Watch = unwatched
) -> bool:
    """Write the joined ``clip`` into the MP4 file ``path`` by copying video packets, if the result is exact.

    All inputs must be undamaged MP4 files of H.264 with the same headers, size, time base and constant frame rate,
    begin with an IDR frame, and have packets that fit together in time. The audio is encoded again, trimmed to the
    frames of each input.

    Args:
        inputs: The files.
        clip: The joined clip; only its audio is rendered.
        path: The output.
        warn: Called with sentences about audio that was lost.
        watch: Reports progress; may raise to stop.

    Returns:
        Whether the file was written; if not, it does not exist.
    """
    if not _have_equal_streams(inputs):
        return False
    try:
        with open_output(path, "mp4", metadata=clip.metadata) as output, open_input(inputs[0].path) as first:
            stream = cast("VideoStream", first.streams[inputs[0].info.stream])
            target = output.add_stream_from_template(stream)
            with audio_track(clip, output, path.parent, warn) as audio:
                muxer = Muxer(output, audio)
                for packet in watch(_packets(inputs, first, clip.fps), clip.length):
                    packet.stream = target
                    muxer.add([packet])
                muxer.finish((clip.length or 0) / clip.fps)
    except (_NotJoinable, InvalidMedia):
        return False
    return True


def _have_equal_streams(inputs: Sequence[JoinInput]) -> bool:
    if not all(_is_copyable(input_file.info) for input_file in inputs):
        return False
    return len({_stream_parameters(input_file.info) for input_file in inputs}) == 1


def _is_copyable(info: VideoInfo) -> bool:
    """Whether a file is undamaged H.264 at a constant frame rate that needs no rotation."""
    timeline = info.timeline
    is_constant = timeline.start is not None and not timeline.vfr and timeline.length == info.frame_count
    is_playable = info.container.startswith(_CONTAINER) and (info.codec, info.pixel_format) == (_CODEC, _PIXELS)
    return is_constant and is_playable and not info.upright and not info.warnings


def _stream_parameters(info: VideoInfo) -> tuple[object, ...]:
    """All parameters that must be equal."""
    size = (info.coded_width, info.coded_height, info.pixel_aspect)
    return (*size, info.colors, info.fps, info.timeline.time_base, info.extradata)


def _packets(inputs: Sequence[JoinInput], first: InputContainer, fps: Fraction) -> Iterator[Packet[VideoStream]]:
    """Yield the packets of all inputs on one timeline.

    Args:
        inputs: The files.
        first: The first of them, open.
        fps: Frame rate of the joined clip.

    Raises:
        _NotJoinable: They cannot be copied.
    """
    frames = 0
    latest: int | None = None
    for input_file in inputs:
        info = input_file.info
        begin = frames / fps / info.timeline.time_base
        if begin.denominator != 1:
            raise _NotJoinable
        with nullcontext(first) if not frames else open_input(input_file.path, without_video=True) as container:
            for packet in _retimed_packets(container, info, int(begin)):
                if packet.dts is None or (latest is not None and packet.dts <= latest):
                    raise _NotJoinable
                latest = packet.dts
                yield packet
        frames += info.length


def _retimed_packets(container: InputContainer, info: VideoInfo, begin: int) -> Iterator[Packet[VideoStream]]:
    """Yield the packets of one input, shifted so that its first frame is at the timestamp ``begin``."""
    # Copied packets must be exactly on the joined timeline: nothing corrects them later. So every presentation time
    # has to be a whole number of frame durations after the first frame, in exact fractions, and the first packet has
    # to be an IDR frame, or the decoder would predict from frames of the input before. Decoding times are shifted by
    # the same amount. With B-frames they begin before the first frame, and could overlap with the end of the input
    # before; the caller checks that they increase. Durations are set to exactly one frame, which containers round.
    timeline = info.timeline
    start, tick = timeline.start or 0, 1 / (timeline.fps * timeline.time_base)
    ticks, frames, shift = tick.numerator, tick.denominator, begin - start  # so many ticks are so many frames
    count = latest = 0
    for packet in read_packets(container, container.streams[info.stream]):
        if not packet.size:
            continue
        time = packet.pts
        if time is None or packet.dts is None or packet.is_discard or packet.is_corrupt:
            raise _NotJoinable
        position, rest = divmod((time - start) * frames, ticks)
        if rest or not 0 <= position < timeline.length:
            raise _NotJoinable
        if not count and not is_idr(packet):
            raise _NotJoinable
        if changes_parameters(packet) or (count and time > latest and is_b_frame(packet)):
            raise _NotJoinable  # for the packets behind, or since these are decoding times
        latest = max(latest, time) if count else time
        packet.pts, packet.dts, packet.duration = time + shift, packet.dts + shift, int(tick)
        count += 1
        yield cast("Packet[VideoStream]", packet)
