"""Iterating over frames: repeated frames are converted once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

from framepack.closing import closing

T = TypeVar("T")
R = TypeVar("R")


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


def count_repeats(frames: Iterable[T], check: Callable[[], None]) -> Iterator[tuple[T, int]]:
    """Yield each frame with the number of times that the same object comes in a row.

    Args:
        frames: A repeated frame is one object several times in a row.
        check: Called for every frame; may raise an error to stop.
    """
    current: T | None = None
    count = 0
    for frame in frames:
        check()
        if frame is current:
            count += 1
            continue
        if current is not None:
            yield current, count
        current, count = frame, 1
    if current is not None:
        yield current, count
