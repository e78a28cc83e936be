"""The order in which frames are shown, found from a file's packets and kept while they are decoded."""

from __future__ import annotations

from array import array
from bisect import insort
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count, pairwise
from statistics import median
from typing import Final, Generic, TypeVar

F = TypeVar("F")

HIDDEN: Final = -1
"""The rank of a packet whose frame is not shown."""

MOST_REORDERED: Final = 16
"""Number of frames by which decoding is ahead of presentation, at most."""

NO_TIME: Final = -(2**63)
"""Stands for a missing timestamp."""


@dataclass(frozen=True, slots=True)
class FrameOrder:
    """Which frame each packet of a video stream holds.

    Attributes:
        ranks: For each packet with data, in file order: the number of its frame in presentation order, by its
            timestamp, or ``HIDDEN``.
        key_packets: Numbers of the packets with key frames, ascending.
        clock_jumps: Numbers of the first packets after the clock has jumped.
        held: Number of a packet whose frame is shown although the demuxer marks it as to be left out; None for none.
    """

    ranks: Sequence[int] = ()
    key_packets: Sequence[int] = ()
    clock_jumps: frozenset[int] = frozenset()
    held: int | None = None

    def rank(self, packet: int | None) -> int | None:
        """The rank of a packet's frame; None if it is not known."""
        if packet is None or not 0 <= packet < len(self.ranks) or self.ranks[packet] == HIDDEN:
            return None
        return self.ranks[packet]

    def packet_before(self, rank: int) -> int:
        """Number of the packet at which decoding has to begin for all frames from ``rank`` on."""
        # Where timestamps are decoding times, a rank may be wrong by as many frames as are reordered.
        usable = (number for number in reversed(self.key_packets) if self.ranks[number] <= rank - MOST_REORDERED)
        return next((number for number in usable if self.ranks[number] != HIDDEN), 0)

    def decoded_count(self, first: int, last: int) -> int:
        """Number of packets that are decoded to show the frames from rank ``first`` to ``last``."""
        return max(self.ranks.index(last) + 1 - self.packet_before(first), 1)


def presentation_order(times: Sequence[int], shown: Sequence[int]) -> tuple[array[int], array[int]]:
    """Sort packets by their times.

    Args:
        times: Timestamp of each packet in file order; ``NO_TIME`` if it has none.
        shown: For each packet, whether its frame is shown.

    Returns:
        The ranks as in ``FrameOrder``, and the sorted times of the shown frames: missing ones are put between their
        neighbors, equal ones are spread up to the next. No times if no packet has one.
    """
    numbers = [number for number, is_shown in enumerate(shown) if is_shown]
    known = _filled([times[number] for number in numbers])
    order = sorted(range(len(numbers)), key=known.__getitem__) if known else range(len(numbers))
    ranks = array("i", [HIDDEN]) * len(shown)
    for rank, index in enumerate(order):
        ranks[numbers[index]] = rank
    return ranks, _spread(array("q", (known[index] for index in order))) if known else array("q")


def _filled(times: list[int]) -> list[int]:
    """Times with every missing one put between its neighbors; empty if all are missing."""
    known = [index for index, time in enumerate(times) if time != NO_TIME]
    if not known or len(known) == len(times):
        return times if known else []
    steps = [Fraction(times[after] - times[before], after - before) for before, after in pairwise(known)]
    interval = median([step for step in steps if step > 0] or [Fraction(0)])
    filled = list(times)
    for index in range(known[0]):
        filled[index] = times[known[0]] - round((known[0] - index) * interval)
    for before, after in zip(known, [*known[1:], len(times)], strict=True):
        step = Fraction(times[after] - times[before], after - before) if after < len(times) else interval
        for index in range(before + 1, after):
            filled[index] = times[before] + round((index - before) * step)
    return filled


def _spread(times: array[int]) -> array[int]:
    """Sorted times of which equal ones are spread evenly up to the next one."""
    if len(set(times)) in {1, len(times)}:
        return times
    begin = 0
    for end in range(1, len(times) + 1):
        if end < len(times) and times[end] == times[begin]:
            continue
        equal = end - begin
        if equal > 1:
            room = times[end] - times[begin] if end < len(times) else round(equal * _interval(times))
            for index in range(begin + 1, end):
                times[index] = times[begin] + room * (index - begin) // equal
        begin = end
    return times


def _interval(times: Sequence[int]) -> Fraction:
    """The usual interval between ascending times; 0 if there is none."""
    intervals = [after - before for before, after in pairwise(times) if after > before]
    return Fraction(median(intervals)) if intervals else Fraction(0)


@dataclass(slots=True)
class Sequencer(Generic[F]):
    """Gives decoded frames their ranks.

    A decoder gives frames in the order in which they are shown, whatever their timestamps say: in some files these
    are those of the decoding order. So the next frame gets the lowest rank of all frames that are still to come. To
    know it, frames wait while a lower rank is missing; after ``delay`` more frames the missing one is lost.

    Attributes:
        order: The order of the file's packets.
        expected: The lowest rank to come.
        delay: Number of frames that wait at most.
    """

    order: FrameOrder
    expected: int = 0
    delay: int = 1
    _frames: deque[F] = field(default_factory=deque)
    _ranks: list[int] = field(default_factory=list)

    def add(self, packet: int | None, frame: F) -> Iterator[tuple[int, F]]:
        """Add the frame of a packet, and yield the frames that are ready, with their ranks."""
        insort(self._ranks, self._free(self.order.rank(packet)))
        self._frames.append(frame)
        while self._frames and (self._ranks[0] == self.expected or len(self._frames) > self.delay):
            yield self._next()

    def flush(self) -> Iterator[tuple[int, F]]:
        """Yield the frames that are left."""
        while self._frames:
            yield self._next()

    def _free(self, rank: int | None) -> int:
        """The rank itself, if it is known and still to come; else one that is free."""
        if rank is None:
            return max(self._ranks, default=self.expected - 1) + 1
        if rank >= self.expected:
            below = range(
                rank, self.expected - 1, -1
            )  # some decoders name a packet twice and leave out one before it
            found = next((free for free in below if free not in self._ranks), None)
            if found is not None:
                return found
        return next(free for free in count(max(rank, self.expected)) if free not in self._ranks)

    def _next(self) -> tuple[int, F]:
        rank = self._ranks.pop(0)
        self.expected = rank + 1
        return rank, self._frames.popleft()
