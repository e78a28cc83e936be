"""Probe a video file: its streams, orientation, colors, frame rate and length."""

from __future__ import annotations

import gc
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import atan2, degrees
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from framepack.errors import InvalidMedia
from framepack.media.audio.channels import MAX_SOURCE_CHANNELS, channel_names
from framepack.media.clip import ProbedAudio
from framepack.media.containers import ACCEPTED, UNREADABLE, open_input
from framepack.media.frames.colors import has_alpha, is_rgb, resolve
from framepack.media.frames.side_data import side_data
from framepack.media.metadata import describe_left_out, read_metadata
from framepack.media.read.changes import describe_changes, describe_damage
from framepack.media.read.edit_list import EditLists, obstacle, own_reading, played_once, read_edit_lists
from framepack.media.read.edited import EditedVideo
from framepack.media.read.frame_order import FrameOrder
from framepack.media.read.marks import describe_spherical, is_stereo
from framepack.media.read.overhang import fit_to_audio
from framepack.media.read.scan import MAX_FRAMES, WITH_FRAME_INDEX, Scan, scan
from framepack.media.read.video_header import VideoHeader, describe_shown, read_video_header, refuse_dolby_vision
from framepack.media.read.webm_alpha import alpha_decoder
from framepack.media.timeline.constant_rate import Timeline, build_timeline

if TYPE_CHECKING:
    import av
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.format import VideoFormat as PixelFormat
    from av.video.stream import VideoStream

    from framepack.media.clip import ClockJumps, Colors
    from framepack.media.metadata import Metadata
    from framepack.media.read.combs import Parity
    from framepack.media.read.video_header import VideoHeader

_RIGHT_ANGLE: Final = 90
_MASTERING: Final = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")
_TURNS: Final = {
    # whether x and y are swapped, signs of the matrix: degrees clockwise, chain of filters
    (False, False, False): (0, ""),
    (False, True, False): (0, "hflip"),
    (False, True, True): (180, "transpose=clock,transpose=clock"),
    (False, False, True): (
        180,
        "transpose=cclock_flip,transpose=cclock",
    ),  # mirrored; vflip would give frames whose rows run upwards
    (True, False, True): (90, "transpose=clock"),
    (True, False, False): (90, "transpose=cclock_flip"),
    (True, True, False): (270, "transpose=cclock"),
    (True, True, True): (270, "transpose=clock_flip"),
}


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """The audio stream of a video.

    Attributes:
        stream: Index of the stream in the file.
        codec: FFmpeg's name of the codec, such as "aac".
        delay: Seconds from the first frame to the first sample; may be negative.
        probed: What is known of the stream itself.
        clock_jumps: Where its clock starts anew or jumps.
    """

    stream: int
    codec: str
    delay: Fraction
    probed: ProbedAudio
    clock_jumps: ClockJumps = ()


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """The contents of a video file.

    Attributes:
        container: FFmpeg's name of the container, such as "mov,mp4,m4a,3gp,3g2,mj2".
        size_bytes: Size of the file.
        stream: Index of the chosen video stream in the file.
        codec: FFmpeg's name of the codec, such as "h264".
        pixel_format: FFmpeg's name of the pixel format, such as "yuv420p".
        has_alpha: Whether there is an alpha channel; nothing needs to be transparent in it.
        coded_width: Width of the stored frames in pixels.
        coded_height: Height of the stored frames in pixels.
        rotation: Degrees (0, 90, 180, 270) by which a stored frame is rotated clockwise to be upright, before it is
            mirrored if needed.
        upright: The rotation and mirroring as a chain of FFmpeg filters; empty if there is none.
        pixel_aspect: Width of a pixel divided by its height, after rotation.
        colors: The color tags.
        timeline: The conversion to a constant frame rate.
        frame_count: Number of frames in the file that are shown.
        order: The order of the frames.
        extradata: The parameters of the video's codec as the container has them; empty if it has none.
        audio: The default audio stream, or None.
        warnings: Sentences for the client about missing parts of the file, and about what its timeline changes.
        notes: Sentences for the client about audio outside of the frames; the video itself is whole.
        left_out: Sentences for the client about what outputs do not have, such as streams and metadata, or do have
            although the file hides it.
        metadata: The metadata that outputs have, too.
        is_stereo: Whether frames hold the views of both eyes (3D).
        parity: Which field comes first, if frames are interlaced and their decoder does not say so; else None.
        edited: The parts that are played, where FFmpeg does not follow the file's edit lists; else None.
    """

    container: str
    size_bytes: int
    stream: int
    codec: str
    pixel_format: str
    has_alpha: bool
    coded_width: int
    coded_height: int
    rotation: int
    upright: str
    pixel_aspect: Fraction
    colors: Colors
    timeline: Timeline
    frame_count: int
    audio: AudioInfo | None
    order: FrameOrder = field(default=FrameOrder(), repr=False)
    extradata: bytes = field(default=b"", repr=False)
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    metadata: Metadata = field(default=(), repr=False)
    is_stereo: bool = False
    parity: Parity | None = None
    edited: EditedVideo | None = field(default=None, repr=False)

    @property
    def width(self) -> int:
        """Width in pixels, after rotation."""
        return self.coded_height if self.rotation in {90, 270} else self.coded_width

    @property
    def height(self) -> int:
        """Height in pixels, after rotation."""
        return self.coded_width if self.rotation in {90, 270} else self.coded_height

    @property
    def fps(self) -> Fraction:
        """Exact frame rate after conversion."""
        return self.timeline.fps

    @property
    def length(self) -> int:
        """Number of frames after conversion."""
        return self.timeline.length

    @property
    def vfr(self) -> bool:
        """Whether the source has a variable frame rate."""
        return self.timeline.vfr

    @property
    def duration_seconds(self) -> float:
        """Duration in seconds."""
        return float(self.length / self.fps)

    @property
    def bits_per_second(self) -> float:
        """Average bit rate of the whole file."""
        return 8 * self.size_bytes / self.duration_seconds


