"""Luma of one look: the tone curve, blur, sharpening, grain and vignette, in one pass, rounded once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from framepack.media.filters.codes import Table, requantize
from framepack.media.filters.grade import Grade
from framepack.media.filters.smoothing import Kernel, smooth
from framepack.media.filters.strips import Scratch, surroundings
from framepack.media.filters.texture import Grain, vignette

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from framepack.api.filter_settings import FilterSettings
    from framepack.media.filters.codes import Layout

    Plane = NDArray[np.float32]

BLUR: Final = 0.4  # standard deviation in pixels for each unit
SHARPEN: Final = 0.3  # share of the detail that is added for each unit
DETAIL: Final = Kernel(narrow=2)  # what is finer than this (1-4-6-4-1) is detail
_BYTE: Final = 8


class LumaFilter:
    """Filters strips of luma, counted in steps above black.

    Attributes:
        is_copy: whether luma stays as it is.

    Args:
        settings: the look.
        layout: of the frames.
        grain: of the clip, or None.
    """

    def __init__(self, settings: FilterSettings, layout: Layout, grain: Grain | None) -> None:
        grade = Grade.of(settings)
        self._layout = layout
        self._steps, self._black = layout.wanted.luma
        self._blur = Kernel.gaussian((BLUR * settings.blur) ** 2)
        self._sharpen = SHARPEN * settings.sharpen
        self._grain = None if grain is None else grain.stock * (1 / self._steps)
        self._vignette: Plane | None = None
        if settings.vignette:
            self._vignette = vignette(settings.vignette / 100, layout.width, layout.height)
        self._is_tone_only = not (self._blur.radius or self._sharpen or grain or settings.vignette)
        self._table = None if grade.keeps_luma else Table(self._toned(grade))
        self._scratch = Scratch()
        self.is_copy = self._is_tone_only and self._table is None and layout.given == layout.wanted

    def __call__(self, samples: NDArray[Any], out: NDArray[Any], rows: slice, place: tuple[int, int]) -> None:
        """Filter the rows ``rows`` of a plane into ``out``, whole planes both.

        Args:
            samples: the plane as it comes.
            out: the plane as it goes.
            rows: within one band of grain.
            place: where in its stock the grain of these rows begins.
        """
        if not self._is_tone_only:
            self._layout.wanted.store_luma(self._filtered(samples, rows, place), out[rows])
        elif self._table is None:
            requantize(samples[rows], self._layout.given.bits, self._layout.wanted.bits, out[rows])
        else:
            self._table(samples[rows], out[rows])

    def _toned(self, grade: Grade) -> NDArray[Any]:
        """The tone curve over all codes: as codes if nothing is to follow, else as steps above black."""
        import numpy as np

        values = grade.luma(self._layout.given.luma_values().clip(0, 1)) * self._steps
        if not self._is_tone_only:
            return np.asarray(values, np.float32)
        codes: NDArray[Any] = np.empty(len(values), np.uint8 if self._layout.wanted.depth == _BYTE else np.uint16)
        self._layout.wanted.store_luma(values, codes)
        return codes

    def _filtered(self, samples: NDArray[Any], rows: slice, place: tuple[int, int]) -> Plane:
        halo = self._blur.radius + (DETAIL.radius if self._sharpen else 0)
        around, inner = surroundings(rows, halo, len(samples))
        given = samples[around]
        values, spare = self._scratch("values", given.shape), self._scratch("spare", given.shape)
        if self._table is None:
            self._layout.given.load(given, self._black, values)
        else:
            self._table(given, values)
        if self._blur.radius:
            values, spare = smooth(values, self._blur, self._blur, spare), values
        if self._sharpen:
            self._add_detail(values, spare)
        values, spare = values[inner], spare[inner]
        if self._grain is not None:
            self._add_grain(values, self._grain, place, spare)
        if self._vignette is not None:
            values *= self._vignette[rows]
        return values

    def _add_detail(self, values: Plane, spare: Plane) -> None:
        """Add what is finer than the detail's kernel."""
        import cv2

        smooth(values, DETAIL, DETAIL, spare)
        cv2.addWeighted(values, 1 + self._sharpen, spare, -self._sharpen, 0, values)

    def _add_grain(self, values: Plane, stock: Plane, place: tuple[int, int], spare: Plane) -> None:
        """Add grain, in full in mid gray and none in black and white."""
        import numpy as np

        row, column = place
        height, width = values.shape
        np.subtract(self._steps, values, out=spare)
        spare *= values
        spare *= stock[row : row + height, column : column + width]
        values += spare
