"""Conversion of a file's timestamps to a constant frame rate, without drift, however long the file is."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import Final

from framepack.errors import InvalidMedia

MIN_FPS: Final = Fraction(1, 10)
MAX_FPS: Final = Fraction(240)

_MAX_BASE_RATE: Final = 60
_FALLBACK_FPS: Final = Fraction(25)
_FIELDS: Final = 2  # of a frame
_NTSC: Final = Fraction(1000, 1001)
_COMMON_RATES: Final = tuple(
    sorted(
        [
            Fraction(fps)
            for fps in (1, 2, 5, 8, 10, 12, 15, 16, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 144, 200, 240)
        ]
        + [fps * _NTSC for fps in (24, 30, 48, 60, 120, 240)]
    )
)
_NEAR: Final = Fraction(1, 200)  # of the average rate
_ANY_JITTER: Final = Fraction(1)  # frame durations
_LITTLE_JITTER: Final = Fraction(2, 5)
_FILM_FPS: Final = 23  # from here on jitter is bounded by the frame duration, below in seconds
_CLOSE_SECONDS: Final = Fraction(1, 100)
_CLOSE_END_SECONDS: Final = Fraction(1, 20)  # a whole frame of usual rates
_ROUNDED_RATE: Final = Fraction(1, 100_000)  # MKV has frame durations in nanoseconds, FFmpeg small fractions
_ROUNDING: Final = Fraction(98, 100)  # timestamps are rounded, for example to milliseconds


@dataclass(frozen=True, slots=True)
class Timestamps:
    """Presentation timestamps of a stream's frames.

    Attributes:
        times: Sorted timestamps; empty if the frames have none.
        time_base: Seconds per unit of a timestamp.
        last_duration: Duration of the last frame, 0 if unknown.
        is_end_exact: Whether the file says the duration of this frame, not one for all frames, and not about.
    """

    times: Sequence[int]
    time_base: Fraction
    last_duration: int = 0
    is_end_exact: bool = False

    @property
    def average_rate(self) -> Fraction | None:
        """Average frame rate between the first and the last frame; None if there is no interval between them."""
        if len(self.times) < 2 or self.times[-1] == self.times[0]:  # noqa: PLR2004 - an interval needs two ends
            return None
        return Fraction(len(self.times) - 1) / ((self.times[-1] - self.times[0]) * self.time_base)


@dataclass(frozen=True, slots=True)
class Timeline:
    """How a stream's frames become output frames at a constant rate.

    Each output frame shows the source frame that is on screen at that time.

    Attributes:
        fps: Exact frame rate of the output.
        length: Number of output frames.
        start: Timestamp of the first output frame, or None if source frames have no usable timestamps and are
            taken one by one.
        latest: Timestamp of the last source frame, or None likewise.
        time_base: Seconds per unit of a timestamp.
        vfr: Whether the source has a variable frame rate: not exactly one source frame for each output frame.
        indices: For each source frame, in presentation order, the number of the output frame at which it appears.
        dropped: Source frames that are not shown, because a later one takes the same output frame.
        duplicated: Output frames that show the same source frame as the output frame before.
        gaps: Output frames without a source frame of their own, where source frames otherwise come regularly.
        off_seconds: Most by which a frame appears, or the last one ends, off its time, where a higher rate would have
            too many frames; else 0.
    """

    fps: Fraction
    length: int
    start: int | None
    latest: int | None
    time_base: Fraction
    indices: Sequence[int] = field(default=(), compare=False, repr=False)
    vfr: bool = False
    dropped: int = 0
    duplicated: int = 0
    gaps: int = 0
    off_seconds: Fraction = Fraction(0)

    def index_of(self, rank: int) -> int:
        """Number of the output frame at which source frame ``rank`` appears; those beyond the last come after it."""
        last = len(self.indices) - 1
        return self.indices[rank] if rank <= last else self.length + rank - last - 1

    def frame_at(self, index: int) -> int:
        """Number of the source frame that output frame ``index`` shows."""
        return max(0, bisect_right(self.indices, index) - 1)


def build_timeline(
    frame_count: int,
    timestamps: Timestamps,
    header_rates: Iterable[Fraction | None],
    max_frames: int = sys.maxsize,
) -> Timeline:
    """Choose the constant frame rate of a stream.

    These are tried in order:

    1. A plausible rate at which every source frame has an output frame of its own, in order and without gaps. The
       stream then has a constant rate, and all its frames are kept.
    2. The header's base rate, up to 60 fps, if no source frame is dropped and each appears within 10 ms of its time,
       or frames come regularly apart from gaps. Frames are duplicated up to the next one.
    3. A constant rate as in 1, with timestamps that jitter by up to a whole frame (10 ms at slow rates).
    4. The lowest common rate at which no source frame is dropped and each appears within 10 ms of its time, up to
       60 fps, or up to ``MAX_FPS`` if most frames come faster than 60 fps.

    The last frame stays as long as the file says: if a slow rate has no frame near the end, a multiple of it is used.

    Args:
        frame_count: Number of source frames, at least 1.
        timestamps: Their timestamps.
        header_rates: The container's base rate (the lowest that fits all timestamps), then its average rate.
        max_frames: Number of output frames above which rates are not raised for exact times.

    Raises:
        InvalidMedia: The rate is over ``MAX_FPS``, or, without timestamps, under ``MIN_FPS``.
    """
    rates = [rate for rate in header_rates if rate]
    average = timestamps.average_rate
    if average is None:
        return _without_average(frame_count, timestamps, rates)
    if average > MAX_FPS:
        raise _out_of_range(average)
    base = rates[0] if rates and max(average, MIN_FPS) <= rates[0] <= _MAX_BASE_RATE else None
    near = list(_near_rates(rates, average))
    steady = _constant(timestamps, rates[:1], _ANY_JITTER) or _constant(timestamps, near, _LITTLE_JITTER)
    if steady is not None:
        return _ending(_snapped(steady, timestamps), timestamps, max_frames)
    coarse = None
    if base is not None:
        coarse = _variable(timestamps, base)
        if _fits(coarse, timestamps):
            return coarse
    steady = _constant(timestamps, near, _ANY_JITTER)
    if steady is not None:
        return _ending(steady, timestamps, max_frames)
    finest = _finest(timestamps, base, average)
    if coarse is None or coarse.dropped or finest.length <= max_frames:
        return finest
    off_seconds = max(_off_seconds(coarse, timestamps), _end_off_seconds(coarse, timestamps))
    return replace(coarse, off_seconds=off_seconds)


def _frame_index(ticks: int, frames_per_tick: Fraction) -> int:
    """``ticks * frames_per_tick`` rounded to the nearest integer, halves up."""
    numerator, denominator = frames_per_tick.as_integer_ratio()
    return (2 * ticks * numerator + denominator) // (2 * denominator)


def _without_average(frame_count: int, timestamps: Timestamps, rates: list[Fraction]) -> Timeline:
    """A timeline without usable timestamps: source frames one by one at the header's rate."""
    sane = next((rate for rate in rates if MIN_FPS <= rate <= MAX_FPS), None)
    if frame_count == 1 and timestamps.times:
        seconds = timestamps.last_duration * timestamps.time_base
        if sane and len(rates) == 1 and seconds * sane == _FIELDS:  # TS and PS: the rate of fields
            sane /= _FIELDS
        return _variable(timestamps, _rate_of_one(timestamps, sane or _FALLBACK_FPS))
    fps = sane or next(iter(rates), _FALLBACK_FPS)
    if not MIN_FPS <= fps <= MAX_FPS:
        raise _out_of_range(fps)
    return Timeline(fps, frame_count, None, None, timestamps.time_base, range(frame_count))