class _Opened(NamedTuple):
    """What is known of the streams right after the file was opened, before their packets are decoded.

    Attributes:
        tags: Matrix, primaries and transfer characteristics of the video as the container has them.
        extradata: The parameters of the video's codec as the container has them.
        audio: The audio stream, if there is one.
    """

    tags: tuple[int, int, int]
    extradata: bytes
    audio: ProbedAudio | None

    @classmethod
    def of(cls, video: VideoStream, audio: AudioStream | None) -> Self:
        """Describe the streams of a file that was just opened."""
        context, probed = video.codec_context, None
        if audio is not None:
            start = (audio.start_time or 0) * (audio.time_base or Fraction(0))
            probed = ProbedAudio(start, audio.sample_rate, channel_names(audio.layout))
        tags = context.colorspace, context.color_primaries, context.color_trc
        return cls(tags, context.extradata or b"", probed)


def probe(path: Path, *, max_frames: int = MAX_FRAMES) -> VideoInfo:
    """Probe the video file at ``path``.

    Args:
        path: The file.
        max_frames: Number of frames at which counting gives up.

    Raises:
        InvalidMedia: The file is not a readable video, or its frame rate is out of range.
        TooLarge: The file has more than ``max_frames`` frames.
    """
    try:
        with open_input(path) as container:
            lists = read_edit_lists(path) if container.format.name.startswith(WITH_FRAME_INDEX) else {}
            wanted = own_reading(path, lists, _best_video(container), _best_audio(container))
            obstacles = tuple(sentence for edits in wanted if (sentence := obstacle(edits)))
            if not wanted:
                return _describe(path, container, max_frames)
            lists = {track: played_once(edits) for track, edits in lists.items()} if obstacles else lists
        with open_input(path, ignores_edits=True) as container:
            info = _describe(path, container, max_frames, lists)
            return replace(info, warnings=(*info.warnings, *obstacles))
    finally:
        gc.collect(1)  # PyAV: a frame whose side data was read is part of a reference cycle


