"""Conversion of timestamps to a constant frame rate: exact, without drift."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from framepack.errors import InvalidMedia
from framepack.media.timeline.constant_rate import Timeline, Timestamps, build_timeline, longer_end

NTSC = Fraction(30000, 1001)
MILLISECOND = Fraction(1, 1000)
RATES = [Fraction(24000, 1001), Fraction(24), Fraction(25), NTSC, Fraction(30), Fraction(50), Fraction(60000, 1001)]


def build(
    times: list[int], time_base: Fraction, *header: Fraction | None, last: int = 0, max_frames: int = 10**9
) -> Timeline:
    """The timeline of frames at these times, the last of which lasts exactly so long."""
    timestamps = Timestamps(times, time_base, last, is_end_exact=True)
    return build_timeline(len(times), timestamps, header, max_frames)


@pytest.mark.parametrize("rate", [*RATES, Fraction(1, 2), Fraction(240), Fraction(12)])
@pytest.mark.parametrize("time_base", [MILLISECOND, Fraction(1, 90000), Fraction(1, 12800)])
def test_constant_rates_keep_every_frame(rate: Fraction, time_base: Fraction) -> None:
    """Minutes of rounded times at a constant rate map one to one, at the exact rate."""
    count = round(min(Fraction(600), 12_000 / rate) * rate)
    times = [round(index / rate / time_base) + 77 for index in range(count)]
    timeline = build(times, time_base, rate, rate)
    assert (timeline.fps, timeline.length, timeline.vfr) == (rate, count, False)
    assert list(timeline.indices) == list(range(count))


def test_the_true_rate_wins_over_a_wrong_header() -> None:
    """A header that says 50 or 90000 does not stretch a clip of 25."""
    times = [index * 40 for index in range(100)]
    for wrong in (Fraction(50), Fraction(90000), Fraction(1, 1000), None):
        assert build(times, MILLISECOND, wrong, None).fps == 25


@pytest.mark.parametrize(
    ("rounded", "exact"),
    [(Fraction(19001, 317), Fraction(60000, 1001)), (Fraction(29011, 242), Fraction(120000, 1001))],
)
def test_a_common_rate_wins_over_the_rounded_one_of_the_header(rounded: Fraction, exact: Fraction) -> None:
    """59.94 and 119.88 frames per second in MKV, whose header has nanoseconds and whose times are milliseconds."""
    times = [round(1000 * index / exact) for index in range(240)]
    assert build(times, Fraction(1, 1000), rounded, rounded).fps == exact


def test_a_rate_near_a_common_one_stays_where_times_tell_them_apart() -> None:
    """In a long file times tell rates apart that differ by a millionth."""
    rate = Fraction(25) * Fraction(1_000_003, 1_000_000)
    times = [round(90_000 * index / rate) for index in range(20_000)]
    assert build(times, Fraction(1, 90_000), rate, rate).fps == rate


def test_a_jittery_constant_rate_is_constant() -> None:
    """Times that tremble by less than half a frame neither drop nor repeat frames."""
    times = [round(1000 * index / 30) + (index * 7919 % 23) - 11 for index in range(900)]
    timeline = build(sorted(times), MILLISECOND, Fraction(1000), Fraction(2997, 100))
    assert (timeline.length, timeline.vfr, timeline.dropped, timeline.duplicated) == (900, False, 0, 0)
    assert abs(timeline.fps - 30) < Fraction(1, 20)


def test_long_frames_are_duplicated_until_the_next() -> None:
    """In screen recordings frames last long: at 30 fps, a frame of 0.2 s becomes six."""
    times = [0, 33, 67, 100, 300, 333, 400]
    timeline = build(times, MILLISECOND, Fraction(30), Fraction(15), last=33)
    assert list(timeline.indices) == [0, 1, 2, 3, 9, 10, 12]
    assert timeline == Timeline(Fraction(30), 13, 0, 400, MILLISECOND, vfr=True, dropped=0, duplicated=6, gaps=0)


def test_gaps_among_regular_frames_are_counted() -> None:
    """Where nearly all frames come regularly, missing ones stand out."""
    times = [40 * index for index in range(100) if index not in {20, 21, 60}]
    timeline = build(times, MILLISECOND, Fraction(25), Fraction(97, 4), last=40)
    assert (timeline.length, timeline.gaps, timeline.duplicated) == (100, 3, 3)


def test_a_useless_base_rate_is_replaced_by_a_common_rate() -> None:
    """Bursts of 30 a second with long pauses, timed in milliseconds: the bursts keep all their frames."""
    times = [0, 33, 67, 100, 2000, 2033, 2067, 5000]
    timeline = build(times, MILLISECOND, Fraction(1000), Fraction(8, 5))
    assert (timeline.fps, timeline.dropped) == (NTSC, 0)
    assert list(timeline.indices) == [0, 1, 2, 3, 60, 61, 62, 150]


@pytest.mark.parametrize(
    ("delays", "base", "fps"),
    [([1000] * 3 + [1500] * 3, 1, 2), ([200] * 4 + [300] * 3, 5, 10), ([300, 200, 200], 5, 10)],
)
def test_a_base_rate_that_shows_frames_off_their_times_is_raised(delays: list[int], base: int, fps: int) -> None:
    """Frames between the slots of the header's rate get a rate at which they are within 10 ms."""
    times = list(accumulate(delays, initial=0))
    timeline = build(times, MILLISECOND, Fraction(base), Fraction(base), last=delays[-1])
    assert (timeline.fps, timeline.off_seconds) == (Fraction(fps), Fraction(0))
    assert [1000 * index / timeline.fps for index in timeline.indices] == times
    assert timeline.length / timeline.fps == Fraction(times[-1] + delays[-1], 1000)


