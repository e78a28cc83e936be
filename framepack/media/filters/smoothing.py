"""Gaussian smoothing with kernels of any variance, also below one pixel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

_WIDE_FROM: Final = 3.0  # variance from which a pass over every second pixel is smooth enough


@dataclass(frozen=True)
class Kernel:
    """A chain of small averaging kernels along one axis, whose variances add up.

    Attributes:
        narrow: Number of 1-2-1 kernels (variance 1/2 each).
        wide: Number of 1-0-2-0-1 kernels (variance 2 each).
        rest: The outer weights w of one w-(1-2w)-w kernel (variance 2w).
    """

    narrow: int = 0
    wide: int = 0
    rest: float = 0

    @classmethod
    def gaussian(cls, variance: float) -> Kernel:
        """The kernel with exactly this variance, in square pixels, 0 to 16."""
        wide = 0
        while variance >= _WIDE_FROM:
            wide, variance = wide + 1, variance - 2
        narrow = int(variance * 2)
        return cls(narrow, wide, variance / 2 - narrow / 4)

    @property
    def radius(self) -> int:
        """Number of neighbors on each side."""
        return self.narrow + 2 * self.wide + (self.rest > 0)

    def taps(self) -> NDArray[np.float64]:
        """The weights, shape (2 * radius + 1,), with a sum of 1."""
        import numpy as np

        taps = np.ones(1)
        for _ in range(self.narrow):
            taps = np.convolve(taps, [0.25, 0.5, 0.25])
        for _ in range(self.wide):
            taps = np.convolve(taps, [0.25, 0, 0.5, 0, 0.25])
        return np.convolve(taps, [self.rest, 1 - 2 * self.rest, self.rest]) if self.rest else taps

    @cached_property
    def weights(self) -> Plane:
        """``taps`` in single precision."""
        import numpy as np

        return self.taps().astype(np.float32)


def smooth(samples: Plane, across: Kernel, down: Kernel, out: Plane | None = None) -> Plane:
    """Smooth a plane along its rows and columns; its edge is replicated outside.

    Args:
        samples: Float32, shape (rows, columns).
        across: The kernel along each row.
        down: The kernel along each column.
        out: The output array, of the same shape; None allocates a new one.
    """
    import cv2

    kernels = across.weights, down.weights
    result: Any = cv2.sepFilter2D(samples, cv2.CV_32F, *kernels, out, borderType=cv2.BORDER_REPLICATE)
    return cast("Plane", result)
