"""Open a video file as a clip: decoded when asked for, as often as asked for, in memory that does not grow."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from framepack.errors import InvalidMedia
from framepack.media.clip import AudioSource, Clip, Frame, HostFrame
from framepack.media.frames.colors import is_hdr
from framepack.media.prefetch import prefetch
from framepack.media.read.decoder import Decoder

if TYPE_CHECKING:
    import av

    from framepack.media.read.probe import VideoInfo
    from framepack.media.section import Section
    from framepack.media.timeline.constant_rate import Timeline


def open_clip(path: Path, info: VideoInfo, *, warn: Callable[[str], None], section: Section | None = None) -> Clip:
    """Open the video that ``probe`` looked at.

    Its frames are ``HostFrame`` objects holding planar YUV (yuv420p, yuv422p or yuv444p with 8, 10 or 12 bits,
    little endian), upright, of one size and tagged with the clip's colors, one for each slot of ``info.timeline``.
    A frame that stays on screen is the same object again. Where frames cannot be decoded their neighbors stay on
    screen, so that frames never run ahead of the audio.

    Iterating the frames raises InvalidMedia if not a single one can be decoded.

    Args:
        path: The file.
        info: What ``probe`` said of it.
        warn: Is told, in sentences for the client, what of the file was lost or changed.
        section: The part of the video to show, with its audio; None: all of it. Decoding begins at the last key
            frame before it.

    Raises:
        InvalidField: The video has no frame in the section.
    """
    for sentence in info.warnings:
        warn(sentence)
    if is_hdr(info.colors):
        warn("The video has a high dynamic range; its brightness curve is kept, in 8 bits per color.")
    audio = info.audio
    slots = range(info.length) if section is None else section.slots(info.timeline)

    def frames() -> Iterator[Frame]:
        return prefetch(lambda: _frames(Decoder(path, info), slots, warn))

    return Clip(
        frames=frames,
        fps=info.fps,
        width=info.width,
        height=info.height,
        length=len(slots),
        colors=info.colors,
        audio=AudioSource(path, audio.stream, audio.delay - slots.start / info.fps) if audio else None,
        pixel_aspect=info.pixel_aspect,
    )


def _frames(decoder: Decoder, slots: range, warn: Callable[[str], None]) -> Generator[HostFrame]:
    timeline = decoder.info.timeline
    with closing(decoder.frames(timeline.timestamp(slots.start))) as frames:
        for slot, frame in enumerate(_hold(frames, timeline)):
            if slot >= slots.start:
                yield frame
            if slot + 1 == slots.stop < timeline.length:
                return
    if not decoder.read:
        raise InvalidMedia("No frame of the video can be decoded.")
    if len(slots) == timeline.length:
        for sentence in decoder.sentences():
            warn(sentence)


def _hold(frames: Iterator[av.VideoFrame], timeline: Timeline) -> Iterator[HostFrame]:
    """Show each frame from its own slot until the next one's, and fill the timeline to its end."""
    held: HostFrame | None = None
    filled = slot = 0
    for frame in frames:
        if frame.pts is None or timeline.start is None:
            slot += held is not None
        else:
            slot = timeline.slot(frame.pts)
        if held is None:
            held = HostFrame(frame)
            continue
        while filled < min(slot, timeline.length):
            yield held
            filled += 1
        if slot >= filled:
            held = HostFrame(frame)
    while held is not None and filled < timeline.length:
        yield held
        filled += 1
