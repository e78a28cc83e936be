"""Chroma of one look: temperature, saturation, gamut, blur and vignette, in one pass, rounded once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from framepack.media.filters.codes import requantised
from framepack.media.filters.grade import Grade, rgb_from_chroma
from framepack.media.filters.luma import BLUR
from framepack.media.filters.smoothing import Kernel, smooth
from framepack.media.filters.strips import widened
from framepack.media.filters.texture import vignette

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from framepack.media.arrays import Planes
    from framepack.media.filters.codes import Layout
    from framepack.presets import FilterSettings

    Plane = NDArray[np.float32]

_INDEX_BITS: Final = 10  # of the luma that chroma is graded by: a sum of four bytes
_SMALL: Final = 1e-6
_HUGE: Final = 1e30


class ChromaFilter:
    """Filters strips of both chroma planes, counted in steps above gray.

    Args:
        settings: the look.
        layout: of the pictures.
    """

    def __init__(self, settings: FilterSettings, layout: Layout) -> None:
        self._layout = layout
        grade = Grade.of(settings)
        self._grade: _ChromaGrade | None = None
        if not grade.is_neutral:
            self._grade = _ChromaGrade(grade, layout)
        variance = (BLUR * settings.blur) ** 2
        self._across, self._down = (Kernel.gaussian(variance / (4 if half else 1)) for half in layout.halved)
        self._vignette: Plane | None = None
        if settings.vignette:
            self._vignette = vignette(settings.vignette / 100, *layout.chroma_size)
        self._is_copy = grade.is_neutral and not settings.blur and not settings.vignette

    def __call__(self, planes: Planes, out: Planes, rows: slice) -> None:
        """Filter the rows ``rows`` of chroma."""
        if self._is_copy:
            for given, wanted in ((planes.u, out.u), (planes.v, out.v)):
                requantised(given[rows], planes.depth, out.depth, wanted[rows])
            return
        halo = self._down.radius, self._across.radius
        load, gray = self._layout.given.load, self._layout.wanted.chroma[1]
        blue, red = (load(widened(plane, rows, *halo), gray) for plane in (planes.u, planes.v))
        if self._grade is not None:
            blue, red = self._grade(blue, red, _luma_around(planes, rows, *halo))
        for values, wanted in ((blue, out.u), (red, out.v)):
            self._finish(values, wanted, rows)

    def _finish(self, values: Plane, out: NDArray[Any], rows: slice) -> None:
        if self._across.radius or self._down.radius:
            values = smooth(values, self._across, self._down)
        if self._vignette is not None:
            values = values * self._vignette[rows]
        self._layout.wanted.store_chroma(values, out[rows])


class _ChromaGrade:
    """The point-wise controls on chroma, with tables over luma; both are counted in steps of chroma."""

    def __init__(self, grade: Grade, layout: Layout) -> None:
        import numpy as np

        matrix, steps = layout.matrix, layout.wanted.chroma[0]
        luma = replace(layout.given, shift=_INDEX_BITS - layout.given.depth).luma_values().clip(0, 1)
        self._balance = grade.chroma(matrix).tolist()
        self._is_tinted = bool(grade.temperature)
        self._rgb = rgb_from_chroma(matrix).tolist()
        self._steps = steps
        self._luma = (luma * steps).astype(np.float32)
        self._toned = (grade.luma(luma).clip(_SMALL, 1 - _SMALL) * steps).astype(np.float32)
        gain = np.broadcast_to(grade.gain(luma), luma.shape).astype(np.float32)
        self._gain = gain if grade.s_curve else None
        self._constant_gain = float(gain[0])

    def __call__(self, blue: Plane, red: Plane, luma: NDArray[np.intp]) -> tuple[Plane, Plane]:
        """Grade chroma by the luma (10-bit codes) that it belongs to; overwrites ``blue`` and ``red``."""
        import numpy as np

        if self._is_tinted:
            y = np.take(self._luma, luma, mode="clip")
            to_blue, to_red = self._rgb[2][1], self._rgb[0][2]
            blue, red = (
                self._balanced(blue, red, y, [*self._balance[0], to_blue]),
                self._balanced(blue, red, y, [*self._balance[1], to_red]),
            )
        gain = self._constant_gain if self._gain is None else np.take(self._gain, luma, mode="clip")
        blue *= gain
        red *= gain
        excess = self._excess(blue, red, np.take(self._toned, luma, mode="clip"))
        blue /= excess
        red /= excess
        return blue, red

    def _balanced(self, blue: Plane, red: Plane, luma: Plane, weights: list[float]) -> Plane:
        """Blue or red difference after temperature, with its colour (the last of ``weights``) within 0..1."""
        import numpy as np

        from_luma, from_blue, from_red, to_color = weights
        values = luma * from_luma
        values += blue * from_blue
        values += red * from_red
        least = luma * (-1 / to_color)
        np.maximum(values, least, out=values)
        least += self._steps / to_color
        np.minimum(values, least, out=values)
        return values

    def _excess(self, blue: Plane, red: Plane, luma: Plane) -> Plane:
        """How many times too strong chroma is for red, green and blue to stay within 0..1; at least 1."""
        import numpy as np

        (_, _, to_red), (_, blue_to_green, red_to_green), (_, to_blue, _) = self._rgb
        first, second = red * to_red, blue * to_blue
        third = blue * blue_to_green
        third += red * red_to_green
        most: Plane = np.maximum(first, second)
        np.maximum(most, third, out=most)
        least = np.minimum(first, second)
        np.minimum(least, third, out=least)
        least /= luma
        luma -= self._steps
        most /= luma
        np.minimum(most, least, out=most)
        np.clip(most, -_HUGE, -1, out=most)
        np.negative(most, out=most)
        return most


def _luma_around(planes: Planes, rows: slice, halo_rows: int, halo_columns: int) -> NDArray[np.intp]:
    """Luma that belongs to the chroma samples of ``widened``, in 10 bits."""
    import numpy as np

    first, last = max(rows.start - halo_rows, 0), min(rows.stop + halo_rows, len(planes.u))
    means = _mean_luma(planes, slice(first, last))
    return widened(means, slice(rows.start - first, rows.stop - first), halo_rows, halo_columns).astype(np.intp)


def _mean_luma(planes: Planes, rows: slice) -> NDArray[Any]:
    """Mean luma of the pixels of each chroma sample in ``rows``, in 10 bits."""
    import numpy as np

    across, down = planes.halved
    luma: NDArray[Any] = planes.y[rows.start << down : rows.stop << down]
    bits = planes.depth + across + down
    if down:
        below = luma[1::2] if len(luma) % 2 == 0 else np.concatenate([luma[1::2], luma[-1:]])
        luma = np.add(luma[0::2], below, dtype=np.uint16)
    if across:
        luma = _pair_sums(luma.astype(np.uint16, copy=False))
    if bits < _INDEX_BITS:
        return luma.astype(np.uint16) << (_INDEX_BITS - bits)
    return luma >> (bits - _INDEX_BITS)


def _pair_sums(values: NDArray[np.uint16]) -> NDArray[np.uint32]:
    """Add up the columns in pairs; an odd last one counts twice."""
    import numpy as np

    if values.shape[1] % 2:
        values = np.concatenate([values, values[:, -1:]], axis=1)
    pairs = np.ascontiguousarray(values).view("<u4")
    sums: NDArray[np.uint32] = (pairs & 0xFFFF) + (pairs >> 16)
    return sums
