"""Clips one after another as one clip: of the first one's shape and colors, in step with their audio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final, cast

from framepack.media.clip import Clip, Frame, HostFrame
from framepack.media.clip import Sequence as AudioSequence
from framepack.media.frames.letterbox import Letterbox

if TYPE_CHECKING:
    from collections.abc import Generator

_USUAL_HIGHEST: Final = Fraction(60)


@dataclass(frozen=True, slots=True)
class _Part:
    """A clip's place on the joined timeline: it begins at ``start`` seconds and is shown in ``slots``."""

    clip: Clip
    start: Fraction
    slots: range

    @property
    def seconds(self) -> Fraction:
        return (self.clip.length or 0) / self.clip.fps

    def frames(self, fps: Fraction) -> Iterator[Frame]:
        """For each slot the frame that is on screen in its middle."""
        with closing(cast("Generator[Frame]", self.clip.frames())) as frames:
            held, number = next(frames, None), 0
            for slot in self.slots:
                wanted = ((slot + Fraction(1, 2)) / fps - self.start) * self.clip.fps
                while number + 1 <= wanted and (following := next(frames, None)) is not None:
                    held, number = following, number + 1
                if held is None:
                    return
                yield held


def concatenated(clips: Sequence[Clip]) -> Clip:
    """Join clips.

    The result has the first clip's size, pixel aspect and colors. Frames of another shape are scaled to fit,
    centerd, and surrounded by black. The frame rate is the highest of all, but not above 60 per second unless the
    first clip's is. Each clip begins at the exact sum of the lengths before it; its audio is cut or filled to
    that length, its frames lie within half a frame of it. So nothing drifts, however many clips there are.

    Args:
        clips: At least one; the length of each is known.
    """
    first = clips[0]
    fps = joined_rate([clip.fps for clip in clips])
    parts = list(_placed(clips, fps))

    def frames() -> Iterator[Frame]:
        for part in parts:
            letterbox = Letterbox(part.clip, first)
            images = part.frames(fps)
            yield from _converted(images, letterbox) if letterbox.is_needed else images

    has_audio = any(clip.audio for clip in clips)
    return replace(
        first,
        frames=frames,
        fps=fps,
        length=sum(len(part.slots) for part in parts),
        audio=AudioSequence(tuple((part.clip.audio, part.seconds) for part in parts)) if has_audio else None,
    )


def joined_rate(rates: Sequence[Fraction]) -> Fraction:
    """The frame rate of joined clips: the highest, but above 60 only if the first one's is."""
    return min(max(rates), max(rates[0], _USUAL_HIGHEST))


def _placed(clips: Sequence[Clip], fps: Fraction) -> Iterator[_Part]:
    start, begin = Fraction(0), 0
    for clip in clips:
        end_seconds = start + (clip.length or 0) / clip.fps
        end = int(end_seconds * fps + Fraction(1, 2))
        yield _Part(clip, start, range(begin, end))
        start, begin = end_seconds, end


def _converted(frames: Iterator[Frame], letterbox: Letterbox) -> Iterator[Frame]:
    """Convert frames, one that stays on screen once."""
    source: Frame | None = None
    result: Frame | None = None
    for frame in frames:
        if result is None or frame is not source:
            source, result = frame, HostFrame(letterbox(frame.on_host()))
        yield result