def _rate_of_one(timestamps: Timestamps, header_rate: Fraction) -> Fraction:
    """The frame rate of a single frame: the header's up to 60; above, it may just be the grid of a GIF's times.

    Then it is the lowest common rate at which the frame lasts whole frame durations, or that at which it lasts one.
    """
    seconds = timestamps.last_duration * timestamps.time_base
    is_near = header_rate <= _MAX_BASE_RATE and _ends_in_time(_variable(timestamps, header_rate), timestamps)
    if is_near or seconds * _MAX_BASE_RATE < 1:
        return header_rate
    whole = (rate for rate in _COMMON_RATES if rate <= _MAX_BASE_RATE and (seconds * rate).denominator == 1)
    return next(whole, 1 / seconds)


def _out_of_range(fps: Fraction) -> InvalidMedia:
    return InvalidMedia(
        f"The video's frame rate is {float(fps):g} per second; 0.1 to 240 is allowed. "
        "Convert it to a rate in this range first."
    )


def _near_rates(rates: list[Fraction], average: Fraction) -> Iterator[Fraction]:
    """Candidate rates for timestamps of this average rate."""
    yield from rates[1:]
    near = [rate for rate in _COMMON_RATES if abs(rate - average) <= average * _NEAR]
    yield from sorted(near, key=lambda rate: abs(rate - average))
    yield average.limit_denominator(1001)


