"""When which source frame is shown: the timeline of a clip at another frame rate and another speed, in exact numbers.

Output frame ``k`` shows the source at ``k * speed / factor`` source frames from its first one. It is shown if the
middle of its time lies within the clip, so a clip of N frames becomes N * factor / speed frames, halves rounded up,
and its duration is right to half an output frame. Moments behind the last source frame show that frame.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_HALF: Final = Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class Retiming:
    """What happens to a clip's time.

    Attributes:
        factor: How many times as many frames per second the result has.
        speed: How many times as fast it plays.
    """

    factor: int = 1
    speed: Fraction = Fraction(1)

    @classmethod
    def of(cls, factor: int, speed_factor: float) -> Retiming:
        """Take the speed for the decimal number that was asked for, not for its neighbor in binary."""
        return cls(factor, Fraction(str(speed_factor)))

    @property
    def step(self) -> Fraction:
        """Source frames from one output frame to the next."""
        return self.speed / self.factor

    @property
    def changes_nothing(self) -> bool:
        """Whether the result is the source."""
        return self.factor == 1 and self.speed == 1

    @property
    def needs_new_frames(self) -> bool:
        """Whether moments between source frames are shown."""
        return self.step.denominator > 1

    def fps(self, fps: Fraction) -> Fraction:
        """Frames per second of the result."""
        return fps * self.factor

    def length(self, length: int) -> int:
        """Number of frames of the result, at least 1, for a source of ``length`` frames."""
        return max(1, math.floor(length / self.step + _HALF))


@dataclass(frozen=True, slots=True)
class Shot(Generic[T]):
    """What one output frame shows: the moment ``fraction`` (0 up to but not 1) of the way between two frames."""

    before: T
    after: T
    fraction: Fraction

    @property
    def is_still(self) -> bool:
        """Whether that is exactly the frame ``before``."""
        return not self.fraction or self.before is self.after

    def held(self) -> Shot[T]:
        """The nearer one of the two frames in place of the moment between them."""
        nearest = self.before if self.fraction <= _HALF else self.after
        return Shot(nearest, nearest, Fraction(0))


def retimed(frames: Iterable[T], retiming: Retiming) -> Generator[Shot[T]]:
    """Lay out source frames anew, in one pass.

    No more than two of them are held at a time, three at more than double speed. An iterator that can be closed is
    closed at the end.

    Yields:
        As many shots as ``retiming.length`` says.
    """
    window: deque[T] = deque()
    count = shown = 0
    step = retiming.step
    try:
        for frame in frames:
            window.append(frame)
            count += 1
            while math.ceil(shown * step) < count and _is_within(shown, step, count):
                index, fraction = divmod(shown * step, 1)
                _drop(window, count, index)
                yield Shot(window[0], window[1] if fraction else window[0], fraction)
                shown += 1
            _drop(window, count, math.floor(shown * step))
        while count and _is_within(shown, step, count):
            yield Shot(window[-1], window[-1], Fraction(0))
            shown += 1
    finally:
        close = getattr(frames, "close", None)
        if close is not None:
            close()


def _is_within(shown: int, step: Fraction, count: int) -> bool:
    """Whether the middle of output frame ``shown`` lies within ``count`` source frames; the first is always shown."""
    return not shown or (shown + _HALF) * step <= count


def _drop(window: deque[T], count: int, index: int) -> None:
    """Forget the frames before number ``index``, but not the last of the ``count`` so far: the end may show it."""
    while len(window) > count - min(index, count - 1):
        window.popleft()
