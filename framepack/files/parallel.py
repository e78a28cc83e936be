"""An ordered parallel map with a bounded number of results in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

WORKERS: Final = 8


def in_parallel(
    work: Callable[[T], R], items: Iterable[T], *, ahead: int = 2 * WORKERS, workers: int = WORKERS
) -> Iterator[R]:
    """Yield ``work(item)`` for each item, in order.

    Args:
        work: Called from several threads at once. The first error, in the order of the items, is raised here.
        items: Iterated by the calling thread.
        ahead: Maximum number of items submitted before their results are taken.
        workers: Number of threads. They have ended when the iterator ends, however it ends.
    """
    iterator = iter(items)
    first = list(islice(iterator, 1))
    if not first:
        return  # without threads: a pool costs more than a list that is empty
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="store") as pool:
        try:
            for item in chain(first, iterator):
                waiting.append(pool.submit(work, item))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
