"""Planes in strips of rows: small enough for a core's cache, and enough of them forevery core."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int16]

Run = Callable[[Iterable[Callable[[], None]]], None]
"""Runs pieces of work that do not depend on each other, and returns when all are done."""

STRIP_SAMPLES: Final = 1 << 17
_FEWEST_ROWS: Final = 8
_MOST_THREADS: Final = 8  # beyond, NumPy's calls wait for the interpreter more than they compute


class Scratch(threading.local):
    """Memory for what is computed on the way, kept from strip to strip; every thread has its own."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[np.float32]] = {}

    def __call__(self, name: str, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Some float32 numbers; the same memory whenever ``name`` is asked for."""
        import numpy as np

        count = shape[0] * shape[1]
        array = self._arrays.get(name)
        if array is None or array.size < count:
            array = self._arrays[name] = np.empty(count, np.float32)
        return array[:count].reshape(shape)


@contextmanager
def worker_threads() -> Iterator[Run]:
    """As many threads as this process has cores, up to a few."""
    count = min(len(os.sched_getaffinity(0)), _MOST_THREADS)
    with ThreadPoolExecutor(count, "filter") as pool:

        def run(pieces: Iterable[Callable[[], None]]) -> None:
            work = list(pieces)
            for result in [pool.submit(_run_all, work[first::count]) for first in range(min(count, len(work)))]:
                result.result()

        yield run


def _run_all(pieces: list[Callable[[], None]]) -> None:
    for piece in pieces:
        piece()


def rows_at_once(width: int) -> int:
    """How many rows of this width suit a core: a divisor of 64, at least 8.

    Larger pieces leave the caches, and memory of their size is given back and fetched anew forevery array.
    """
    rows = 64
    while rows > _FEWEST_ROWS and rows * width > STRIP_SAMPLES:
        rows //= 2
    return rows


def strips(height: int, rows: int) -> Iterator[slice]:
    """Cut ``height`` rows into strips of ``rows``; the last one may be smaller."""
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))


def surroundings(rows: slice, halo: int, height: int) -> tuple[slice, slice]:
    """The rows and up to ``halo`` more on either side, within a frame; and where among them the rows are."""
    top, bottom = max(rows.start - halo, 0), min(rows.stop + halo, height)
    return slice(top, bottom), slice(rows.start - top, rows.stop - top)


def widened(plane: Samples, rows: slice, halo_rows: int, halo_columns: int) -> NDArray[Any]:
    """Some rows of a plane and their surroundings, contiguous; the frame's edge repeats beyond its border.

    Returns:
        Shape (rows + 2 * halo_rows, columns + 2 * halo_columns).
    """
    import numpy as np

    height, width = plane.shape
    top, bottom = rows.start - halo_rows, rows.stop + halo_rows
    there = plane[max(top, 0) : min(bottom, height)]
    above = max(-top, 0)
    wide = np.empty((bottom - top, width + 2 * halo_columns), plane.dtype)
    columns = slice(halo_columns, halo_columns + width)
    wide[above : above + len(there), columns] = there
    wide[:above, columns] = there[:1]
    wide[above + len(there) :, columns] = there[-1:]
    wide[:, :halo_columns] = wide[:, halo_columns : halo_columns + 1]
    wide[:, columns.stop :] = wide[:, columns.stop - 1 : columns.stop]
    return wide
