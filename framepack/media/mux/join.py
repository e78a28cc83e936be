"""Join videos without decoding a frame, where their streams are alike to the last bit of their headers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from framepack.errors import InvalidMedia
from framepack.media.audio.track import audio_track
from framepack.media.containers import open_input, open_output, read_packets
from framepack.media.mux.h264 import starts_anew
from framepack.media.mux.muxer import Muxer

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

    from framepack.media.clip import Clip
    from framepack.media.read.probe import VideoInfo

Watch = Callable[[Iterable[Any], int | None], Iterator[Any]]

_CONTAINER: Final = "mov"
_CODEC: Final = "h264"
_PIXELS: Final = "yuv420p"


@dataclass(frozen=True, slots=True)
class Piece:
    """A file to be joined, and what ``probe`` said of it."""

    path: Path
    info: VideoInfo


def _unwatched(packets: Iterable[Any], _total: int | None) -> Iterator[Any]:
    return iter(packets)


class _Unlike(Exception):
    """The packets cannot follow each other as they are."""


def copy_joined(
    pieces: Sequence[Piece], clip: Clip, path: Path, *, warn: Callable[[str], None], watch: Watch = _unwatched
) -> bool:
    """Write the joined ``clip`` into the MP4 file ``path`` by copying the frames' packets, if that is exact.

    It is when all pieces are whole MP4 files of H.264 with the same headers, size, time base and constant rate, begin
    with a key frame, and their packets fit together in time. The audio is made anew, cut to each piece's frames.

    Args:
        pieces: The files.
        clip: What they are joined to; its audio is used.
        path: The output.
        warn: Is told what of the audio was lost.
        watch: Gets the packets and the number of frames, one packet each, and passes them on; raises to stop.

    Returns:
        Whether the file was written; if not, it is not there.
    """
    if not _alike(pieces):
        return False
    try:
        with open_output(path, "mp4") as output, open_input(pieces[0].path) as first:
            stream = cast("VideoStream", first.streams[pieces[0].info.stream])
            target = output.add_stream_from_template(stream)
            with audio_track(clip, output, path.parent, warn) as audio:
                muxer = Muxer(output, audio)
                for packet in watch(_packets(pieces, clip.fps), clip.length):
                    packet.stream = target
                    muxer.add([packet])
                muxer.finish((clip.length or 0) / clip.fps)
    except (_Unlike, InvalidMedia):
        return False
    return True


def _alike(pieces: Sequence[Piece]) -> bool:
    if not all(_is_plain(piece.info) for piece in pieces):
        return False
    return len({_shape(piece) for piece in pieces}) == 1


def _is_plain(info: VideoInfo) -> bool:
    """Whether a file is whole, and shown just as it is stored."""
    timeline = info.timeline
    is_steady = timeline.start is not None and not timeline.vfr and timeline.length == info.frame_count
    is_playable = info.container.startswith(_CONTAINER) and (info.codec, info.pixel_format) == (_CODEC, _PIXELS)
    return is_steady and is_playable and not info.upright and not info.warnings


def _shape(piece: Piece) -> tuple[object, ...]:
    """Everything that must be equal."""
    info = piece.info
    with open_input(piece.path) as container:
        stream = container.streams[info.stream]
        extradata = stream.codec_context.extradata
    size = (info.coded_width, info.coded_height, info.pixel_aspect)
    return (*size, info.colors, info.fps, info.timeline.time_base, extradata)


def _packets(pieces: Sequence[Piece], fps: Fraction) -> Iterator[Packet[VideoStream]]:
    """The packets of all pieces on one timeline.

    Raises:
        _Unlike: They do not fit.
    """
    frames = 0
    latest: int | None = None
    for piece in pieces:
        begin = frames / fps / piece.info.timeline.time_base
        if begin.denominator != 1:
            raise _Unlike
        for packet in _placed(piece, int(begin)):
            if packet.dts is None or (latest is not None and packet.dts <= latest):
                raise _Unlike
            latest = packet.dts
            yield packet
        frames += piece.info.length


def _placed(piece: Piece, begin: int) -> Iterator[Packet[VideoStream]]:
    """The packets of one piece, its first frame at the time ``begin``."""
    timeline = piece.info.timeline
    start, tick = timeline.start or 0, 1 / (timeline.fps * timeline.time_base)
    with open_input(piece.path) as container:
        count = 0
        for packet in read_packets(container, container.streams[piece.info.stream]):
            if not packet.size:
                continue
            if packet.pts is None or packet.dts is None or packet.is_discard or packet.is_corrupt:
                raise _Unlike
            place = (packet.pts - start) / tick
            if place.denominator != 1 or not 0 <= place < timeline.length:
                raise _Unlike
            if not count and not starts_anew(packet):
                raise _Unlike
            shift = begin - start
            packet.pts, packet.dts, packet.duration = packet.pts + shift, packet.dts + shift, int(tick)
            count += 1
            yield cast("Packet[VideoStream]", packet)
