"""Processing of planes in strips of rows: small enough for a core's cache, enough to occupy every core."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from framepack.processors import limit_threads, usable_threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    StripSamples = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int16]

RunTasks = Callable[[Iterable[Callable[[], None]]], None]
"""Runs independent tasks, and returns when all are done."""

STRIP_SAMPLES: Final = 1 << 17
_MIN_ROWS: Final = 8
_MAX_THREADS: Final = 8  # with more, NumPy's calls wait for the GIL longer than they compute


class ScratchArrays(threading.local):
    """Temporary arrays that are reused from strip to strip; each thread has its own."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[np.float32]] = {}

    def __call__(self, name: str, shape: tuple[int, int]) -> NDArray[np.float32]:
        """An uninitialized float32 array; the same memory for the same ``name``."""
        import numpy as np

        count = shape[0] * shape[1]
        array = self._arrays.get(name)
        if array is None or array.size < count:
            array = self._arrays[name] = np.empty(count, np.float32)
        return array[:count].reshape(shape)


@contextmanager
def filter_threads() -> Iterator[RunTasks]:
    """Start one thread per usable processor, up to eight."""
    import cv2

    limit_threads(cv2.getNumThreads, cv2.setNumThreads)
    count = min(usable_threads(), _MAX_THREADS)
    with ThreadPoolExecutor(count, "filter") as pool:

        def run(tasks: Iterable[Callable[[], None]]) -> None:
            work = list(tasks)
            for result in [pool.submit(_run_all, work[first::count]) for first in range(min(count, len(work)))]:
                result.result()

        yield run


def _run_all(tasks: list[Callable[[], None]]) -> None:
    for task in tasks:
        task()


def strip_rows(width: int) -> int:
    """The number of rows of this width that suit a core: a divisor of 64, at least 8.

    Larger strips do not fit into its caches, and arrays of their size are returned to the system each time.
    """
    rows = 64
    while rows > _MIN_ROWS and rows * width > STRIP_SAMPLES:
        rows //= 2
    return rows


def strips(height: int, rows: int) -> Iterator[slice]:
    """Split ``height`` rows into strips of ``rows``; the last may be smaller."""
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))


def with_halo(rows: slice, halo: int, height: int) -> tuple[slice, slice]:
    """The rows with up to ``halo`` more on each side, within a frame; and the position of the rows among them."""
    top, bottom = max(rows.start - halo, 0), min(rows.stop + halo, height)
    return slice(top, bottom), slice(rows.start - top, rows.stop - top)


def padded_rows(plane: StripSamples, rows: slice, halo_rows: int, halo_columns: int) -> NDArray[Any]:
    """Rows of a plane with a halo around them, as one array; the frame's edge is replicated outside.

    Returns:
        Shape (rows + 2 * halo_rows, columns + 2 * halo_columns).
    """
    import numpy as np

    height, width = plane.shape
    top, bottom = rows.start - halo_rows, rows.stop + halo_rows
    inside = plane[max(top, 0) : min(bottom, height)]
    above = max(-top, 0)
    wide = np.empty((bottom - top, width + 2 * halo_columns), plane.dtype)
    columns = slice(halo_columns, halo_columns + width)
    wide[above : above + len(inside), columns] = inside
    wide[:above, columns] = inside[:1]
    wide[above + len(inside) :, columns] = inside[-1:]
    wide[:, :halo_columns] = wide[:, halo_columns : halo_columns + 1]
    wide[:, columns.stop :] = wide[:, columns.stop - 1 : columns.stop]
    return wide