def _constant(timestamps: Timestamps, rates: Iterable[Fraction], jitter: Fraction) -> Timeline | None:
    """The timeline at the first of ``rates`` at which source frame n becomes output frame n for all n, or None.

    ``jitter`` is the allowed spread of the frames' offsets from their ideal times, in frame durations, at most 1.
    """
    # At a constant rate, frame n is at start + n / fps. Real timestamps deviate: they are rounded to the time base,
    # the first one may be off most of all, and a rate that is wrong by a thousandth drifts further with each frame.
    # So the offset of every frame from n / fps is computed, in integers: frame durations times ``denominator``. Their
    # spread tells jitter, which is bounded, from drift, which is not. The middle of the spread becomes the start, so
    # that each timestamp rounds to its own frame with the widest margin; the last condition verifies that.
    first = timestamps.times[0]
    for fps in rates:
        scale = timestamps.time_base * fps
        numerator, denominator = scale.as_integer_ratio()
        offsets = [(time - first) * numerator - index * denominator for index, time in enumerate(timestamps.times)]
        least, most = min(offsets), max(offsets)
        allowed = jitter if fps >= _FILM_FPS else min(jitter, 2 * _CLOSE_SECONDS * fps + 2 * scale)
        if not MIN_FPS <= fps <= MAX_FPS or most - least > allowed * denominator:
            continue
        start = first + round(Fraction(least + most, 2 * numerator))
        if all(_frame_index(time - start, scale) == index for index, time in enumerate(timestamps.times)):
            count = len(timestamps.times)
            length = count - 1 + _last_duration(timestamps, scale)
            latest = timestamps.times[-1]
            return Timeline(fps, length, start, latest, timestamps.time_base, range(count), duplicated=length - count)
    return None


def _snapped(timeline: Timeline, timestamps: Timestamps) -> Timeline:
    """The timeline at the common rate that is meant, where the header has a rounded one and all times fit both."""
    rate = next((rate for rate in _COMMON_RATES if abs(rate - timeline.fps) <= timeline.fps * _ROUNDED_RATE), None)
    if rate in {None, timeline.fps}:
        return timeline
    tick = timestamps.time_base * rate
    return _constant(timestamps, [rate], min(tick, _ANY_JITTER)) or timeline


def _last_duration(timestamps: Timestamps, scale: Fraction) -> int:
    """The duration of the last frame in output frames, at least 1."""
    return max(1, _frame_index(timestamps.last_duration, scale))


