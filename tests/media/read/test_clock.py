"""Clocks of a file: which packets belong to one part, and how parts are shifted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import av
import pytest

from framepack.media.read.clock import Clocks

FRAME = 3600  # 25 fps in units of 1/90000 s


def followed(times: Sequence[int | None], container: str = "mpegts") -> tuple[Clocks, list[int]]:
    """The clocks after video packets of these decoding times, and the part of each packet."""
    clocks, parts = Clocks(container, 0), []
    for time in times:
        packet = av.Packet(b"data")
        packet.pts = packet.dts = time
        packet.time_base, packet.duration = Fraction(1, 90_000), FRAME
        parts.append(clocks.part(packet))
    return clocks, parts


def steady(count: int, start: int = 0) -> list[int]:
    """Times at 25 fps."""
    return [start + index * FRAME for index in range(count)]


def test_a_clock_that_starts_anew_begins_a_part() -> None:
    """Each restart is one jump, at the number of its first packet; the parts follow each other."""
    clocks, parts = followed(steady(50) + steady(50) + steady(50, 7_000_000))
    assert parts == [0] * 50 + [1] * 50 + [2] * 50
    second = Fraction(1)
    shifts = clocks.shifts([(0 * second, 2 * second), (0 * second, 2 * second), (77 * second, 79 * second)])
    assert shifts == [0, 2, 4 - 77]
    assert clocks.jumps_of(0, shifts) == ((50, Fraction(2)), (100, Fraction(-73)))
    assert clocks.jumps_of(1, shifts) == ()


def test_a_pause_is_no_jump_where_times_may_pause() -> None:
    """Only formats for streaming jump ahead; a few seconds are a pause everywhere."""
    hour = 3600 * 90_000
    assert followed(steady(5) + steady(5, hour), "matroska,webm")[0].jumps == 0
    assert followed(steady(5) + steady(5, 9 * 90_000))[0].jumps == 0
    assert followed(steady(5) + steady(5, hour))[0].jumps == 1


def test_a_single_wrong_time_is_no_jump() -> None:
    """Times go on as if the packet had none: it is named, and there is one part."""
    for wrong in (-900_000, 0, 90_000 * 3600):
        times = [*steady(30, 900_000), wrong, *steady(30, 900_000 + 31 * FRAME)]
        clocks, parts = followed(times)
        assert (clocks.jumps, clocks.wrong) == (0, {30})
        assert set(parts[:30] + parts[31:]) == {0}


def test_small_disorder_and_missing_times_are_no_jumps() -> None:
    """A tenth of a second back, and packets without times."""
    clocks, parts = followed([0, FRAME, None, 3 * FRAME, 2 * FRAME, None, 5 * FRAME])
    assert (clocks.jumps, clocks.wrong, set(parts)) == (0, set(), {0})


@dataclass
class PlacedPacket:
    """A packet of a stream at a place in the file."""

    stream_index: int
    dts: int
    pos: int | None
    time_base: Fraction = Fraction(1, 90_000)
    duration: int = FRAME
    is_discard: bool = False

    @property
    def pts(self) -> int:
        """The presentation time."""
        return self.dts


@pytest.mark.parametrize("places", [True, False])
def test_a_stream_that_begins_with_a_new_part_belongs_to_it(*, places: bool) -> None:
    """Also if its first packets are read before the video has jumped, by their places or else by their times."""
    clocks = Clocks("mpegts", 0)
    order = [(0, time) for time in steady(50)] + [(1, 0), (1, FRAME)] + [(0, time) for time in steady(9)]
    for place, (index, time) in enumerate(order):
        clocks.part(cast("Any", PlacedPacket(index, time, place + 9 * index if places else None)))
    shifts = clocks.shifts([(Fraction(0), Fraction(2)), (Fraction(0), Fraction(1))])
    assert clocks.jumps_of(1, shifts) == ((0, Fraction(2)),)
    assert clocks.jumps_of(0, shifts) == ((50, Fraction(2)),)


@pytest.mark.parametrize("every", [12, 20, 40])
def test_a_restart_is_found_where_few_packets_have_times(every: int) -> None:
    """Two parts of 40 packets; the only time of the second may be that of the first."""
    times = [time if number % every == 0 else None for number, time in enumerate(steady(40))]
    clocks, parts = followed(times * 2)
    assert parts == [0] * 40 + [1] * 40
    assert clocks.wrong == set()


def test_a_wrong_time_among_few_times_is_no_jump() -> None:
    """The next time, ten packets later, goes on from the one before it."""
    times: list[int | None] = [time if number % 10 == 0 else None for number, time in enumerate(steady(60, 900_000))]
    times[30] = 0
    assert followed(times)[0].jumps == 0


def test_packets_without_times_between_ascending_ones_are_no_jump() -> None:
    """Whatever durations a parser gives them."""
    assert followed([0, None, None, None, 2 * FRAME, None, None, 4 * FRAME])[0].jumps == 0