def _best_video(container: InputContainer) -> VideoStream:
    """The default video stream; of several, or without one, that with the most pixels, then the first."""
    from av.stream import Disposition

    images = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    streams = [stream for stream in container.streams.video if not stream.disposition & images]
    if not streams:
        raise InvalidMedia(f"The file holds {_contents(container)}, no video: {ACCEPTED}")
    readable = [stream for stream in streams if stream.codec_context is not None and stream.width * stream.height]
    if not readable:
        raise InvalidMedia(f"The file's video{_codec_names(streams)} cannot be read: {ACCEPTED}")

    def rank(stream: VideoStream) -> tuple[bool, int, int]:
        return bool(stream.disposition & Disposition.default), stream.width * stream.height, -stream.index

    return max(readable, key=rank)


def _contents(container: InputContainer) -> str:
    """What a file without video holds, with its codecs."""
    kinds = {"audio": "audio", "subtitle": "subtitles", "data": "data", "attachment": "attachments"}
    listed = []
    for kind, name in kinds.items():
        if streams := [stream for stream in container.streams if stream.type == kind]:
            listed.append(f"{name}{_codec_names(streams)}")
    if container.streams.video:  # covers
        listed.append("images")
    return f"only {' and '.join(listed)}" if listed else "nothing"


def _codec_names(streams: Sequence[Stream]) -> str:
    """The codecs of some streams, in parentheses; nothing if none is known."""
    contexts = [stream.codec_context for stream in streams]
    names = dict.fromkeys(context.codec.canonical_name for context in contexts if context is not None)
    return f" ({', '.join(names)})" if names else ""


def _describe(path: Path, container: InputContainer, max_frames: int, lists: EditLists | None = None) -> VideoInfo:
    """Describe a file; with edit lists, one that is opened without them."""
    stream, audio = _best_video(container), _best_audio(container)
    opened = _Opened.of(stream, audio)
    found = scan(container, stream, min(max_frames, MAX_FRAMES), audio)
    frame = found.frame
    header = _header(path, container, stream, frame)
    order, timestamps = found.ordered()
    rates = () if found.is_retimed else (stream.base_rate, stream.average_rate)
    timeline = build_timeline(found.frame_count, timestamps, rates, max_frames)
    lost = (*describe_damage(container, stream, found, timeline), *describe_changes(found, timeline, timestamps))
    edited, frame_count, spans = None, found.frame_count, found.audio_spans()
    if lists is not None:
        end = max((end for _, end in spans), default=Fraction(0))
        audio_edits = lists.get(audio.id, []) if audio else []
        edited = EditedVideo.of(timeline, lists.get(stream.id, []), audio_edits, end, max_frames)
        lost = (*lost, *edited.describe_left_out())
        timeline, frame_count, spans = edited.timeline, edited.timeline.length, edited.audio_spans()
    timeline, notes = fit_to_audio(timeline, frame_count, spans, max_frames)
    pixel_format, (rotation, upright) = _pixel_format(stream, frame), _orientation(frame)
    size = (stream.width, stream.height) if frame is None else (frame.width, frame.height)
    return VideoInfo(
        container=container.format.name,
        size_bytes=path.stat().st_size,
        stream=stream.index,
        codec=stream.codec_context.codec.canonical_name,
        pixel_format=pixel_format.name,
        has_alpha=has_alpha(pixel_format) or alpha_decoder(stream) is not None,
        coded_width=size[0],
        coded_height=size[1],
        rotation=rotation,
        upright=upright,
        pixel_aspect=(stream.sample_aspect_ratio or Fraction(1)) ** (-1 if rotation in {90, 270} else 1),
        colors=resolve(frame or stream.codec_context, pixel_format, opened.tags),
        timeline=timeline,
        frame_count=found.frame_count,
        order=order,
        extradata=opened.extradata,
        audio=_describe_audio(audio, opened.audio, (timeline.start or 0) * found.time_base, found),
        warnings=lost,
        notes=tuple(notes),
        left_out=(*_describe_frame(header, frame, rotation, size), *describe_left_out(container, stream, audio)),
        is_stereo=is_stereo(frame),
        parity=header.parity if is_rgb(pixel_format) else None,
        metadata=read_metadata(container, audio),
        edited=edited,
    )


