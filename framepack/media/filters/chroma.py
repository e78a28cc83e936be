"""Chroma of one look: temperature, saturation, gamut, blur and vignette, in one pass, rounded once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from framepack.media.filters.codes import Table, requantize
from framepack.media.filters.grade import Grade, rgb_from_chroma
from framepack.media.filters.luma import BLUR
from framepack.media.filters.smoothing import Kernel, smooth
from framepack.media.filters.strips import Scratch, surroundings
from framepack.media.filters.texture import vignette

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from framepack.api.filter_settings import FilterSettings
    from framepack.media.filters.codes import Layout
    from framepack.media.frames.arrays import Planes

    Plane = NDArray[np.float32]

_SMALL: Final = 1e-6
_HUGE: Final = 1e30


class ChromaFilter:
    """Filters strips of both chroma planes, counted in steps above gray.

    Attributes:
        is_copy: whether chroma stays as it is.

    Args:
        settings: the look.
        layout: of the frames.
    """

    def __init__(self, settings: FilterSettings, layout: Layout) -> None:
        self._layout = layout
        self._scratch = Scratch()
        grade = Grade.of(settings)
        self._grade = None if grade.is_neutral else _ChromaGrade(grade, layout, self._scratch)
        variance = (BLUR * settings.blur) ** 2
        self._across, self._down = (Kernel.gaussian(variance / (4 if half else 1)) for half in layout.halved)
        self._vignette: Plane | None = None
        if settings.vignette:
            self._vignette = vignette(settings.vignette / 100, *layout.chroma_size)
        self._is_unchanged = grade.is_neutral and not settings.blur and not settings.vignette
        self.is_copy = self._is_unchanged and layout.given == layout.wanted

    def __call__(self, planes: Planes, out: Planes, rows: slice) -> None:
        """Filter the rows ``rows`` of chroma."""
        if self._is_unchanged:
            for given, wanted in ((planes.u, out.u), (planes.v, out.v)):
                requantize(given[rows], planes.depth, out.depth, wanted[rows])
            return
        around, inner = surroundings(rows, self._down.radius, len(planes.u))
        blue, red = self._loaded("blue", planes.u[around]), self._loaded("red", planes.v[around])
        if self._grade is not None:
            blue, red = self._grade(blue, red, _mean_luma(planes, around))
        for values, wanted in ((blue, out.u), (red, out.v)):
            self._finish(values, wanted[rows], rows, inner)

    def _loaded(self, name: str, samples: NDArray[Any]) -> Plane:
        values = self._scratch(name, samples.shape)
        self._layout.given.load(samples, self._layout.wanted.chroma[1], values)
        return values

    def _finish(self, values: Plane, out: NDArray[Any], rows: slice, inner: slice) -> None:
        if self._across.radius or self._down.radius:
            values = smooth(values, self._across, self._down, self._scratch("smooth", values.shape))
        values = values[inner]
        if self._vignette is not None:
            values *= self._vignette[rows]
        self._layout.wanted.store_chroma(values, out)


class _ChromaGrade:
    """The point-wise controls on chroma, with tables over luma; both are counted in steps of chroma."""

    def __init__(self, grade: Grade, layout: Layout, scratch: Scratch) -> None:
        import numpy as np

        matrix, steps = layout.matrix, layout.wanted.chroma[0]
        luma = layout.given.luma_values().clip(0, 1)
        self._balance = grade.chroma(matrix).tolist()
        self._is_tinted = bool(grade.temperature)
        self._rgb = rgb_from_chroma(matrix).tolist()
        self._steps = steps
        self._luma = Table((luma * steps).astype(np.float32))
        self._toned = Table((grade.luma(luma).clip(_SMALL, 1 - _SMALL) * steps).astype(np.float32))
        self._gain = grade.contrast * grade.saturation
        self._slope: Table | None = None
        if grade.s_curve:
            self._slope = Table(grade.gain(luma).astype(np.float32))
        self._scratch = scratch

    def __call__(self, blue: Plane, red: Plane, luma: NDArray[Any]) -> tuple[Plane, Plane]:
        """Grade chroma by the luma (codes as given) that it belongs to; overwrites ``blue`` and ``red``."""
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
        excess = self._excess(blue, red, factor)
        blue /= excess
        red /= excess
        return blue, red

    def _balanced(self, name: str, blue: Plane, red: Plane, luma: Plane, weights: list[float]) -> Plane:
        """Blue or red difference after temperature, with its color (the last of ``weights``) within 0..1."""
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
        """How many times too strong chroma is for red, green and blue to stay within 0..1; at least 1."""
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
    """Mean luma of the pixels of each chroma sample in ``rows``, rounded to a code."""
    import cv2

    across, down = planes.halved
    luma: NDArray[Any] = planes.y[rows.start << down : rows.stop << down]
    height, width = luma.shape
    missing = (height & down, width & across)  # an odd last row or column counts twice
    if any(missing):
        luma = cv2.copyMakeBorder(luma, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
    if not across and not down:
        return luma
    size = luma.shape[1] >> across, luma.shape[0] >> down
    return cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
