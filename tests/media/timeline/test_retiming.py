"""Retiming: exact counts and positions at any factor and speed, with few frames in memory."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepack.media.timeline.retiming import Retiming, retime

FACTORS = st.sampled_from([1, 2, 4])
SPEEDS = st.floats(0.25, 4).map(lambda speed: round(speed, 3))
LENGTHS = st.integers(1, 120)


def moments(length: int, retiming: Retiming) -> list[Fraction]:
    """The source times, in frames, that the output shows."""
    return [pair.before + pair.fraction * (pair.after - pair.before) for pair in retime(range(length), retiming)]


@given(st.integers(1, 100_000), FACTORS, SPEEDS)
def test_length_is_rounded_to_the_nearest_frame(length: int, factor: int, speed: float) -> None:
    """N * factor / speed, halves rounded up, at least one; so durations are right to half an output frame."""
    retiming = Retiming.of(factor, speed)
    exact = length * factor / Fraction(str(speed))
    frames = retiming.length(length)
    assert frames == max(1, (2 * exact.numerator + exact.denominator) // (2 * exact.denominator))
    assert abs(frames - exact) <= Fraction(1, 2) or (frames, exact < Fraction(1, 2)) == (1, True)


@given(LENGTHS, FACTORS, SPEEDS)
def test_every_output_frame_shows_its_exact_position(length: int, factor: int, speed: float) -> None:
    """Output frame k shows source time k * speed / factor, and the last frame until the end."""
    retiming = Retiming.of(factor, speed)
    shown = moments(length, retiming)
    assert len(shown) == retiming.length(length)
    assert shown == [min(index * Fraction(str(speed)) / factor, length - 1) for index in range(len(shown))]


@given(LENGTHS, FACTORS, SPEEDS)
def test_positions_are_between_adjacent_frames(length: int, factor: int, speed: float) -> None:
    """A moment is between two successive frames, or a frame itself."""
    for pair in retime(range(length), Retiming.of(factor, speed)):
        assert 0 <= pair.fraction < 1
        assert pair.after - pair.before == (0 if pair.is_source_frame else 1)


@pytest.mark.parametrize(
    ("factor", "speed", "expected"),
    [(1, 1.0, 10), (2, 1.0, 20), (4, 1.0, 40), (1, 0.5, 20), (2, 0.5, 40), (4, 0.25, 160), (1, 2.0, 5), (1, 4.0, 3)],
)
def test_lengths_of_common_settings(factor: int, speed: float, expected: int) -> None:
    """10 frames become 10 * factor / speed; 2.5 is rounded up."""
    assert Retiming.of(factor, speed).length(10) == expected


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), Fraction(24), Fraction(24000, 1001), Fraction(25)])
def test_fps_is_exact(fps: Fraction) -> None:
    """30000/1001 becomes 60000/1001 and 120000/1001; the speed does not change the rate."""
    assert [Retiming.of(factor, 0.7).fps(fps) for factor in (1, 2, 4)] == [fps, 2 * fps, 4 * fps]


@given(LENGTHS, FACTORS, SPEEDS)
def test_seconds_scale_with_the_speed(length: int, factor: int, speed: float) -> None:
    """What happens at second s of the source happens at second s / speed of the result, exactly."""
    retiming, fps = Retiming.of(factor, speed), Fraction(30000, 1001)
    for index, moment in enumerate(moments(length, retiming)):
        if moment < length - 1:
            assert moment / fps == index / retiming.fps(fps) * Fraction(str(speed))


@given(LENGTHS, FACTORS, st.floats(0.25, 0.99).map(lambda speed: round(speed, 3)))
def test_slow_motion_duplicates_no_frame(length: int, factor: int, speed: float) -> None:
    """No two output frames show the same position, except those after the last source frame."""
    shown = moments(length, Retiming.of(factor, speed))
    assert all(before < after for before, after in pairwise(shown) if after < length - 1)
    assert shown.count(Fraction(length - 1)) <= factor / speed + 1


def test_integer_speeds_drop_frames_without_interpolation() -> None:
    """At double and fourfold speed every second and fourth frame is shown, and nothing needs to be drawn."""
    for speed in (1, 2, 3, 4):
        retiming = Retiming.of(1, speed)
        assert moments(11, retiming) == list(range(0, 12 - (speed + 1) // 2, speed))[: retiming.length(11)]
        assert not retiming.needs_interpolation
        assert all(pair.is_source_frame for pair in retime(range(11), retiming))


def test_needs_interpolation_and_is_identity() -> None:
    """Without a factor, and where timelines fall on source frames alone, there is none; only one changes nothing."""
    free = {(2, 2.0), (2, 4.0), (4, 4.0)}
    for factor in (1, 2, 4):
        for speed in (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0):
            retiming = Retiming.of(factor, speed)
            assert retiming.needs_interpolation == (factor > 1 and (factor, speed) not in free)
            assert retiming.is_identity == ((factor, speed) == (1, 1.0))


def test_decimal_speeds_are_exact() -> None:
    """0.1 steps do not accumulate an error of binary numbers."""
    assert Retiming.of(1, 0.7).speed == Fraction(7, 10)
    assert Retiming.of(1, 0.7).length(70_000_007) == 100_000_010


class Thing:
    """Something that can be counted."""


@pytest.mark.parametrize(("factor", "speed"), [(2, 1.0), (4, 0.25), (1, 1.7), (1, 3.9), (1, 4)])
def test_few_frames_are_kept_in_memory(factor: int, speed: float) -> None:
    """However long the clip, only the frames of the current and the next pair are in memory."""
    alive: weakref.WeakSet[Thing] = weakref.WeakSet()
    highest = 0

    def things() -> Iterator[Thing]:
        nonlocal highest
        for _ in range(50):
            thing = Thing()
            alive.add(thing)
            highest = max(highest, len(alive))
            yield thing
            del thing

    count = sum(1 for _ in retime(things(), Retiming.of(factor, speed)))
    assert count == Retiming.of(factor, speed).length(50)
    assert 2 <= highest <= 5


def test_retime_closes_its_source() -> None:
    """Stopping early, and coming to the end, close the iterator of source frames."""
    closed = []

    def numbers() -> Iterator[int]:
        try:
            yield from range(9)
        finally:
            closed.append(True)

    pairs = retime(numbers(), Retiming.of(2, 1))
    next(pairs)
    pairs.close()
    assert closed == [True]
    assert len(list(retime(numbers(), Retiming.of(2, 1)))) == 18
    assert closed == [True, True]


def test_no_frames_give_no_output() -> None:
    """No frames give no frames."""
    assert list(retime([], Retiming.of(4, 0.25))) == []


def test_a_pair_without_mixing_shows_the_frame_of_that_moment() -> None:
    """The former frame stays until the time of the latter."""
    pairs = [pair.without_mixing() for pair in retime([0, 1], Retiming.of(4, 1.0))]
    assert [pair.before for pair in pairs] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert all(pair.is_source_frame for pair in pairs)
