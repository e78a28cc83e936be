"""An ordered parallel map with a bounded number of results in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

WORKERS: Final = 8


def in_parallel(
    work: Callable[[T], R],
    items: Iterable[T],
    *,
    ahead: int = 2 * WORKERS,
    workers: int = WORKERS,
    name: str = "store",
) -> Iterator[R]:
    """Yield ``work(item)`` for each item, in order.

    Args:
        work: Called from several threads at once. The first error, in the order of the items, is raised here.
        items: Iterated by the calling thread.
        ahead: Maximum number of items submitted before their results are taken.
        workers: Number of threads. They have ended when the iterator ends, however it ends.
        name: First part of the threads' names.
    """
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix=name) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
