"""The point-wise controls as numbers: one tone curve for luma, one gain and one matrix for chroma.

Frames are split into luma y, 0..1, and the differences d of red, green and blue from it. In this order:

    temperature   red is multiplied by 1 + 0.3 t and blue by 1 - 0.3 t, each kept within 0..1; green makes up for y
    brightness,
    contrast      y' = clip(c (y - 1/2) + 1/2 + b, 0..1);   d' = c d
    saturation    d' = s d
    s-curve       y' = curve(y);   d' = curve'(y) d
    gamut         d' is shortened to where every color lies within 0..1

Luma never depends on chroma, so that it is a table; chroma keeps its hue where it is shortened, and ends at gray
where luma ends at black or white. The formulas take NumPy arrays and torch tensors alike; luma is to be within 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from framepack.api.filter_settings import FilterSettings
    from framepack.media.clip import Matrix

_WARMTH: Final = 0.3  # share that red gains and blue loses at temperature 100
_BEND: Final = 0.15  # how far the s-curve moves the quarter tones at strength 100


@dataclass(frozen=True, slots=True)
class Grade:
    """The point-wise controls.

    Attributes:
        brightness: what is added to luma, -1 to 1.
        contrast: factor around mid gray.
        saturation: factor of chroma.
        temperature: -1 (cool) to 1 (warm).
        s_curve: 0 to 1.
    """

    brightness: float = 0
    contrast: float = 1
    saturation: float = 1
    temperature: float = 0
    s_curve: float = 0

    @classmethod
    def of(cls, settings: FilterSettings) -> Grade:
        """The point-wise part of ``settings``."""
        return cls(
            settings.brightness / 100,
            settings.contrast,
            settings.saturation,
            settings.temperature / 100,
            settings.s_curve_contrast / 100,
        )

    @property
    def keeps_luma(self) -> bool:
        """Whether luma stays as it is."""
        return (self.brightness, self.contrast, self.s_curve) == (0, 1, 0)

    @property
    def is_neutral(self) -> bool:
        """Whether everything stays as it is."""
        return self == Grade()

    @property
    def white_balance(self) -> tuple[float, float]:
        """Factors of red and of blue."""
        return 1 + _WARMTH * self.temperature, 1 - _WARMTH * self.temperature

    def luma(self, y: Any) -> Any:
        """The tone curve."""
        straight = self._straight(y)
        return straight + _BEND * self.s_curve * _bow(straight) if self.s_curve else straight

    def gain(self, y: Any) -> Any:
        """Factor of chroma at the luma ``y`` from before the tone curve."""
        if not self.s_curve:
            return self.contrast * self.saturation
        slope = 1 + _BEND * self.s_curve * _bow_slope(self._straight(y))
        return self.contrast * self.saturation * slope

    def chroma(self, matrix: Matrix) -> NDArray[np.float64]:
        """How temperature changes chroma.

        Returns:
            Shape (2, 3): blue and red difference, both -0.5 to 0.5, as sums of luma and the two differences.
        """
        import numpy as np

        to_rgb = rgb_from_chroma(matrix)
        red, blue = self.white_balance
        balanced = np.diag([red, 1, blue]) @ to_rgb
        kr, kb = matrix.red_blue
        balanced_luma = np.array([kr, 1 - kr - kb, kb]) @ balanced
        blue_difference = (balanced[2] - balanced_luma) / (2 * (1 - kb))
        red_difference = (balanced[0] - balanced_luma) / (2 * (1 - kr))
        return np.stack([blue_difference, red_difference])

    def _straight(self, y: Any) -> Any:
        return (self.contrast * (y - 0.5) + (0.5 + self.brightness)).clip(0, 1)


def rgb_from_chroma(matrix: Matrix) -> NDArray[np.float64]:
    """Red, green and blue as sums of luma and the blue and red differences: shape (3, 3)."""
    import numpy as np

    kr, kb = matrix.red_blue
    kg = 1 - kr - kb
    red, blue = 2 * (1 - kr), 2 * (1 - kb)
    return np.array([[1, 0, red], [1, -blue * kb / kg, -red * kr / kg], [1, blue, 0]])


def _bow(x: Any) -> Any:
    """The natural cubic spline through (0, 0), (1/4, -1), (3/4, 1) and (1, 0)."""
    early, late = (x - 0.25).clip(0, 1), (x - 0.75).clip(0, 1)
    return 32 * x**3 - 6 * x + 64 * (late**3 - early**3)


def _bow_slope(x: Any) -> Any:
    early, late = (x - 0.25).clip(0, 1), (x - 0.75).clip(0, 1)
    return 96 * x**2 - 6 + 192 * (late**2 - early**2)
