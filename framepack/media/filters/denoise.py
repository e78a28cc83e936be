"""A denoiser for video: edge-preserving within a frame, and temporal where nothing moves.

Within a frame, neighbors are averaged (3 x 3, weights 1-2-1 in both directions) if they differ little: a difference
counts fully up to a limit, less above it, and not at all from twice the limit, so that edges are preserved. In time,
each pixel moves three quarters of the way to its previous value, but at most by a bound. The bound shrinks to zero
where the average difference of the neighborhood, in which noise cancels out, indicates motion.

Samples are 14-bit integers: 16-bit arithmetic is the fastest on a CPU, and rounding errors do not accumulate.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from framepack.media.filters.strips import RunTasks, padded_rows, strips
from framepack.media.frames.arrays import Planes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from framepack.media.frames.arrays import Samples

    Plane = NDArray[np.int16]

DEPTH: Final = 14
CUT_LEVELS: Final = 24  # mean difference between frames, in 8-bit levels, that counts as a scene cut
EDGE_LIMIT: Final = 2.0  # 8-bit levels for each unit of strength
MOTION_BOUND: Final = 1.0
MOTION_SLOPE: Final = 2  # how fast the bound shrinks with the difference of the neighborhood
_SLOPE_SHIFT: Final = 3  # MOTION_SLOPE times a sixteenth
_LEVEL: Final = 1 << (DEPTH - 8)
_MAX_SUMMED: Final = (1 << 15) // 16 - 1  # sixteen of these can be summed in 16 bits
_STRIP_SAMPLES: Final = 200_000


class Denoiser:
    """Denoises the frames of one clip, in order; keeps one frame in memory."""

    def __init__(self, strength: float) -> None:
        self._limit = round(EDGE_LIMIT * strength * _LEVEL)
        self._bound = round(MOTION_BOUND * strength * _LEVEL)
        self._previous: tuple[Plane, ...] | None = None

    def __call__(self, planes: Planes, run: RunTasks) -> Planes:
        """Denoise the next frame.

        Args:
            planes: The frame, in the same format every time; 8 to 12 bits.
            run: The result of ``filter_threads``.

        Returns:
            Planes of 14 bits, valid until the next call.
        """
        import numpy as np

        given = (planes.y, planes.u, planes.v)
        previous = self._previous
        if previous is not None and _is_cut(given[0], planes.depth, previous[0]):
            previous = None
        results = tuple(np.empty(plane.shape, np.int16) for plane in given)
        run(self._tasks(given, previous, results, DEPTH - planes.depth))
        self._previous = results
        y, u, v = (plane.view(np.uint16) for plane in results)
        return Planes(y, u, v, DEPTH, planes.halved)

    def _tasks(
        self, given: tuple[Samples, ...], previous: tuple[Plane, ...] | None, results: tuple[Plane, ...], shift: int
    ) -> Iterator[partial[None]]:
        for index, result in enumerate(results):
            for rows in strips(len(result), max(1, _STRIP_SAMPLES // result.shape[1])):
                before = None if previous is None else previous[index]
                yield partial(self._denoise, given[index], before, result, rows, shift)

    def _denoise(self, given: Samples, before: Plane | None, result: Plane, rows: slice, shift: int) -> None:
        import numpy as np

        samples = padded_rows(given, rows, 2, 0).astype(np.int16)
        samples <<= shift
        current = _within_frame(samples, self._limit)
        if before is None:
            result[rows] = current[1:-1]
        else:
            _along_time(current, padded_rows(before, rows, 1, 0), self._bound, result[rows])


def _is_cut(luma: Samples, depth: int, previous: Plane) -> bool:
    import numpy as np

    current = luma[::8, ::8].astype(np.int16) << (DEPTH - depth)
    return bool(np.abs(current - previous[::8, ::8]).mean() > CUT_LEVELS * _LEVEL)


def _within_frame(samples: Plane, limit: int) -> Plane:
    """Average neighbors that differ little; the result lacks the first and last row. Overwrites ``samples``."""
    import numpy as np

    flat = samples.reshape(-1)
    difference = np.empty_like(samples)
    np.subtract(flat[1:], flat[:-1], out=difference.reshape(-1)[:-1])
    difference[:, -1] = 0
    counted = _limited(difference, limit)
    difference[0, 0] = counted[0, 0]
    np.subtract(counted.reshape(-1)[1:], counted.reshape(-1)[:-1], out=difference.reshape(-1)[1:])
    difference >>= 2
    samples += difference

    counted = _limited(samples[1:] - samples[:-1], limit)
    change = counted[1:] - counted[:-1]
    change >>= 2
    change += samples[1:-1]
    return change


def _limited(difference: Plane, limit: int) -> Plane:
    """Differences up to ``limit``, above it falling to zero at twice the limit. Overwrites ``difference``."""
    import numpy as np

    low, high = np.int16(-limit), np.int16(limit)
    counted = np.clip(difference, low, high)
    counted += counted
    np.clip(difference, 2 * low, 2 * high, out=difference)
    counted -= difference
    return counted


def _along_time(current: Plane, before: Plane, bound: int, result: Plane) -> None:
    """Move samples towards their previous values; ``current`` and ``before`` have one more row above and below."""
    import numpy as np

    difference = before - current
    around = np.abs(_sixteen_times_mean(difference))
    around >>= _SLOPE_SHIFT
    allowed = np.clip(np.int16(bound) - around, np.int16(0), np.int16(bound))
    change = np.minimum(difference[1:-1], allowed)
    np.negative(allowed, out=allowed)
    np.maximum(change, allowed, out=change)
    np.add(current[1:-1], change, out=result)
    change >>= 2
    result -= change


def _sixteen_times_mean(difference: Plane) -> Plane:
    """Sums over 3 x 3, weights 1-2-1 in both directions; the result lacks the first and last row."""
    import numpy as np

    rows = np.clip(difference, np.int16(-_MAX_SUMMED), np.int16(_MAX_SUMMED))
    pairs = rows[:-1] + rows[1:]
    rows = pairs[:-1] + pairs[1:]
    flat = rows.reshape(-1)
    pairs = np.empty_like(rows)
    np.add(flat[:-1], flat[1:], out=pairs.reshape(-1)[:-1])
    pairs[:, -1] = 2 * rows[:, -1]
    sums = np.empty_like(rows)
    np.add(pairs.reshape(-1)[:-1], pairs.reshape(-1)[1:], out=sums.reshape(-1)[1:])
    sums[:, 0] = 2 * rows[:, 0] + pairs[:, 0]
    return sums
