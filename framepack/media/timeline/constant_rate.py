"""From a file's timestamps to frames at a constant rate, without drift however long the file is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Final

from framepack.errors import InvalidMedia

MIN_FPS: Final = Fraction(1, 10)
MAX_FPS: Final = Fraction(240)

_HIGHEST_BASE_RATE: Final = 60
_FALLBACK_FPS: Final = Fraction(25)
_NTSC: Final = Fraction(1000, 1001)
_USUAL_RATES: Final = tuple(
    sorted(
        [
            Fraction(fps)
            for fps in (1, 2, 5, 8, 10, 12, 15, 16, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 144, 200, 240)
        ]
        + [fps * _NTSC for fps in (24, 30, 48, 60, 120, 240)]
    )
)
_NEAR: Final = Fraction(1, 200)
_ANY_JITTER: Final = Fraction(1)
_LITTLE_JITTER: Final = Fraction(2, 5)
_NEARLY: Final = Fraction(98, 100)  # times are rounded, to milliseconds for example


@dataclass(frozen=True, slots=True)
class Timestamps:
    """Presentation times of a stream's frames, sorted, in units of ``time_base`` seconds.

    ``last_duration`` is how long the last frame stays, 0 if nobody says. ``times`` is empty if frames carry no times.
    """

    times: Sequence[int]
    time_base: Fraction
    last_duration: int = 0

    @property
    def average_rate(self) -> Fraction | None:
        """Frames per second between the first and the last, or None where that says nothing."""
        if len(self.times) < 2 or self.times[-1] == self.times[0]:  # noqa: PLR2004 - an interval needs two ends
            return None
        return Fraction(len(self.times) - 1) / ((self.times[-1] - self.times[0]) * self.time_base)


@dataclass(frozen=True, slots=True)
class Timeline:
    """Slots of equal length; each shows the frame that is on screen at that time.

    Attributes:
        fps: Exact slots per second.
        length: Number of slots.
        start: Timestamp of the first slot, or None if frames carry no usable times and simply follow each other.
        latest: Timestamp of the last frame, or None likewise.
        time_base: Seconds per unit of a timestamp.
        vfr: Whether the source's frames do not fall one into each slot.
        dropped: Frames that share a slot with a later one.
        repeated: Slots that show the same frame as the slot before.
        gaps: Slots without a frame of their own amid frames that otherwise come regularly.
    """

    fps: Fraction
    length: int
    start: int | None
    latest: int | None
    time_base: Fraction
    vfr: bool = False
    dropped: int = 0
    repeated: int = 0
    gaps: int = 0

    def slot(self, timestamp: int) -> int:
        """Number of the slot that begins nearest to ``timestamp``."""
        return _slot(timestamp - (self.start or 0), self.time_base * self.fps)

    def timestamp(self, slot: int) -> int | None:
        """When a slot begins; None if frames carry no usable times."""
        return None if self.start is None else self.start + int(slot / (self.fps * self.time_base))


def build_timeline(frame_count: int, timestamps: Timestamps, header_rates: Iterable[Fraction | None]) -> Timeline:
    """Choose the rate at which a stream is shown.

    If some plausible rate gives every frame a slot of its own, in order and without gaps, the stream counts as
    constant and keeps all its frames. Otherwise each frame is held until the next one's time, at the base rate if
    that is 60 at most and gives every frame a slot. Failing that, frames that merely tremble still count as
    constant, and for the rest a usual rate is taken that is fine enough.

    Args:
        frame_count: Number of frames, at least 1.
        timestamps: Their times.
        header_rates: What the container says: the base rate (the lowest that fits all times), then the average.

    Raises:
        InvalidMedia: The rate is outside of ``MIN_FPS`` to ``MAX_FPS``.
    """
    rates = [rate for rate in header_rates if rate]
    average = timestamps.average_rate
    if average is None:
        return _without_average(frame_count, timestamps, rates)
    _checked(average)
    base = rates[0] if rates and average <= rates[0] <= _HIGHEST_BASE_RATE else None
    near = list(_near_rates(rates, average))
    steady = _constant(timestamps, rates[:1], _ANY_JITTER) or _constant(timestamps, near, _LITTLE_JITTER)
    if steady is not None:
        return steady
    if base is not None:
        held = _variable(timestamps, base)
        if not held.dropped:
            return held
    return _constant(timestamps, near, _ANY_JITTER) or _variable(timestamps, base or _fine_rate(timestamps, average))


def _slot(ticks: int, slots_per_tick: Fraction) -> int:
    numerator, denominator = slots_per_tick.as_integer_ratio()
    return (2 * ticks * numerator + denominator) // (2 * denominator)


def _without_average(frame_count: int, timestamps: Timestamps, rates: list[Fraction]) -> Timeline:
    """Frames that follow each other at the header's rate, or a single one that stays as long as it says."""
    sane = next((rate for rate in rates if MIN_FPS <= rate <= MAX_FPS), None)
    if frame_count == 1 and timestamps.times and sane is None:
        return _variable(timestamps, _FALLBACK_FPS)
    fps = _checked(sane or next(iter(rates), _FALLBACK_FPS))
    start = timestamps.times[0] if frame_count == 1 and timestamps.times else None
    return Timeline(fps, frame_count, start, start, timestamps.time_base)


