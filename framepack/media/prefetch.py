"""Prefetching: run an iterator ahead in a thread, so that decoding, computing and encoding overlap."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Final, Generic, TypeVar

from framepack.closing import closing

T = TypeVar("T")

DEPTH: Final = 4


@dataclass(frozen=True, slots=True)
class _Item(Generic[T]):
    value: T


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None = None


def prefetch(source: Callable[[], Iterable[T]], depth: int = DEPTH) -> Generator[T]:
    """Yield the items of ``source()``, which a thread produces up to ``depth`` items ahead.

    The thread starts when the first item is requested. When the generator ends (exhausted, closed, dropped or by an
    error), the thread has ended and closed the source's iterator. An error of the source is raised here, after the
    items before it.
    """
    queue: Queue[_Item[T] | _End] = Queue(depth)
    stop = threading.Event()
    thread = threading.Thread(target=_produce, args=(source, queue, stop), name="prefetch", daemon=True)
    thread.start()
    try:
        while isinstance(entry := queue.get(), _Item):
            yield entry.value
            del entry  # release the frame: the consumer may be its last owner
        if entry.error is not None:
            raise entry.error
    finally:
        stop.set()
        _drain(queue)
        thread.join()


def _drain(queue: Queue[_Item[T] | _End]) -> None:
    """Empty the queue, so that a producer that waits for space notices the stop."""
    try:
        while True:
            queue.get_nowait()
    except Empty:
        return


def _produce(source: Callable[[], Iterable[T]], queue: Queue[_Item[T] | _End], stop: threading.Event) -> None:
    end = _End()
    try:
        with closing(iter(source())) as iterator:
            for value in iterator:
                if stop.is_set():
                    return
                queue.put(_Item(value))
                del value
                if stop.is_set():
                    return
    except BaseException as error:  # noqa: BLE001 - raised in the consumer
        end = _End(error)
    if not stop.is_set():
        queue.put(end)
