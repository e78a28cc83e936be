"""Iterating over frames: iterators are closed where they can be, repeated frames are converted once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
I = TypeVar("I", bound=Iterable[object])  # noqa: E741 - an iterable, like T and R beside it


@contextmanager
def closing(iterable: I) -> Iterator[I]:
    """Close an iterable at the end of the ``with`` block, so that all work behind it stops.

    Unlike ``contextlib.closing``, it accepts iterables without a ``close`` method.
    """
    try:
        yield iterable
    finally:
        close = getattr(iterable, "close", None)
        if close is not None:
            close()


def convert_each(frames: Iterable[T], convert: Callable[[T], R]) -> Generator[R]:
    """Convert frames one by one and close their iterator at the end.

    A frame that comes several times in a row as one object is converted once, and the result is one object, too.
    """
    source: T | None = None
    result: R | None = None
    with closing(frames):
        for frame in frames:
            if result is None or frame is not source:
                source, result = frame, convert(frame)
            yield result
