"""Prefetching: run an iterator ahead in a thread, so that decoding, computing and encoding overlap."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextvars import copy_context
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from framepack.cancellation import CHECK_SECONDS, current_check, stoppable, with_current
from framepack.closing import closing

T = TypeVar("T")

DEPTH: Final = 4
MAX_BYTES: Final = 32_000_000
"""Memory that items ahead of the consumer may take; a single larger item is still produced ahead."""


@dataclass(frozen=True, slots=True)
class _Item(Generic[T]):
    value: T


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None = None


class _ConsumerLeft(BaseException):
    """Nobody takes what a thread produces any more: no error, and nothing to be handled on the way out."""


def _weightless(_item: object) -> int:
    return 0


def prefetch(
    source: Callable[[], Iterable[T]],
    depth: int = DEPTH,
    *,
    size_bytes: Callable[[T], int] = _weightless,
    max_bytes: int = MAX_BYTES,
) -> Generator[T]:
    """Yield the items of ``source()``, which a thread produces ahead.

    The thread starts when the first item is requested. When the generator ends (exhausted, closed, dropped or by an
    error), the thread has ended and closed the source's iterator. An error of the source is raised here, after the
    items before it.

    The wait for an item ends as soon as the check of the waiting thread raises; see `stoppable`. The source has the
    check that holds at the first request. Its own check also raises once the generator has ended, so that a source
    need not reach its next item.

    Args:
        source: Called in the thread.
        depth: Maximum number of items that wait for the consumer.
        size_bytes: The memory that an item takes.
        max_bytes: Maximum memory of the items that wait, unless it is only one.
    """
    queue: _Queue[T] = _Queue(depth, max_bytes, size_bytes)
    thread = threading.Thread(target=copy_context().run, args=(_produce, source, queue), name="prefetch", daemon=True)
    thread.start()
    try:
        while isinstance(entry := queue.get(), _Item):
            yield entry.value
            del entry  # release the frame: the consumer may be its last owner
        if entry.error is not None:
            raise entry.error
    finally:
        queue.close()
        thread.join()


class _Queue(Generic[T]):
    """Items between two threads, bounded by number and by memory."""

    def __init__(self, depth: int, max_bytes: int, size_bytes: Callable[[T], int]) -> None:
        self._depth, self._max_bytes, self._size_bytes = depth, max_bytes, size_bytes
        self._entries: deque[tuple[_Item[T] | _End, int]] = deque()
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, entry: _Item[T] | _End) -> bool:
        """Add an entry as soon as there is room; False if the consumer has left."""
        size = self._size_bytes(entry.value) if isinstance(entry, _Item) else 0
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room(size))
            if not self._closed:
                self._entries.append((entry, size))
                self._bytes += size
                self._changed.notify_all()
            return not self._closed

    def get(self) -> _Item[T] | _End:
        """Take the next entry, as soon as there is one, unless the check of this thread raises before."""
        with self._changed:
            while not self._changed.wait_for(lambda: self._entries, CHECK_SECONDS):
                current_check()()
            entry, size = self._entries.popleft()
            self._bytes -= size
            self._changed.notify_all()
            return entry

    def check(self) -> None:
        """Raise if the consumer has left."""
        if self._closed:
            raise _ConsumerLeft

    def close(self) -> None:
        """Drop all entries and wake up the producer: the consumer leaves."""
        with self._changed:
            self._closed = True
            self._entries.clear()
            self._changed.notify_all()

    def _has_room(self, size: int) -> bool:
        fits = len(self._entries) < self._depth and self._bytes + size <= self._max_bytes
        return fits or not self._entries


def _produce(source: Callable[[], Iterable[T]], queue: _Queue[T]) -> None:
    end = _End()
    try:
        with stoppable(with_current(queue.check)), closing(iter(source())) as iterator:
            for value in iterator:
                if not queue.put(_Item(value)):
                    return
                del value
    except BaseException as error:  # noqa: BLE001 - raised in the consumer
        end = _End(error)
    queue.put(end)
