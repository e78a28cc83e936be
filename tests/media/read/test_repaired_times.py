"""Times of frames whose packets have none, or wrong ones."""

from __future__ import annotations

from fractions import Fraction

import pytest

from framepack.media.read.frame_order import NO_TIME
from framepack.media.read.repaired_times import with_all_times, with_leading_frames, without_misplaced_stretches

FRAME = 3600
NO = NO_TIME
SHOWN = [1, 4, 2, 3, 7, 5, 6, 8]
"""Ranks of frames in order of decoding, counted from 1, which is the delay."""


def filled(
    times: list[int], decoding_times: list[int], keys: tuple[int, ...] = (0,), usual: int = FRAME
) -> list[int]:
    """The times of frames in units of one frame."""
    are_keys = [number in keys for number in range(len(times))]
    result = with_all_times(
        [time if time == NO else FRAME * time for time in times],
        [time if time == NO else FRAME * time for time in decoding_times],
        are_keys,
        Fraction(usual),
    )
    return [time if time == NO else time // FRAME for time in result]


def test_times_that_are_all_there_stay() -> None:
    """Also if decoding times are missing or wrong."""
    assert filled(SHOWN, [NO] * 8) == SHOWN


def test_frames_get_decoding_times_and_the_delay_of_a_key_frame() -> None:
    """Whichever frames have times, in all they are those at which frames are shown."""
    for known in (range(0, 8, 2), (0, 1), (0, 7), (0,), (0, 3, 4)):
        times = [time if number in known else NO for number, time in enumerate(SHOWN)]
        decoding = [number if number in known else NO for number in range(8)]
        assert filled(times, decoding) == list(range(1, 9))


def test_frames_before_the_first_known_time_come_earlier() -> None:
    """Three frames without times before a key frame that has one."""
    assert filled([NO, NO, NO, 4, NO], [NO, NO, NO, 3, NO], (0, 3)) == [1, 2, 3, 4, 5]


def test_a_time_that_was_given_to_the_frame_before_does_not_count() -> None:
    """FFmpeg does this where packets of a program stream begin within a frame."""
    assert filled([1, NO, 4, 4, NO, 6], [0, NO, 3, 3, NO, 5]) == [1, 2, 3, 4, 5, 6]


def test_two_frames_with_the_only_other_time_are_a_frame_apart() -> None:
    """The first of them has the time of the second; all between are at the usual interval."""
    decoding = [0, *[NO] * 8, 10, 10, NO]
    assert filled([1, *[NO] * 11], decoding) == list(range(1, 13))


def test_a_pause_between_known_times_is_spread_only_there() -> None:
    """Frames beside it keep their times."""
    assert filled([1, NO, 3, 13, NO, 15], [0, NO, 2, 12, NO, 14]) == [1, 2, 3, 13, 14, 15]


def test_without_any_known_interval_nothing_is_invented() -> None:
    """One time and no duration; no decoding time at all."""
    assert filled([1, NO, NO], [0, NO, NO], usual=0) == [1, NO, NO]
    assert filled([1, NO, NO], [NO, NO, NO]) == [1, NO, NO]


@pytest.mark.parametrize("tick", [0, 1])
def test_frames_with_the_time_of_the_first_key_frame_come_before_it(tick: int) -> None:
    """FFmpeg gives frames that are shown before the cut the time of the key frame, or the next free ones."""
    rest = [4 * FRAME, 2 * FRAME, 3 * FRAME, 7 * FRAME, 5 * FRAME, 6 * FRAME]
    times = [FRAME, FRAME + tick, FRAME + 2 * tick, *rest]
    assert with_leading_frames(times) == [FRAME, -FRAME, 0, *rest]


@pytest.mark.parametrize(
    "times",
    [
        [0, 0, 2, 2, 4, 4, 6, 6],
        [0, 0, 40, 80, 120, 160],
        [0, 1, 3, 2, 5, 4, 7],
        [0, 90, 30, 60, 180, 120, 150],
        [5, 5, 5],
        [0, 0, NO, 90, 60],
    ],
)
def test_other_times_at_the_beginning_stay(times: list[int]) -> None:
    """Doubled times, a burst without B-frames, frames one tick apart, usual B-frames, equal and missing times."""
    assert with_leading_frames(times) == times


def placed(frames: list[float]) -> list[float]:
    """The repaired times of frames at 30000/1001 per second, in units of one frame."""
    times = [round(3003 * frame) for frame in frames]
    return [time / 3003 for time in without_misplaced_stretches(times, Fraction(3003))]


def test_frames_that_are_misplaced_for_a_while_are_put_back() -> None:
    """As FFmpeg reads program streams: late after a hole, early after doubled times, and with B-frames."""
    assert placed([0, 1, 2, 4, 5, 6, 6, 7]) == list(range(8))
    assert placed([0, 1, 2, 2, 3, 3, 4, 5, 8, 9]) == list(range(10))
    assert placed([0, 4, 1, 2, 6, 5, 6, 9, 7, 8]) == [0, 3, 1, 2, 5, 4, 6, 9, 7, 8]
    assert placed([0, 1, 2, 2, 3, 3, 4, 5]) == list(range(8))


@pytest.mark.parametrize(
    "frames",
    [
        [0, 1, 2, 4, 5, 6, 7],  # a frame is missing
        [0, 1, 2, 9, 10, 10, 10, 10, 10, 10, 10],  # much too late
    ],
)
def test_frames_that_do_not_come_back_to_their_places_stay(frames: list[float]) -> None:
    """What is missing or too many moves all that follow."""
    assert placed(frames) == [round(3003 * frame) / 3003 for frame in frames]


def test_frames_of_an_unknown_rate_stay() -> None:
    """No duration, or another one than that of most frames."""
    times = [0, 10, 20, 40, 50, 50, 60]
    for duration in (0, 20):
        assert without_misplaced_stretches(times, Fraction(duration)) == times