def test_a_base_rate_is_kept_if_a_higher_one_has_too_many_frames() -> None:
    """A long recording is not refused for half a second, but says by how much its frames are off."""
    times = list(accumulate([1000] * 3 + [1500] * 3, initial=0))
    timeline = build(times, MILLISECOND, Fraction(1), Fraction(1), last=1500, max_frames=16)
    assert (timeline.fps, timeline.off_seconds) == (Fraction(1), Fraction(1, 2))


def test_a_regular_rate_with_gaps_may_tremble() -> None:
    """25 a second with a gap, off by up to 15 ms as from cameras, stays at 25."""
    times = [40 * index + index * 7 % 16 for index in range(100) if index != 50]
    assert build(times, MILLISECOND, Fraction(25), Fraction(25), last=40).fps == 25


@pytest.mark.parametrize(
    ("interval", "last", "fps"),
    [(1000, 100, 10), (500, 100, 10), (150, 50, 20), (1000, 1400, 5), (100, 60, 10), (40, 1, 25)],
)
def test_the_last_frame_ends_in_time_at_slow_rates(interval: int, last: int, fps: int) -> None:
    """At a multiple of the rate, all frames stay regular; up to 50 ms are not worth it."""
    times = [interval * index for index in range(6)]
    timeline = build(times, MILLISECOND, Fraction(1000, interval), last=last)
    assert timeline.fps == fps
    assert [1000 * index / timeline.fps for index in timeline.indices] == times
    assert abs(timeline.length / timeline.fps - Fraction(times[-1] + last, 1000)) <= Fraction(1, 20)


def test_the_last_frame_is_longer_if_a_multiple_of_the_rate_has_too_many_frames() -> None:
    """The rate stays, and it says by how much the end is off."""
    timeline = build([1000 * index for index in range(6)], MILLISECOND, Fraction(1), last=100, max_frames=6)
    assert (timeline.fps, timeline.length) == (Fraction(1), 6)
    assert timeline.off_seconds == Fraction(9, 10)


@pytest.mark.parametrize(
    ("interval", "last", "longer"), [(1000, 5, 995), (1000, 0, 0), (1000, 10, 0), (100, 1, 99), (50, 1, 0)]
)
def test_a_last_frame_that_is_too_short_to_show_is_longer(interval: int, last: int, longer: int) -> None:
    """By more than 50 ms is known; no duration at all means that it is unknown."""
    times = [interval * index for index in range(6)]
    timestamps = Timestamps(times, MILLISECOND, last, is_end_exact=True)
    timeline = build_timeline(6, timestamps, [Fraction(1000, interval)])
    assert longer_end(timeline, timestamps) == Fraction(longer, 1000)