def _header(path: Path, container: InputContainer, stream: VideoStream, frame: av.VideoFrame | None) -> VideoHeader:
    """The header of a video track whose colors FFmpeg knows."""
    header = read_video_header(path, container.format.name, container.streams.video.index(stream))
    refuse_dolby_vision(header, frame)
    return header


def _pixel_format(stream: VideoStream, frame: av.VideoFrame | None) -> PixelFormat:
    found = frame.format if frame is not None else stream.codec_context.format
    if found is None:
        raise InvalidMedia(UNREADABLE)
    return found


def _best_audio(container: InputContainer) -> AudioStream | None:
    """The default audio stream; of several, or without one, that with the most channels, then the first."""
    from av.stream import Disposition

    streams = [stream for stream in container.streams.audio if stream.codec_context is not None]
    streams = [stream for stream in streams if stream.sample_rate and stream.time_base]
    channels = {stream.index: len(channel_names(stream.layout)) for stream in streams}
    streams = [stream for stream in streams if 0 < channels[stream.index] <= MAX_SOURCE_CHANNELS]

    def rank(stream: AudioStream) -> tuple[bool, int, int]:
        return bool(stream.disposition & Disposition.default), channels[stream.index], -stream.index

    return max(streams, key=rank, default=None)


def _describe_audio(
    stream: AudioStream | None, probed: ProbedAudio | None, video_start_seconds: Fraction, found: Scan
) -> AudioInfo | None:
    if stream is None or probed is None:
        return None
    start = (stream.start_time or 0) * (stream.time_base or 1)
    delay = start - video_start_seconds if stream.start_time is not None else Fraction(0)
    codec = stream.codec_context.codec.canonical_name
    return AudioInfo(stream.index, codec, delay, probed, found.clock_jumps(stream.index))


def _describe_frame(
    header: VideoHeader, frame: av.VideoFrame | None, rotation: int, size: tuple[int, int]
) -> Iterator[str]:
    """Describe what frames of outputs do not have, or do have although the file hides it."""
    yield from describe_shown(header, *size)
    yield from _describe_angle(frame, rotation)
    yield from _describe_mastering(frame)
    yield from describe_spherical(frame)


def _describe_mastering(frame: av.VideoFrame | None) -> Iterator[str]:
    """A sentence if a frame of HDR has the limits of the display that it was made on."""
    if any(side_data(frame, name) is not None for name in _MASTERING):
        yield "The HDR metadata of the file (mastering display, content light level) is left out."


def _describe_angle(frame: av.VideoFrame | None, rotation: int) -> Iterator[str]:
    """A sentence if frames are to be rotated by an angle to which they are not."""
    data = side_data(frame, "DISPLAYMATRIX")
    if data is None:
        return
    matrix = array("i", data)
    clockwise = round(degrees(atan2(matrix[1], matrix[0]))) % 360
    if min(clockwise % _RIGHT_ANGLE, -clockwise % _RIGHT_ANGLE) > 1:
        asked = f"The file asks players to rotate its video by {clockwise} degrees clockwise"
        yield f"{asked}; outputs rotate it by {rotation}."


def _orientation(frame: av.VideoFrame | None) -> tuple[int, str]:
    """The rotation that makes a frame upright: (degrees clockwise, chain of filters)."""
    data = side_data(frame, "DISPLAYMATRIX")
    if data is None:
        return 0, ""
    matrix = array("i", data)
    is_transposed = abs(matrix[1]) > abs(matrix[0])
    first, second = (matrix[1], matrix[3]) if is_transposed else (matrix[0], matrix[4])
    return _TURNS[is_transposed, first < 0, second < 0]
