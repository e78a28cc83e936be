"""Filters for luma: the tone curve, blur, sharpening, grain and vignette, in one pass, rounded once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from framepack.media.filters.grade import Grade
from framepack.media.filters.samples import LookupTable, requantize
from framepack.media.filters.smoothing import Kernel, smooth
from framepack.media.filters.strips import ScratchArrays, with_halo
from framepack.media.filters.texture import Grain, vignette

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from framepack.api.filter_settings import FilterSettings
    from framepack.media.filters.samples import Layout

    Plane = NDArray[np.float32]

BLUR: Final = 0.4  # standard deviation in pixels per unit
SHARPEN: Final = 0.3  # share of the detail that is added per unit
DETAIL: Final = Kernel(narrow=2)  # detail is what this kernel (1-4-6-4-1) removes
_BYTE: Final = 8


class LumaFilter:
    """Filters strips of luma, in steps above black.

    Attributes:
        is_copy: Whether luma is unchanged.

    Args:
        settings: The filter settings.
        layout: The layout of the frames.
        grain: The film grain of the clip, or None.
    """

    def __init__(self, settings: FilterSettings, layout: Layout, grain: Grain | None) -> None:
        grade = Grade.of(settings)
        self._layout = layout
        self._steps, self._black = layout.target.luma
        self._blur = Kernel.gaussian((BLUR * settings.blur) ** 2)
        self._sharpen = SHARPEN * settings.sharpen
        self._grain = None if grain is None else grain.noise * (1 / self._steps)
        self._vignette: Plane | None = None
        if settings.vignette:
            self._vignette = vignette(settings.vignette / 100, layout.width, layout.height)
        self._is_tone_only = not (self._blur.radius or self._sharpen or grain or settings.vignette)
        self._table = None if grade.keeps_luma else LookupTable(self._toned(grade))
        self._scratch = ScratchArrays()
        self.is_copy = self._is_tone_only and self._table is None and layout.source == layout.target

    def __call__(self, samples: NDArray[Any], out: NDArray[Any], rows: slice, offset: tuple[int, int]) -> None:
        """Filter some rows of a plane.

        Args:
            samples: The whole input plane.
            out: The whole output plane.
            rows: The rows, within one band of grain.
            offset: Row and column at which their grain begins in ``Grain.noise``.
        """
        if not self._is_tone_only:
            self._layout.target.store_luma(self._filtered(samples, rows, offset), out[rows])
        elif self._table is None:
            requantize(samples[rows], self._layout.source.bits, self._layout.target.bits, out[rows])
        else:
            self._table(samples[rows], out[rows])

    def _toned(self, grade: Grade) -> NDArray[Any]:
        """The tone curve of all sample values: as samples if no other filter follows, else as steps above black."""
        import numpy as np

        values = grade.luma(self._layout.source.luma_values().clip(0, 1)) * self._steps
        if not self._is_tone_only:
            return np.asarray(values, np.float32)
        samples: NDArray[Any] = np.empty(len(values), np.uint8 if self._layout.target.depth == _BYTE else np.uint16)
        self._layout.target.store_luma(values, samples)
        return samples

    def _filtered(self, samples: NDArray[Any], rows: slice, offset: tuple[int, int]) -> Plane:
        halo = self._blur.radius + (DETAIL.radius if self._sharpen else 0)
        around, inner = with_halo(rows, halo, len(samples))
        given = samples[around]
        values, spare = self._scratch("values", given.shape), self._scratch("spare", given.shape)
        if self._table is None:
            self._layout.source.load(given, self._black, values)
        else:
            self._table(given, values)
        if self._blur.radius:
            values, spare = smooth(values, self._blur, self._blur, spare), values
        if self._sharpen:
            self._add_detail(values, spare)
        values, spare = values[inner], spare[inner]
        if self._grain is not None:
            self._add_grain(values, self._grain, offset, spare)
        if self._vignette is not None:
            values *= self._vignette[rows]
        return values

    def _add_detail(self, values: Plane, spare: Plane) -> None:
        """Sharpen: add the detail that the kernel ``DETAIL`` removes."""
        import cv2

        smooth(values, DETAIL, DETAIL, spare)
        cv2.addWeighted(values, 1 + self._sharpen, spare, -self._sharpen, 0, values)

    def _add_grain(self, values: Plane, noise: Plane, offset: tuple[int, int], spare: Plane) -> None:
        """Add grain, strongest in mid gray and zero in black and white."""
        import numpy as np

        row, column = offset
        height, width = values.shape
        np.subtract(self._steps, values, out=spare)
        spare *= values
        spare *= noise[row : row + height, column : column + width]
        values += spare
