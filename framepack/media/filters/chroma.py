"""Filters for chroma: temperature, saturation, gamut, blur and vignette, in one pass, rounded once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from framepack.media.filters.grade import Grade, rgb_from_chroma
from framepack.media.filters.luma import BLUR
from framepack.media.filters.samples import LookupTable, requantize
from framepack.media.filters.smoothing import Kernel, smooth
from framepack.media.filters.strips import ScratchArrays, with_halo
from framepack.media.filters.texture import vignette

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from framepack.api.filter_settings import FilterSettings
    from framepack.media.filters.samples import Layout
    from framepack.media.frames.arrays import Planes

    Plane = NDArray[np.float32]

_SMALL: Final = 1e-6
_HUGE: Final = 1e30


class ChromaFilter:
    """Filters strips of both chroma planes, in steps above gray.

    Attributes:
        is_copy: Whether chroma is unchanged.

    Args:
        settings: The filter settings.
        layout: The layout of the frames.
    """

    def __init__(self, settings: FilterSettings, layout: Layout) -> None:
        self._layout = layout
        self._scratch = ScratchArrays()
        grade = Grade.of(settings)
        self._grade = None if grade.is_neutral else _ChromaGrade(grade, layout, self._scratch)
        variance = (BLUR * settings.blur) ** 2
        self._across, self._down = (Kernel.gaussian(variance / (4 if half else 1)) for half in layout.halved)
        self._vignette: Plane | None = None
        if settings.vignette:
            self._vignette = vignette(settings.vignette / 100, *layout.chroma_size)
        self._is_unchanged = grade.is_neutral and not settings.blur and not settings.vignette
        self.is_copy = self._is_unchanged and layout.source == layout.target

    def __call__(self, planes: Planes, out: Planes, rows: slice) -> None:
        """Filter some rows of chroma."""
        if self._is_unchanged:
            for source, target in ((planes.u, out.u), (planes.v, out.v)):
                requantize(source[rows], planes.depth, out.depth, target[rows])
            return
        around, inner = with_halo(rows, self._down.radius, len(planes.u))
        blue, red = self._load("blue", planes.u[around]), self._load("red", planes.v[around])
        if self._grade is not None:
            blue, red = self._grade(blue, red, _mean_luma(planes, around))
        for values, target in ((blue, out.u), (red, out.v)):
            self._finish(values, target[rows], rows, inner)

    def _load(self, name: str, samples: NDArray[Any]) -> Plane:
        values = self._scratch(name, samples.shape)
        self._layout.source.load(samples, self._layout.target.chroma[1], values)
        return values

    def _finish(self, values: Plane, out: NDArray[Any], rows: slice, inner: slice) -> None:
        if self._across.radius or self._down.radius:
            values = smooth(values, self._across, self._down, self._scratch("smooth", values.shape))
        values = values[inner]
        if self._vignette is not None:
            values *= self._vignette[rows]
        self._layout.target.store_chroma(values, out)


class _ChromaGrade:
    """The point-wise controls on chroma, with lookup tables over luma; both in steps of chroma."""

    def __init__(self, grade: Grade, layout: Layout, scratch: ScratchArrays) -> None:
        import numpy as np

        matrix, steps = layout.matrix, layout.target.chroma[0]
        luma = layout.source.luma_values().clip(0, 1)
        self._balance = grade.chroma(matrix).tolist()
        self._is_tinted = bool(grade.temperature)
        self._rgb = rgb_from_chroma(matrix).tolist()
        self._steps = steps
        self._luma = LookupTable((luma * steps).astype(np.float32))
        self._toned = LookupTable((grade.luma(luma).clip(_SMALL, 1 - _SMALL) * steps).astype(np.float32))
        self._gain = grade.contrast * grade.saturation
        self._slope: LookupTable | None = None
        if grade.s_curve:
            self._slope = LookupTable(grade.gain(luma).astype(np.float32))
        self._scratch = scratch

    def __call__(self, blue: Plane, red: Plane, luma: NDArray[Any]) -> tuple[Plane, Plane]:
        """Grade chroma with the luma samples of the same pixels; overwrites ``blue`` and ``red``."""
        factor = self._scratch("luma", blue.shape)
        if self._is_tinted:
            self._luma(luma, factor)
            to_blue, to_red = self._rgb[2][1], self._rgb[0][2]
            blue, red = (
                self._balanced("cool", blue, red, factor, [*self._balance[0], to_blue]),
                self._balanced("warm", blue, red, factor, [*self._balance[1], to_red]),
            )
        if self._slope is None:
            blue *= self._gain
            red *= self._gain
        else:
            self._slope(luma, factor)
            blue *= factor
            red *= factor
        self._toned(luma, factor)
        # Where a color would leave 0..1, both differences are divided by the same factor: this keeps the hue.
        excess = self._excess(blue, red, factor)
        blue /= excess
        red /= excess
        return blue, red

    def _balanced(self, name: str, blue: Plane, red: Plane, luma: Plane, weights: list[float]) -> Plane:
        """The blue or red difference after the temperature control, limited so that its color is within 0..1.

        ``weights`` are the factors of luma, blue and red, and the factor from the difference to its color.
        """
        import numpy as np

        from_luma, from_blue, from_red, to_color = weights
        values, part = self._scratch(name, blue.shape), self._scratch("part", blue.shape)
        np.multiply(luma, from_luma, out=values)
        values += np.multiply(blue, from_blue, out=part)
        values += np.multiply(red, from_red, out=part)
        np.multiply(luma, -1 / to_color, out=part)
        np.maximum(values, part, out=values)
        part += self._steps / to_color
        np.minimum(values, part, out=values)
        return values

    def _excess(self, blue: Plane, red: Plane, luma: Plane) -> Plane:
        """The factor by which chroma is too strong for red, green and blue to be within 0..1; at least 1."""
        import numpy as np

        (_, _, to_red), (_, blue_to_green, red_to_green), (_, to_blue, _) = self._rgb
        most, least, color = (self._scratch(name, blue.shape) for name in ("most", "least", "part"))
        np.multiply(red, to_red, out=color)
        np.multiply(blue, to_blue, out=least)
        np.maximum(color, least, out=most)
        np.minimum(color, least, out=least)
        green = np.multiply(red, red_to_green, out=color)
        green += np.multiply(blue, blue_to_green, out=self._scratch("green", blue.shape))
        np.maximum(most, green, out=most)
        np.minimum(least, green, out=least)
        least /= luma
        luma -= self._steps
        most /= luma
        np.minimum(most, least, out=most)
        np.clip(most, -_HUGE, -1, out=most)
        np.negative(most, out=most)
        return most


def _mean_luma(planes: Planes, rows: slice) -> NDArray[Any]:
    """The mean luma of each chroma sample in ``rows``, rounded to an integer."""
    import cv2

    across, down = planes.halved
    luma: NDArray[Any] = planes.y[rows.start << down : rows.stop << down]
    height, width = luma.shape
    missing = (height & down, width & across)  # an odd last row or column counts double
    if any(missing):
        luma = cv2.copyMakeBorder(luma, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
    if not across and not down:
        return luma
    size = luma.shape[1] >> across, luma.shape[0] >> down
    return cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
