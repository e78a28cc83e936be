"""Film grain and vignette."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from framepack.media.filters.smoothing import Kernel, smooth

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BAND_ROWS: Final = 64
_SPARE: Final = 192  # rows and columns by which the noise is larger than a band, for 36864 different offsets
_STRENGTH: Final = 7 / 255 / 50  # standard deviation in mid gray per unit of the control
_PARABOLA: Final = 4  # y (1 - y) in mid gray is a quarter
_GRAIN_SIZE: Final = 0.6 / 1080  # standard deviation of a grain's shape, in pixels per row of the frame


class Grain:
    """Film grain: luma noise that changes with every frame, strongest in mid gray and zero in black and white.

    Each band of rows takes its grain from one large noise array, at an offset that depends only on ``seed`` and the
    frame number: the same job produces the same pixels. The size of grains is proportional to the frame height, so
    that a small and a large version look the same.

    Attributes:
        noise: The noise array, shape (rows, columns), float32; luma y, 0..1, becomes y + y (1 - y) * noise.
    """

    def __init__(self, strength: float, width: int, height: int, seed: tuple[int, ...]) -> None:
        import numpy as np

        kernel = Kernel.gaussian((_GRAIN_SIZE * height) ** 2)
        edge = 2 * kernel.radius
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((BAND_ROWS + _SPARE + edge, width + _SPARE + edge), np.float32)
        whole = slice(kernel.radius, -kernel.radius or None)
        grains = smooth(noise, kernel, kernel)[whole, whole]
        self.noise: NDArray[np.float32] = grains * np.float32(_PARABOLA * _STRENGTH * strength / grains.std())
        self._seed = seed
        self._bands = bands(height)

    def offsets(self, index: int) -> NDArray[np.int64]:
        """The offsets (row, column) into ``noise`` for the bands of frame ``index``, shape (bands, 2)."""
        import numpy as np

        return np.random.default_rng((*self._seed, index)).integers(0, _SPARE, (self._bands, 2))


def bands(height: int) -> int:
    """Number of grain bands in a frame of this height."""
    return -(-height // BAND_ROWS)


def vignette(amount: float, width: int, height: int) -> NDArray[np.float32]:
    """The brightness factor of each pixel, 0 to 1.

    It follows the natural vignetting of a lens, the fourth power of the cosine of the angle: from 1 in the center,
    along ellipses with the frame's aspect ratio, to the corners at an angle of one radian.

    Args:
        amount: 0 (none) to 1 (corners at 9 percent).
        width: Columns of the frame or of its chroma.
        height: Rows.

    Returns:
        Shape (height, width).
    """
    import numpy as np

    x, y = (np.arange(0.5, side) * (2 / side) - 1 for side in (width, height))
    radius = np.hypot(x[None, :], y[:, None]) / np.sqrt(2)
    kept: NDArray[np.float32] = (1 - amount * (1 - np.cos(radius) ** 4)).astype(np.float32)
    return kept