def test_a_duration_that_is_one_for_all_frames_does_not_end_the_last_one() -> None:
    """Headers that say 25 a second for a slow recording do not raise its rate."""
    times = [1000 * index for index in range(6)]
    timeline = build_timeline(6, Timestamps(times, MILLISECOND, 40), [Fraction(1)])
    assert (timeline.fps, timeline.length) == (Fraction(1), 6)


def test_frames_too_close_for_the_rate_are_dropped_and_counted() -> None:
    """A variable rate becomes 60 fps at most: of frames a millisecond apart two are shown, one after the other."""
    times = [0, 1, 2, 500, 501, 1000, 1500, 2000]
    timeline = build(times, MILLISECOND, Fraction(1000), Fraction(4))
    assert timeline.fps == 60
    assert list(timeline.indices) == [0, 1, 1, 30, 31, 60, 90, 120]
    assert (timeline.dropped, timeline.length) == (1, 121)


@given(
    st.lists(st.integers(1, 400), min_size=2, max_size=300),
    st.sampled_from(RATES),
    st.integers(-(10**9), 10**9),
)
def test_timestamps_do_not_drift(deltas: list[int], base: Fraction, start: int) -> None:
    """For any timestamps, every frame is within half an output frame of its time.

    It is within one if the start jitters, or within one and a half if the frame makes way for another.
    """
    times = list(accumulate(deltas, initial=start))
    average = Timestamps(times, MILLISECOND).average_rate
    assume(average is not None and average <= 240)
    timeline = build(times, MILLISECOND, base, average, last=deltas[-1])
    for time, index in zip(times, timeline.indices, strict=True):
        shown = index / timeline.fps
        off = abs(shown - (time - start) * MILLISECOND) * timeline.fps
        assert off <= (1 if not timeline.vfr else Fraction(3, 2) if min(deltas) < 17 else Fraction(1, 2))
    assert timeline.length > timeline.indices[-1]
    assert timeline.dropped + timeline.length - timeline.duplicated == len(times)


@pytest.mark.parametrize("times", [[], [5] * 10])
def test_frames_without_timestamps_are_taken_one_by_one(times: list[int]) -> None:
    """With no timestamps, or ten equal ones, the rate of the header is used."""
    timeline = build_timeline(10, Timestamps(times, MILLISECOND), [None, Fraction(24)])
    assert timeline == Timeline(Fraction(24), 10, None, None, MILLISECOND)


def test_one_frame_without_any_rate_gets_25_fps() -> None:
    """A single frame has no rate; its duration is kept."""
    assert build_timeline(1, Timestamps([0], MILLISECOND), [None, None]).fps == 25
    still = build_timeline(1, Timestamps([7], MILLISECOND, 60_000), [Fraction(1, 60), None])
    assert (still.fps, still.length) == (Fraction(25), 1500)


@pytest.mark.parametrize(
    ("hundredths", "fps", "length"),
    [(20, 5, 1), (10, 10, 1), (15, 20, 3), (7, Fraction(100, 7), 1), (500, 1, 5), (2, 50, 1), (1, 100, 1)],
)
def test_one_frame_of_a_gif_is_no_more_frames_than_it_needs(hundredths: int, fps: Fraction, length: int) -> None:
    """The header's rate is the grid of the delays; the frame keeps its duration exactly."""
    timeline = build_timeline(1, Timestamps([0], Fraction(1, 100), hundredths), [Fraction(100)])
    assert (timeline.fps, timeline.length) == (fps, length)


@pytest.mark.parametrize("delta", [1, 4])
def test_rates_out_of_range_are_rejected(delta: int) -> None:
    """1000 or 250 frames a second are too many, and the sentence says what to do."""
    sentence = r"frame rate is [\d.]+ per second; 0.1 to 240 is allowed. Convert it to a rate in this range first\.$"
    with pytest.raises(InvalidMedia, match=sentence):
        build([delta * index for index in range(50)], MILLISECOND, Fraction(1000, delta))
    with pytest.raises(InvalidMedia):
        build_timeline(3, Timestamps([], MILLISECOND), [Fraction(1000, delta)])


def test_min_fps_and_max_fps_are_accepted() -> None:
    """0.1 and 240 frames a second are inside the bounds."""
    assert build([10_000 * index for index in range(5)], MILLISECOND, Fraction(1, 10)).fps == Fraction(1, 10)
    assert build(list(range(50)), Fraction(1, 240), Fraction(240)).fps == 240
