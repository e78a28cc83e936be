"""Retiming: which source frames a clip shows at another frame rate and another speed, in exact arithmetic.

Output frame ``k`` shows the source at position ``k * speed / factor``, counted in source frames. An output frame is
made if the middle of its duration lies within the clip. So a clip of N frames becomes N * factor / speed frames,
halves rounded up, and its duration is exact to half an output frame. Positions after the last source frame show that
frame.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Generic, TypeVar

from framepack.closing import closing

T = TypeVar("T")

_HALF: Final = Fraction(1, 2)
_MOST_NEEDED: Final = 9  # source frames


@dataclass(frozen=True, slots=True)
class Retiming:
    """A change of frame rate and speed.

    Attributes:
        factor: Frame rate of the result divided by that of the source.
        speed: How many times as fast the result plays.
    """

    factor: int = 1
    speed: Fraction = Fraction(1)

    @classmethod
    def of(cls, factor: int, speed_factor: float) -> Retiming:
        """Create a retiming whose speed is exactly the requested decimal number, not its binary approximation."""
        return cls(factor, Fraction(str(speed_factor)))

    @property
    def step(self) -> Fraction:
        """Source frames from one output frame to the next."""
        return self.speed / self.factor

    @property
    def is_identity(self) -> bool:
        """Whether the result equals the source."""
        return self.factor == 1 and self.speed == 1

    @property
    def needs_interpolation(self) -> bool:
        """Whether frames between source frames are shown; without a factor source frames are."""
        return self.factor > 1 and self.step.denominator > 1

    def fps(self, fps: Fraction) -> Fraction:
        """Frames per second of the result."""
        return fps * self.factor

    def length(self, length: int) -> int:
        """Number of frames of the result, at least 1, for a source of ``length`` frames."""
        return max(1, math.floor(length / self.step + _HALF))


@dataclass(frozen=True, slots=True)
class FramePair(Generic[T]):
    """What one output frame shows: the position ``fraction`` (from 0, below 1) between two source frames."""

    before: T
    after: T
    fraction: Fraction

    @property
    def is_source_frame(self) -> bool:
        """Whether it shows exactly the frame ``before``."""
        return not self.fraction or self.before is self.after

    def without_mixing(self) -> FramePair[T]:
        """The pair that shows the source frame of that moment, not a position between two."""
        return FramePair(self.before, self.before, Fraction(0))


def retime(frames: Iterable[T], retiming: Retiming) -> Generator[FramePair[T]]:
    """Find the source frames of every output frame, in one pass.

    At most two source frames are kept in memory, three above double speed. The iterator is closed at the end.

    Yields:
        One pair for each output frame, ``retiming.length`` in total.
    """
    window: deque[T] = deque()
    count = shown = 0
    step = retiming.step
    with closing(frames):
        for frame in frames:
            window.append(frame)
            count += 1
            while math.ceil(shown * step) < count and _is_within(shown, step, count):
                index, fraction = divmod(shown * step, 1)
                _drop(window, count, index)
                yield FramePair(window[0], window[1] if fraction else window[0], fraction)
                shown += 1
            _drop(window, count, math.floor(shown * step))
        while count and _is_within(shown, step, count):
            yield FramePair(window[-1], window[-1], Fraction(0))
            shown += 1


def _is_within(shown: int, step: Fraction, count: int) -> bool:
    """Whether the middle of output frame ``shown`` lies within ``count`` source frames; the first is always made."""
    return not shown or (shown + _HALF) * step <= count


def _drop(window: deque[T], count: int, index: int) -> None:
    """Drop frames before number ``index``, but not the last of the ``count`` so far: the end may show it."""
    while len(window) > count - min(index, count - 1):
        window.popleft()


@dataclass(frozen=True, slots=True)
class FramePosition:
    """What one frame of a retimed clip shows.

    Attributes:
        position: The moment, counted in source frames.
        is_between: Whether the frame is computed from two others.
    """

    position: Fraction
    is_between: bool = False


def frame_positions(count: int, retimings: Iterable[Retiming]) -> list[FramePosition]:
    """What the frames of a clip of ``count`` frames show after some retimings in a row."""
    shown = [FramePosition(Fraction(index)) for index in range(count)]
    for retiming in retimings:
        pairs = retime(iter(shown), retiming)
        shown = [_position_of(pair) if retiming.needs_interpolation else pair.before for pair in pairs]
    return shown


def in_between(retimings: Sequence[Retiming], available: int) -> tuple[int, int, FramePosition]:
    """Find a frame that is computed between two source frames, as near to their middle as there is one.

    Args:
        retimings: The changes of the clip, in their order.
        available: Number of its frames.

    Returns:
        How many source frames are needed, the number of the frame among those made of them, and what it shows. Where
        nothing is computed between frames, these are the first source frame and itself.
    """
    for count in range(2, min(available, _MOST_NEEDED) + 1):
        found = [(index, each) for index, each in enumerate(frame_positions(count, retimings)) if each.is_between]
        if found:
            middle = math.floor(found[0][1].position) + _HALF
            index, place = min(found, key=lambda each: (abs(each[1].position - middle), each[0]))
            return count, index, place
    return 1, 0, FramePosition(Fraction(0))


def _position_of(pair: FramePair[FramePosition]) -> FramePosition:
    if pair.is_source_frame:
        return pair.before
    before, after = pair.before.position, pair.after.position
    return FramePosition(before + pair.fraction * (after - before), is_between=True)