def _checked(fps: Fraction) -> Fraction:
    if not MIN_FPS <= fps <= MAX_FPS:
        raise InvalidMedia(f"The video's frame rate is {float(fps):g} per second; 0.1 to 240 is allowed.")
    return fps


def _near_rates(rates: list[Fraction], average: Fraction) -> Iterator[Fraction]:
    """Rates that may be meant by times of this average."""
    yield from rates[1:]
    near = [rate for rate in _USUAL_RATES if abs(rate - average) <= average * _NEAR]
    yield from sorted(near, key=lambda rate: abs(rate - average))
    yield average.limit_denominator(1001)


def _constant(timestamps: Timestamps, rates: Iterable[Fraction], jitter: Fraction) -> Timeline | None:
    """The timeline at the first rate that gives each frame the slot of its own number, or None.

    ``jitter`` is how far apart the frames' offsets from their slots may be, in slots, at most 1.
    """
    first = timestamps.times[0]
    for fps in rates:
        scale = timestamps.time_base * fps
        numerator, denominator = scale.as_integer_ratio()
        offsets = [(time - first) * numerator - index * denominator for index, time in enumerate(timestamps.times)]
        least, most = min(offsets), max(offsets)
        if not MIN_FPS <= fps <= MAX_FPS or most - least > jitter * denominator:
            continue
        start = first + round(Fraction(least + most, 2 * numerator))
        if all(_slot(time - start, scale) == index for index, time in enumerate(timestamps.times)):
            return Timeline(fps, len(timestamps.times), start, timestamps.times[-1], timestamps.time_base)
    return None


def _fine_rate(timestamps: Timestamps, average: Fraction) -> Fraction:
    """A usual rate, 60 if possible at most, that gives nearly all frames a slot of their own."""
    intervals = sorted(after - before for before, after in pairwise(timestamps.times) if after > before)
    finest = 1 / (intervals[len(intervals) // 10] * timestamps.time_base)
    wanted = max(average, min(finest * _NEARLY, Fraction(_HIGHEST_BASE_RATE)))
    return next((rate for rate in _USUAL_RATES if rate >= wanted), MAX_FPS)


def _variable(timestamps: Timestamps, fps: Fraction) -> Timeline:
    scale = timestamps.time_base * fps
    slots = [_slot(time - timestamps.times[0], scale) for time in timestamps.times]
    steps = [after - before for before, after in pairwise(slots)]
    shown = len(slots) - steps.count(0)
    skipped = sum(step - 1 for step in steps if step > 1)
    is_regular = not steps.count(0) and 2 * skipped <= steps.count(1)
    length = slots[-1] + max(1, _slot(timestamps.last_duration, scale))
    return Timeline(
        fps,
        length,
        timestamps.times[0],
        timestamps.times[-1],
        timestamps.time_base,
        vfr=True,
        dropped=len(slots) - shown,
        repeated=length - shown,
        gaps=skipped if is_regular else 0,
    )
