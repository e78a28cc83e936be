"""Gaussian smoothing made of sums of neighbours: a few additions per pixel instead of a multiplication per tap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

_WIDE_FROM: Final = 3.0  # variance from which a pass over every second pixel is smooth enough


@dataclass(frozen=True, slots=True)
class Kernel:
    """Averages that follow each other along one axis; their variances add up.

    Attributes:
        narrow: how many times 1-2-1 (variance 1/2 each).
        wide: how many times 1-0-2-0-1 (variance 2 each).
        rest: the outer weights w of one w-(1-2w)-w (variance 2w).
    """

    narrow: int = 0
    wide: int = 0
    rest: float = 0

    @classmethod
    def gaussian(cls, variance: float) -> Kernel:
        """The kernel of exactly this variance, in pixels squared, 0 to 16."""
        wide = 0
        while variance >= _WIDE_FROM:
            wide, variance = wide + 1, variance - 2
        narrow = int(variance * 2)
        return cls(narrow, wide, variance / 2 - narrow / 4)

    @property
    def radius(self) -> int:
        """How many neighbours on either side count."""
        return self.narrow + 2 * self.wide + (self.rest > 0)

    def taps(self) -> NDArray[np.float64]:
        """The weights, shape (2 * radius + 1,), summing up to 1."""
        import numpy as np

        taps = np.ones(1)
        for _ in range(self.narrow):
            taps = np.convolve(taps, [0.25, 0.5, 0.25])
        for _ in range(self.wide):
            taps = np.convolve(taps, [0.25, 0, 0.5, 0, 0.25])
        return np.convolve(taps, [self.rest, 1 - 2 * self.rest, self.rest]) if self.rest else taps


def smooth(samples: Plane, across: Kernel, down: Kernel) -> Plane:
    """Smooth a plane along its rows (``across``) and its columns (``down``).

    Args:
        samples: shape (rows, columns), contiguous, float32; overwritten.
        across: kernel along each row.
        down: kernel along each column.

    Returns:
        What has all its neighbours, a view of shape (rows - 2 * down.radius, columns - 2 * across.radius).
    """
    import numpy as np
    from numpy.lib.stride_tricks import as_strided

    rows, columns = samples.shape
    passes = _Passes(samples.reshape(-1), np.empty(samples.size, np.float32))
    passes.run(across, 1)
    passes.run(down, columns)
    passes.finish()
    shape = (rows - 2 * down.radius, columns - 2 * across.radius)
    return as_strided(passes.samples, shape, (columns * samples.itemsize, samples.itemsize))


class _Passes:
    """Sums along one flat array, from one buffer into the other. What a row's end takes from the next is cut off."""

    def __init__(self, samples: Plane, spare: Plane) -> None:
        self.samples = samples
        self._spare = spare
        self._weight = 1.0

    def run(self, kernel: Kernel, step: int) -> None:
        """Apply a kernel to samples ``step`` apart; results move to the place of the first sample they count."""
        for _ in range(2 * kernel.narrow):
            self._sum(step)
        for _ in range(2 * kernel.wide):
            self._sum(2 * step)
        if kernel.rest:
            self._spread(kernel.rest, step)

    def finish(self) -> None:
        """Turn sums into means."""
        if self._weight > 1:
            self.samples *= 1 / self._weight

    def _sum(self, step: int) -> None:
        import numpy as np

        count = self.samples.size - step
        result = self._spare[:count]
        np.add(self.samples[:-step], self.samples[step:], out=result)
        self._take(result, 2)

    def _spread(self, weight: float, step: int) -> None:
        import numpy as np

        count = self.samples.size - 2 * step
        result = self._spare[:count]
        np.add(self.samples[: -2 * step], self.samples[2 * step :], out=result)
        result *= weight / (1 - 2 * weight)
        result += self.samples[step:-step]
        self._take(result, 1 / (1 - 2 * weight))

    def _take(self, result: Plane, weight: float) -> None:
        self._spare = self.samples
        self.samples = result
        self._weight *= weight
