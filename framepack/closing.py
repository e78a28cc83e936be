"""Closing iterators, so that all work behind them stops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

I = TypeVar("I", bound=Iterable[object])  # noqa: E741 - an iterable


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
