"""Prefetching in a thread: order, bounds, errors and clean-up."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepack.cancellation import current_check, stoppable
from framepack.errors import Cancelled
from framepack.job import Job
from framepack.media.prefetch import prefetch


class Producer:
    """Counts what is made, and remembers whether its iterator was closed and by which thread."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.count, self.error = count, error
        self.made = 0
        self.closed_by: str | None = None
        self.progress = threading.Condition()

    def __call__(self) -> Iterator[int]:
        """Make the numbers from zero on, then perhaps fail."""
        try:
            for number in range(self.count):
                with self.progress:
                    self.made += 1
                    self.progress.notify_all()
                yield number
            if self.error is not None:
                raise self.error
        finally:
            self.closed_by = threading.current_thread().name

    def wait_for(self, made: int) -> bool:
        """Wait until that many items were made."""
        with self.progress:
            return self.progress.wait_for(lambda: self.made >= made, timeout=10)


@pytest.fixture(autouse=True)
def _no_threads_left() -> Generator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@given(st.lists(st.integers()), st.integers(1, 5))
def test_yields_the_same_items_in_order(items: list[int], depth: int) -> None:
    """Nothing is lost, added or reordered, whatever the depth."""
    assert list(prefetch(lambda: items, depth)) == items


def test_runs_at_most_depth_items_ahead() -> None:
    """While the consumer holds the first item, at most depth + 1 more are made: the queue's and one waiting."""
    producer = Producer(100)
    items = prefetch(producer, depth=3)
    assert next(items) == 0
    assert producer.wait_for(5)
    assert not threading.Event().wait(0.05)
    assert producer.made == 5
    items.close()


def test_starts_nothing_before_the_first_item_is_requested() -> None:
    """A clip that is never iterated costs nothing."""
    producer = Producer(3)
    items = prefetch(producer)
    assert producer.made == 0
    items.close()
    assert producer.made == 0


def test_closing_stops_the_producer_and_closes_its_iterator_in_its_own_thread() -> None:
    """A cancelled job leaves no thread and no open file behind."""
    producer = Producer(10**9)
    items = prefetch(producer, depth=2)
    assert [next(items), next(items)] == [0, 1]
    items.close()
    assert producer.closed_by == "prefetch"
    assert producer.made < 10


def test_an_error_of_the_consumer_stops_the_producer() -> None:
    """Dropping the iterator is as good as closing it."""
    producer = Producer(10**9)

    def consume() -> None:
        for item in prefetch(producer):
            if item == 5:
                raise RuntimeError("consumer")

    with pytest.raises(RuntimeError, match="consumer"):
        consume()
    assert producer.closed_by == "prefetch"


def test_an_error_of_the_producer_arrives_after_its_items() -> None:
    """The consumer sees what was made before the error, then the error itself."""
    error = LookupError("producer")
    items = prefetch(Producer(3, error))
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(LookupError) as raised:
        next(items)
    assert raised.value is error


def test_an_error_of_the_source_function_is_raised() -> None:
    """A source that cannot even begin is no different."""

    def broken() -> Iterator[int]:
        raise OSError("no such file")

    with pytest.raises(OSError, match="no such file"):
        next(prefetch(broken))


def test_closing_a_chain_closes_every_stage() -> None:
    """Decode, compute and encode form a chain; closing its end stops all of it."""
    producer = Producer(10**9)
    first = prefetch(producer, depth=1)
    second = prefetch(lambda: (2 * item for item in first), depth=1)
    assert next(second) == 0
    second.close()
    first.close()
    assert producer.closed_by == "prefetch"


@pytest.mark.parametrize("depth", [1, 4])
def test_closing_never_deadlocks(depth: int) -> None:
    """Closing at any moment, even as the producer finishes, ends both sides."""
    for count in range(12):
        for taken in range(count + 1):
            items = prefetch(Producer(count), depth)
            assert [next(items) for _ in range(taken)] == list(range(taken))
            items.close()


def test_runs_at_most_max_bytes_ahead() -> None:
    """Large items wait in smaller numbers; the queue holds as many as fit."""
    producer = Producer(100)
    items = prefetch(producer, depth=10, size_bytes=lambda _: 40, max_bytes=100)
    assert next(items) == 0
    assert producer.wait_for(4)
    assert not threading.Event().wait(0.05)
    assert producer.made == 4
    assert list(items) == list(range(1, 100))


def test_an_item_larger_than_max_bytes_is_still_produced_ahead() -> None:
    """One item waits, however large it is, so that producer and consumer overlap."""
    producer = Producer(100)
    items = prefetch(producer, depth=10, size_bytes=lambda _: 10**9, max_bytes=100)
    assert next(items) == 0
    assert producer.wait_for(3)
    assert not threading.Event().wait(0.05)
    assert producer.made == 3
    assert list(items) == list(range(1, 100))


def test_a_wait_for_an_item_that_never_comes_ends_with_the_check() -> None:
    """The consumer's check stops both sides, although the source has produced nothing."""
    job = Job()
    threading.Timer(0.2, job.cancel).start()

    with stoppable(job.check), pytest.raises(Cancelled):
        next(prefetch(endless))


def test_a_source_that_reaches_no_further_item_ends_once_the_consumer_has_left() -> None:
    """Nobody has to wait for an item that nobody takes."""

    def source() -> Iterator[int]:
        yield 1
        yield from endless()

    items = prefetch(source)
    assert next(items) == 1

    items.close()


def test_a_source_behind_two_threads_ends_once_the_consumer_of_the_last_one_has_left() -> None:
    """As a decoder behind an encoder that fails."""

    def source() -> Iterator[int]:
        yield 1
        yield from endless()

    items = prefetch(lambda: Job().watch(prefetch(source), None))
    assert next(items) == 1

    items.close()


def endless() -> Iterator[int]:
    """What reads and reads without reaching an item; it can only be stopped."""
    while True:
        current_check()()
        time.sleep(0.001)
        yield from ()
