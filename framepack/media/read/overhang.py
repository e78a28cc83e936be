"""Audio that lasts beyond the video: the last frame is held for it, or a sentence says how much is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from framepack.media.timeline.constant_rate import Timeline

_LEAST_SECONDS: Final = Fraction(1, 10)  # encoders pad audio by less
_MUCH_LONGER: Final = 10

Spans = Sequence[tuple[Fraction, Fraction]]


@dataclass(frozen=True, slots=True)
class Overhang:
    """Audio outside of a video, in seconds.

    Attributes:
        before: Audio before the first frame.
        after: Audio after the last frame.
        end: When the last audio ends, counted from the end of the video.
    """

    before: Fraction
    after: Fraction
    end: Fraction

    @classmethod
    def of(cls, timeline: Timeline, spans: Spans) -> Overhang:
        """The audio outside of ``timeline``, for audio at ``spans`` in seconds of the same clock."""
        start = (timeline.start or 0) * timeline.time_base
        stop = start + timeline.length / timeline.fps
        return cls(
            before=sum((min(end, start) - begin for begin, end in spans if begin < start), Fraction(0)),
            after=sum((end - max(begin, stop) for begin, end in spans if end > stop), Fraction(0)),
            end=max((end - stop for _, end in spans), default=Fraction(0)),
        )


def fit_to_audio(timeline: Timeline, frame_count: int, spans: Spans, max_frames: int) -> tuple[Timeline, list[str]]:
    """Hold the last frame of a still with audio until the audio ends, and describe what happens to audio outside.

    A still is a video of one frame, or one whose audio lasts at least ten times as long. A single frame is also shown
    from the beginning of the audio.

    Args:
        timeline: The timeline of the video alone.
        frame_count: Number of source frames.
        spans: When there is audio, in seconds of the video's clock.
        max_frames: The last frame is not held beyond this many frames.

    Returns:
        The timeline to use, and sentences for the client.
    """
    overhang = Overhang.of(timeline, spans)
    sentences = []
    if frame_count == 1 and overhang.before > _LEAST_SECONDS:
        timeline = _begun(timeline, min(begin for begin, _ in spans))
        overhang = Overhang.of(timeline, spans)
    if overhang.before > _LEAST_SECONDS:
        sentences.append(f"{float(overhang.before):.1f} seconds of audio before the first frame are left out.")
    if overhang.after > _LEAST_SECONDS:
        seconds = timeline.length / timeline.fps
        length = round((seconds + overhang.end) * timeline.fps)
        is_still = frame_count == 1 or overhang.after >= (_MUCH_LONGER - 1) * seconds
        if is_still and 2 * overhang.after >= overhang.end and length <= max_frames:
            held = length - timeline.length
            timeline = replace(timeline, length=length, duplicated=timeline.duplicated + held)
            sentences.append(
                f"The audio lasts {float(overhang.end):.1f} seconds longer than the video; the last frame is held "
                "until it ends."
            )
        else:
            sentences.append(f"{float(overhang.after):.1f} seconds of audio after the last frame are left out.")
    return timeline, sentences


def _begun(timeline: Timeline, begin: Fraction) -> Timeline:
    """The timeline of a single frame that is shown from ``begin`` on, and until the end that it has."""
    start = (timeline.start or 0) * timeline.time_base
    earlier = round((start - begin) * timeline.fps)
    return replace(
        timeline,
        start=round(begin / timeline.time_base),
        length=timeline.length + earlier,
        duplicated=timeline.duplicated + earlier,
    )
