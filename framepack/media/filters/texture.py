"""What is laid over a frame: film grain and the vignette."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from framepack.media.filters.smoothing import Kernel, smooth

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BAND_ROWS: Final = 64
_SPARE: Final = 192  # rows and columns by which the stock is larger than a band: 36864 places to cut one from
_STRENGTH: Final = 7 / 255 / 50  # standard deviation in mid gray for each unit of the control, as the original's
_PARABOLA: Final = 4  # y (1 - y) in mid gray is a quarter
_GRAIN_SIZE: Final = 0.6 / 1080  # standard deviation of a grain's shape, in pixels for each row of the frame


class Grain:
    """Film grain: luma noise that is new in every frame, strongest in mid gray, and none in black and white.

    A frame's grain is cut, in bands of rows, from a stock of noise at places that depend on ``seed`` and the frame's
    number alone: the same job makes the same pixels. Grains grow with the frame, so that a small and a large
    version look alike.

    Attributes:
        stock: the noise, shape (rows, columns), float32; luma y, 0..1, becomes y + y (1 - y) * noise.
    """

    def __init__(self, strength: float, width: int, height: int, seed: tuple[int, ...]) -> None:
        import numpy as np

        kernel = Kernel.gaussian((_GRAIN_SIZE * height) ** 2)
        edge = 2 * kernel.radius
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((BAND_ROWS + _SPARE + edge, width + _SPARE + edge), np.float32)
        whole = slice(kernel.radius, -kernel.radius or None)
        grains = smooth(noise, kernel, kernel)[whole, whole]
        self.stock: NDArray[np.float32] = grains * np.float32(_PARABOLA * _STRENGTH * strength / grains.std())
        self._seed = seed
        self._bands = bands(height)

    def places(self, index: int) -> NDArray[np.int64]:
        """Where frame ``index`` takes its bands from: (first row, first column) of the stock, shape (bands, 2)."""
        import numpy as np

        return np.random.default_rng((*self._seed, index)).integers(0, _SPARE, (self._bands, 2))


def bands(height: int) -> int:
    """How many bands of grain a frame of this height has."""
    return -(-height // BAND_ROWS)


def vignette(amount: float, width: int, height: int) -> NDArray[np.float32]:
    """How bright each pixel stays, 0 to 1.

    It falls as light falls in a lens, with the fourth power of the cosine of the angle: from the center, where it is
    1, along ellipses that fit the frame, to the corners, one radian away.

    Args:
        amount: 0 (none) to 1 (corners at 9 percent).
        width: columns of the frame or of its chroma.
        height: rows.

    Returns:
        Shape (height, width).
    """
    import numpy as np

    x, y = (np.arange(0.5, side) * (2 / side) - 1 for side in (width, height))
    radius = np.hypot(x[None, :], y[:, None]) / np.sqrt(2)
    kept: NDArray[np.float32] = (1 - amount * (1 - np.cos(radius) ** 4)).astype(np.float32)
    return kept
