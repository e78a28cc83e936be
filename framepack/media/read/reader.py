"""Open a video file as a clip that is decoded on demand, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from framepack.errors import InvalidMedia
from framepack.media.clip import AudioPlan, AudioSource, Clip, Frame, HostFrame, Marks
from framepack.media.frames.alpha import NOTHING_TRANSPARENT
from framepack.media.prefetch import prefetch
from framepack.media.read.decoder import Decoder

if TYPE_CHECKING:
    from fractions import Fraction

    import av

    from framepack.media.read.probe import VideoInfo
    from framepack.media.section import Section
    from framepack.media.timeline.constant_rate import Timeline


def open_clip(
    path: Path,
    info: VideoInfo,
    *,
    warn: Callable[[str], None],
    section: Section | None = None,
    keep_alpha: bool = False,
) -> Clip:
    """Open a probed video as a clip.

    Its frames are ``HostFrame`` objects in planar YUV (yuv420p, yuv422p or yuv444p with 8, 10 or 12 bits, little
    endian), upright, of one size, with the clip's color tags, one for each output frame of ``info.timeline``. A
    duplicated frame is the same object again. Where frames cannot be decoded, the frame before is duplicated, so that
    video and audio stay in sync. Interlaced frames are deinterlaced, and frames of another size than the first are
    letterboxed. Transparent pixels are put on black, unless alpha is kept and the video has it.

    Iterating the frames raises InvalidMedia if none can be decoded.

    Args:
        path: The file.
        info: The result of ``probe`` for it.
        warn: Called with sentences for the client about what was lost or changed.
        section: The section of the video to open, with its audio; None for all of it. Decoding begins at the last
            key frame before it.
        keep_alpha: Whether frames of a video with an alpha channel have alpha: yuva420p, yuva422p or yuva444p.

    Raises:
        InvalidField: The section has no frame.
    """
    for sentence in (*info.warnings, *(() if section is not None else info.notes), *info.left_out):
        warn(sentence)
    has_alpha = keep_alpha and info.has_alpha
    marks = Marks(info.is_stereo)
    indices = range(info.length) if section is None else section.frame_range(info.timeline)

    def frames() -> Iterator[Frame]:
        return prefetch(
            lambda: _played(path, info, indices, warn, marks, keep_alpha=keep_alpha),
            size_bytes=lambda frame: frame.size_bytes,
        )

    return Clip(
        frames=frames,
        fps=info.fps,
        width=info.width,
        height=info.height,
        length=len(indices),
        colors=info.colors,
        audio=_audio(path, info, indices.start / info.fps),
        pixel_aspect=info.pixel_aspect,
        has_alpha=has_alpha,
        metadata=info.metadata,
        marks=(marks,),
    )


def decoded_frames(info: VideoInfo, indices: range) -> int:
    """Number of frames that are decoded to show some output frames: those from the key frame before on count, too.

    Args:
        info: The result of ``probe`` for the file.
        indices: Numbers of output frames, at least one.
    """
    own = info.timeline if info.edited is None else info.edited.own
    runs = [indices]
    if info.edited is not None:
        runs = [range(run.first, run.first + len(run.repeats)) for run in info.edited.runs(indices)]
    return sum(info.order.decoded_count(own.frame_at(run.start), own.frame_at(run.stop - 1)) for run in runs)


def _audio(path: Path, info: VideoInfo, begin: Fraction) -> AudioPlan | None:
    """The audio of a video from ``begin`` seconds on."""
    audio = info.audio
    if audio is None:
        return None
    if info.edited is None:
        return AudioSource(path, audio.stream, audio.delay - begin, audio.clock_jumps, probed=audio.probed)
    start_seconds = audio.delay + (info.timeline.start or 0) * info.timeline.time_base
    return info.edited.audio(path, audio.stream, start_seconds, begin)


def _played(
    path: Path, info: VideoInfo, indices: range, warn: Callable[[str], None], marks: Marks, *, keep_alpha: bool
) -> Generator[HostFrame]:
    """The frames of a video, in the parts in which it is played."""
    has_alpha = keep_alpha and info.has_alpha
    marks.captioned = 0
    if info.edited is None:
        yield from _frames(Decoder(path, info, has_alpha, marks), indices, warn, keep_alpha=keep_alpha)
        return
    own = replace(info, timeline=info.edited.own)
    for run in info.edited.runs(indices):
        needed = range(run.first, run.first + len(run.repeats))
        decoder = Decoder(path, own, has_alpha, marks)
        with closing(_frames(decoder, needed, warn, keep_alpha=keep_alpha)) as frames:
            for frame, repeats in zip(frames, run.repeats, strict=False):
                for _ in range(repeats):
                    yield frame
        if (decoder.failed or decoder.damaged) and len(indices) == info.length:
            warn("Some of the video's data could not be read.")


def _frames(
    decoder: Decoder, indices: range, warn: Callable[[str], None], *, keep_alpha: bool
) -> Generator[HostFrame]:
    timeline = decoder.info.timeline
    shown = _Shown()
    first = timeline.frame_at(indices.start) if indices.start else 0  # those that give way to it are counted, too
    with closing(decoder.frames(first)) as frames:
        for index, frame in enumerate(_at_constant_rate(frames, timeline, shown)):
            if index >= indices.start:
                yield frame
            if index + 1 == indices.stop < timeline.length:
                break
    if not decoder.decoded:
        raise InvalidMedia(
            f"No frame of the video ({decoder.info.codec}) could be decoded: at least one must be undamaged."
        )
    for sentence in _sentences(decoder, shown, is_whole=len(indices) == timeline.length):
        warn(sentence)
    if keep_alpha and not decoder.found_transparent:
        warn(NOTHING_TRANSPARENT)


def _sentences(decoder: Decoder, shown: _Shown, *, is_whole: bool) -> Iterator[str]:
    """Describe how frames were changed and, after the whole video was decoded, what was lost."""
    yield from decoder.changes
    if not is_whole:
        if decoder.damaged or decoder.failed or decoder.follows_damage:
            yield "Frames of this part may show damage."
        return
    yield from decoder.describe_damage()
    lost = decoder.decoded - shown.count - decoder.info.timeline.dropped
    if lost > 0:
        yield f"{lost} of {decoder.decoded} decoded frames were dropped: the timestamps leave no time for them."


@dataclass(slots=True)
class _Shown:
    """The number of source frames that were shown."""

    count: int = 0


def _at_constant_rate(
    frames: Iterator[tuple[int, av.VideoFrame]], timeline: Timeline, shown: _Shown
) -> Iterator[HostFrame]:
    """Duplicate each frame until the next one's time, up to the end of the timeline.

    Of several frames with the same output frame, the last is shown.
    """
    current: HostFrame | None = None
    count = 0
    for rank, frame in frames:
        index = timeline.index_of(rank)
        if current is not None and count < min(index, timeline.length):
            shown.count += 1
            for _ in range(count, min(index, timeline.length)):
                yield current
            count = min(index, timeline.length)
        current = HostFrame(frame)
    if current is not None and count < timeline.length:
        shown.count += 1
        for _ in range(count, timeline.length):
            yield current
