"""The point-wise controls as formulas: one tone curve for luma, one gain and one matrix for chroma.

Frames are split into luma y, 0..1, and the differences d of red, green and blue from it. In order of application:

    temperature   red is multiplied by 1 + 0.3 t and blue by 1 - 0.3 t, each clipped to 0..1; green keeps y
    contrast,
    brightness    y' = clip(c (y - 1/2) + 1/2 + b, 0..1);   d' = c d
    saturation    d' = s d
    s-curve       y' = curve(y);   d' = curve'(y) d
    gamut         d' is scaled down until every color is within 0..1

Luma never depends on chroma, so it is a lookup table. Chroma keeps its hue where it is scaled down, and becomes gray
where luma is black or white. The formulas work on NumPy arrays and torch tensors; luma has to be within 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from framepack.api.filter_settings import FilterSettings
    from framepack.media.clip import Matrix

_WARMTH: Final = 0.3  # fraction that red gains and blue loses at temperature 100
_S_CURVE_STRENGTH: Final = 0.15  # how far the s-curve moves the quarter tones at 100


@dataclass(frozen=True, slots=True)
class Grade:
    """The point-wise controls.

    Attributes:
        brightness: Added to luma after ``contrast``, -1 to 1.
        contrast: Factor around mid gray.
        saturation: Factor of chroma.
        temperature: -1 (cool) to 1 (warm).
        s_curve: Strength, 0 to 1.
    """

    brightness: float = 0
    contrast: float = 1
    saturation: float = 1
    temperature: float = 0
    s_curve: float = 0

    @classmethod
    def of(cls, settings: FilterSettings) -> Grade:
        """The point-wise controls of ``settings``."""
        return cls(
            settings.brightness / 100,
            settings.contrast,
            settings.saturation,
            settings.temperature / 100,
            settings.s_curve_contrast / 100,
        )

    @property
    def keeps_luma(self) -> bool:
        """Whether luma is unchanged."""
        return (self.brightness, self.contrast, self.s_curve) == (0, 1, 0)

    @property
    def is_neutral(self) -> bool:
        """Whether all controls are neutral."""
        return self == Grade()

    @property
    def white_balance(self) -> tuple[float, float]:
        """Factors of red and blue."""
        return 1 + _WARMTH * self.temperature, 1 - _WARMTH * self.temperature

    def luma(self, y: Any) -> Any:
        """The tone curve."""
        straight = self._straight(y)
        return straight + _S_CURVE_STRENGTH * self.s_curve * _s_curve(straight) if self.s_curve else straight

    def gain(self, y: Any) -> Any:
        """Factor of chroma at luma ``y``, taken before the tone curve."""
        if not self.s_curve:
            return self.contrast * self.saturation
        slope = 1 + _S_CURVE_STRENGTH * self.s_curve * _s_curve_slope(self._straight(y))
        return self.contrast * self.saturation * slope

    def chroma(self, matrix: Matrix) -> NDArray[np.float64]:
        """The matrix of the temperature control on chroma.

        Returns:
            Shape (2, 3): the rows are the new blue and red difference, -0.5 to 0.5; the columns are the factors of
            luma and the two differences.
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
    """The matrix from (luma, blue difference, red difference) to (red, green, blue), shape (3, 3)."""
    import numpy as np

    kr, kb = matrix.red_blue
    kg = 1 - kr - kb
    red, blue = 2 * (1 - kr), 2 * (1 - kb)
    return np.array([[1, 0, red], [1, -blue * kb / kg, -red * kr / kg], [1, blue, 0]])


def _s_curve(x: Any) -> Any:
    """The natural cubic spline through (0, 0), (1/4, -1), (3/4, 1) and (1, 0)."""
    early, late = (x - 0.25).clip(0, 1), (x - 0.75).clip(0, 1)
    return 32 * x**3 - 6 * x + 64 * (late**3 - early**3)


def _s_curve_slope(x: Any) -> Any:
    early, late = (x - 0.25).clip(0, 1), (x - 0.75).clip(0, 1)
    return 96 * x**2 - 6 + 192 * (late**2 - early**2)
