"""Run an iterator ahead in a thread of its own: decoding, computing and encoding overlap this way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Final, Generic, TypeVar

T = TypeVar("T")

DEPTH: Final = 4


@dataclass(frozen=True, slots=True)
class _Item(Generic[T]):
    value: T


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None = None


def prefetch(source: Callable[[], Iterable[T]], depth: int = DEPTH) -> Generator[T]:
    """Yield what ``source()`` yields, produced up to ``depth`` items ahead by a thread.

    The thread starts with the first item asked for. However the generator ends (exhausted, closed, dropped or by an
    error), the thread has ended too, and the source's iterator has been closed in it. An error of the source is
    raised here, after the items before it.
    """
    queue: Queue[_Item[T] | _End] = Queue(depth)
    stop = threading.Event()
    thread = threading.Thread(target=_produce, args=(source, queue, stop), name="prefetch", daemon=True)
    thread.start()
    try:
        while isinstance(entry := queue.get(), _Item):
            yield entry.value
            del entry  # the consumer may be the last to hold a large frame
        if entry.error is not None:
            raise entry.error
    finally:
        stop.set()
        _drain(queue)
        thread.join()


def _drain(queue: Queue[_Item[T] | _End]) -> None:
    """Make room, so that a producer that waits for it can see that it is to stop."""
    try:
        while True:
            queue.get_nowait()
    except Empty:
        return


def _produce(source: Callable[[], Iterable[T]], queue: Queue[_Item[T] | _End], stop: threading.Event) -> None:
    end = _End()
    try:
        iterator = iter(source())
        try:
            for value in iterator:
                if stop.is_set():
                    return
                queue.put(_Item(value))
                del value
                if stop.is_set():
                    return
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
    except BaseException as error:  # noqa: BLE001 - passed on to the consumer, which raises it
        end = _End(error)
    if not stop.is_set():
        queue.put(end)
