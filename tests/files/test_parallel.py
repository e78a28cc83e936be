"""The ordered parallel map: order, bounds, errors and clean-up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count, islice

import pytest

from framepack.files.parallel import in_parallel


def test_results_are_in_order() -> None:
    """Their order does not depend on how long each item takes."""
    gates = [threading.Event() for _ in range(6)]

    def work(number: int) -> int:
        if number < 5:
            gates[number + 1].wait(5)  # ends after the one behind it
        gates[number].set()
        return number * number

    assert list(in_parallel(work, range(6), ahead=6, workers=6)) == [0, 1, 4, 9, 16, 25]
    assert list(in_parallel(work, [])) == []


def test_items_are_taken_at_most_ahead_of_results() -> None:
    """At most ``ahead`` items are submitted, so the source may be endless."""
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in count(1):
            taken.append(number)
            yield number

    for result in islice(in_parallel(lambda item: item, items(), ahead=4), 50):
        assert taken[-1] <= result + 3


def test_the_first_error_is_raised_and_stops_all_threads() -> None:
    """It is raised in the order of the items, and no thread continues."""
    before = threading.active_count()
    results = in_parallel(lambda item: 6 // item, [3, 2, 0, 1, 0])
    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert threading.active_count() == before
    assert list(results) == []