def _finest(timestamps: Timestamps, base: Fraction | None, average: Fraction) -> Timeline:
    """The timeline at the lowest common rate at which no source frame is dropped, or at the highest allowed one."""
    intervals = sorted(after - before for before, after in pairwise(timestamps.times) if after > before)
    typical = 1 / (intervals[len(intervals) // 2] * timestamps.time_base)
    most = MAX_FPS if max(typical, average) * _ROUNDING > _MAX_BASE_RATE else Fraction(_MAX_BASE_RATE)
    finest = next(
        (rate for rate in (1 / (ticks * timestamps.time_base) for ticks in intervals) if rate <= most), most
    )
    wanted = max(average, min(finest, most) * _ROUNDING, base or MIN_FPS)
    rates = [rate for rate in _COMMON_RATES if wanted <= rate <= most] or [max(wanted, most)]
    for fps in rates:
        timeline = _variable(timestamps, fps)
        if _fits(timeline, timestamps) or (fps == rates[-1] and not timeline.dropped):
            return timeline
    return _variable(timestamps, rates[-1], shift=1)


def _fits(timeline: Timeline, timestamps: Timestamps) -> bool:
    """Whether every frame appears within 10 ms of its time, and the last one ends in time.

    Frames that come regularly, apart from gaps, may be farther off where a constant rate may tremble.
    """
    if timeline.dropped or not _ends_in_time(timeline, timestamps):
        return False
    may_tremble = timeline.gaps > 0 and timeline.fps >= _FILM_FPS
    return may_tremble or _off_seconds(timeline, timestamps) <= _CLOSE_SECONDS


def _off_seconds(timeline: Timeline, timestamps: Timestamps) -> Fraction:
    """Most by which a frame appears off its time."""
    numerator, denominator = (timestamps.time_base * timeline.fps).as_integer_ratio()
    first = timestamps.times[0]
    most = max(
        abs((time - first) * numerator - index * denominator)
        for time, index in zip(timestamps.times, timeline.indices, strict=True)
    )
    return most / (denominator * timeline.fps)


def _ending(timeline: Timeline, timestamps: Timestamps, max_frames: int) -> Timeline:
    """The timeline of a constant rate, or of a multiple of it if only that has a frame where the last one ends."""
    if _ends_in_time(timeline, timestamps):
        return timeline
    seconds = timestamps.last_duration * timestamps.time_base

    def duration(factor: int) -> int:
        return max(1, round(seconds * timeline.fps * factor))

    def off(factor: int) -> Fraction:
        return abs(duration(factor) / (timeline.fps * factor) - seconds)

    most = min(int(_MAX_BASE_RATE / timeline.fps), max_frames // timeline.length)
    factors = range(1, max(1, most) + 1)
    factor = next((factor for factor in factors if off(factor) <= _CLOSE_SECONDS), min(factors, key=off))
    count = len(timestamps.times)
    length = (count - 1) * factor + duration(factor)
    return replace(
        timeline,
        fps=timeline.fps * factor,
        length=length,
        indices=range(0, count * factor, factor),
        vfr=factor > 1,
        duplicated=length - count,
        off_seconds=off(factor) if off(factor) > _CLOSE_END_SECONDS else Fraction(0),
    )


def longer_end(timeline: Timeline, timestamps: Timestamps) -> Fraction:
    """Seconds by which the last frame stays longer than a time that is too short to show; 0 for up to 50 ms."""
    seconds = timestamps.last_duration * timestamps.time_base
    longer = _last_seconds(timeline) - seconds
    is_short = timestamps.is_end_exact and 0 < seconds < _CLOSE_SECONDS
    return longer if is_short and longer > _CLOSE_END_SECONDS else Fraction(0)


def _last_seconds(timeline: Timeline) -> Fraction:
    """How long the last frame stays."""
    return (timeline.length - timeline.indices[-1]) / timeline.fps


def _end_off_seconds(timeline: Timeline, timestamps: Timestamps) -> Fraction:
    """By how much the last frame ends off its time; 0 if the file says no time, or one that is too short to show."""
    seconds = timestamps.last_duration * timestamps.time_base
    if not timestamps.is_end_exact or seconds < _CLOSE_SECONDS:
        return Fraction(0)
    return abs(_last_seconds(timeline) - seconds)


def _ends_in_time(timeline: Timeline, timestamps: Timestamps) -> bool:
    """Whether the last frame ends within 50 ms of its time."""
    return _end_off_seconds(timeline, timestamps) <= _CLOSE_END_SECONDS


def _variable(timestamps: Timestamps, fps: Fraction, *, shift: int = 0) -> Timeline:
    """The timeline at ``fps`` that duplicates and drops source frames as their timestamps require.

    A frame whose output frame is taken comes up to ``shift`` output frames later; without that it is dropped.
    """
    scale = timestamps.time_base * fps
    numerator, denominator = scale.as_integer_ratio()
    first = timestamps.times[0]
    indices = array("q")
    for time in timestamps.times:
        own = (2 * (time - first) * numerator + denominator) // (2 * denominator)
        indices.append(min(max(own, indices[-1] + 1), own + shift) if indices else own)
    steps = [after - before for before, after in pairwise(indices)]
    shown = len(indices) - steps.count(0)
    skipped = sum(step - 1 for step in steps if step > 1)
    is_regular = not steps.count(0) and 2 * skipped <= steps.count(1)
    length = indices[-1] + _last_duration(timestamps, scale)
    return Timeline(
        fps,
        length,
        timestamps.times[0],
        timestamps.times[-1],
        timestamps.time_base,
        indices,
        vfr=len(indices) > 1,
        dropped=len(indices) - shown,
        duplicated=length - shown,
        gaps=skipped if is_regular else 0,
    )
