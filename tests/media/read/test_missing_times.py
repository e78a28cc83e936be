"""Times of frames whose packets have none."""

from __future__ import annotations

from fractions import Fraction

from framepack.media.read.frame_order import NO_TIME
from framepack.media.read.missing_times import with_all_times

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


def test_a_pause_between_known_times_is_spread_only_there() -> None:
    """Frames beside it keep their times."""
    assert filled([1, NO, 3, 13, NO, 15], [0, NO, 2, 12, NO, 14]) == [1, 2, 3, 13, 14, 15]


def test_without_any_known_interval_nothing_is_invented() -> None:
    """One time and no duration; no decoding time at all."""
    assert filled([1, NO, NO], [0, NO, NO], usual=0) == [1, NO, NO]
    assert filled([1, NO, NO], [NO, NO, NO]) == [1, NO, NO]
