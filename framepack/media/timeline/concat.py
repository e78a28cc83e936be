"""Concatenate clips into one clip with the size and colors of the first, in sync with their audio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from framepack.closing import closing
from framepack.media.clip import AudioSequence, Clip, Frame
from framepack.media.frames.letterbox import Letterbox
from framepack.media.iteration import convert_each

_MAX_FPS: Final = Fraction(60)


@dataclass(frozen=True, slots=True)
class _Segment:
    """A clip on the joined timeline.

    Attributes:
        clip: The clip.
        start: When it begins, in seconds; exact.
        indices: The output frames that show it.
    """

    clip: Clip
    start: Fraction
    indices: range

    @property
    def seconds(self) -> Fraction:
        return (self.clip.length or 0) / self.clip.fps

    def frames(self, fps: Fraction) -> Iterator[Frame]:
        """For each output frame, the source frame that is shown at the middle of its duration.

        A source frame is repeated, or skipped, as the rates require.
        """
        with closing(self.clip.frames()) as frames:
            current, number = next(frames, None), 0
            for index in self.indices:
                wanted = ((index + Fraction(1, 2)) / fps - self.start) * self.clip.fps
                while number + 1 <= wanted and (following := next(frames, None)) is not None:
                    current, number = following, number + 1
                if current is None:
                    return
                yield current


def concatenate(clips: Sequence[Clip]) -> Clip:
    """Join clips into one.

    The result has the first clip's size, pixel aspect and colors. Frames of another size are letterboxed. The frame
    rate is the highest of all clips, but not above 60 fps unless the first clip's is. Each clip begins at the exact
    sum of the durations before it: its audio is trimmed or padded to its duration, and its frames are at most half
    a frame off. So audio and video stay in sync, however many clips there are.

    Args:
        clips: At least one, each of known length.
    """
    first = clips[0]
    fps = joined_fps([clip.fps for clip in clips])
    segments = list(_segments(clips, fps))

    def frames() -> Iterator[Frame]:
        for segment in segments:
            letterbox = Letterbox(segment.clip, first)
            source = segment.frames(fps)
            yield from convert_each(source, letterbox) if letterbox.is_needed else source

    has_audio = any(clip.audio for clip in clips)
    return replace(
        first,
        frames=frames,
        fps=fps,
        marks=tuple(marks for clip in clips for marks in clip.marks),
        length=sum(len(segment.indices) for segment in segments),
        audio=AudioSequence(tuple((segment.clip.audio, segment.seconds) for segment in segments))
        if has_audio
        else None,
    )


def joined_fps(rates: Sequence[Fraction]) -> Fraction:
    """The frame rate of joined clips: the highest, but above 60 fps only if the first clip's is."""
    return min(max(rates), max(rates[0], _MAX_FPS))


def _segments(clips: Sequence[Clip], fps: Fraction) -> Iterator[_Segment]:
    start, begin = Fraction(0), 0
    for clip in clips:
        end_seconds = start + (clip.length or 0) / clip.fps
        end = int(end_seconds * fps + Fraction(1, 2))
        yield _Segment(clip, start, range(begin, end))
        start, begin = end_seconds, end
