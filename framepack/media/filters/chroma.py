"""Chroma of one look: temperature, saturation, gamut, blur and vignette, in one pass, rounded once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from framepack.media.filters.codes import Codes, requantised
from framepack.media.filters.grade import Grade, rgb_from_chroma
from framepack.media.filters.luma import BLUR
from framepack.media.filters.smoothing import Kernel, smooth
from framepack.media.filters.strips import widened
from framepack.media.filters.texture import vignette

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from framepack.media.arrays import Planes
    from framepack.media.clip import Matrix
    from framepack.media.filters.codes import Layout
    from framepack.presets import FilterSettings

    Plane = NDArray[np.float32]

_INDEX_BITS: Final = 10  # of the luma that chroma is graded by: a sum of four bytes
_SMALL: Final = 1e-6


class ChromaFilter:
    """Filters strips of both chroma planes.

    Args:
        settings: the look.
        layout: of the pictures.
    """

    def __init__(self, settings: FilterSettings, layout: Layout) -> None:
        self._layout = layout
        grade = Grade.of(settings)
        self._grade: _ChromaGrade | None = None
        if not grade.is_neutral:
            self._grade = _ChromaGrade(grade, layout.matrix, full_range=layout.given.full_range)
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
        blue, red = (self._load(widened(plane, rows, *halo)) for plane in (planes.u, planes.v))
        if self._grade is not None:
            blue, red = self._grade(blue, red, _luma_around(planes, rows, *halo))
        for values, wanted in ((blue, out.u), (red, out.v)):
            self._finish(values, wanted, rows)

    def _load(self, codes: NDArray[Any]) -> Plane:
        import numpy as np

        steps, gray = self._layout.given.chroma
        values = codes.astype(np.float32)
        values -= gray
        values *= 1 / steps
        return values

    def _finish(self, values: Plane, out: NDArray[Any], rows: slice) -> None:
        if self._across.radius or self._down.radius:
            values = smooth(values, self._across, self._down)
        if self._vignette is not None:
            values = values * self._vignette[rows]
        self._layout.wanted.store_chroma(values, out[rows])


class _ChromaGrade:
    """The point-wise controls on chroma, with tables over luma."""

    def __init__(self, grade: Grade, matrix: Matrix, *, full_range: bool) -> None:
        import numpy as np

        luma = Codes(_INDEX_BITS, full_range).luma_values()
        self._balance = grade.chroma(matrix).tolist() if grade.temperature else None
        self._rgb = rgb_from_chroma(matrix).tolist()
        self._luma, self._toned = luma.astype(np.float32), grade.luma(luma).astype(np.float32)
        gain = grade.gain(luma)
        self._gain = gain.astype(np.float32) if grade.s_curve else gain

    def __call__(self, blue: Plane, red: Plane, luma: NDArray[np.intp]) -> tuple[Plane, Plane]:
        """Grade chroma, -0.5 to 0.5, by the luma (10-bit codes) that it belongs to."""
        import numpy as np

        if self._balance is not None:
            y = np.take(self._luma, luma, mode="clip")
            blue, red = (a * y + b * blue + c * red for a, b, c in self._balance)
        gain = self._gain if np.isscalar(self._gain) else np.take(self._gain, luma, mode="clip")
        blue *= gain
        red *= gain
        room = self._room(blue, red, np.take(self._toned, luma, mode="clip"))
        blue *= room
        red *= room
        return blue, red

    def _room(self, blue: Plane, red: Plane, luma: Plane) -> Plane:
        """The largest factor of chroma, up to 1, with which red, green and blue stay within 0..1."""
        import numpy as np

        parts = [b * blue + c * red for _, b, c in self._rgb]
        most = np.maximum(np.maximum(parts[0], parts[1]), parts[2])
        least = np.minimum(np.minimum(parts[0], parts[1]), parts[2])
        above = (1 - luma) / np.maximum(most, np.float32(_SMALL))
        below = luma / np.maximum(-least, np.float32(_SMALL))
        room: Plane = np.clip(np.minimum(above, below), np.float32(0), np.float32(1))
        return room


def _luma_around(planes: Planes, rows: slice, halo_rows: int, halo_columns: int) -> NDArray[np.intp]:
    """Luma that belongs to the chroma samples of ``widened``, in 10 bits."""
    import numpy as np

    first, last = max(rows.start - halo_rows, 0), min(rows.stop + halo_rows, len(planes.u))
    means = _mean_luma(planes, slice(first, last))
    return widened(means, slice(rows.start - first, rows.stop - first), halo_rows, halo_columns).astype(np.intp)


def _mean_luma(planes: Planes, rows: slice) -> NDArray[np.uint16]:
    """Mean luma of the pixels of each chroma sample in ``rows``, in 10 bits."""
    import numpy as np

    across, down = planes.halved
    luma = planes.y[rows.start << down : rows.stop << down].astype(np.uint16)
    bits = planes.depth + across + down
    if down:
        luma = luma[0::2] + (luma[1::2] if len(luma) % 2 == 0 else np.concatenate([luma[1::2], luma[-1:]]))
    if across:
        if luma.shape[1] % 2:
            luma = np.concatenate([luma, luma[:, -1:]], axis=1)
        luma = luma[:, 0::2] + luma[:, 1::2]
    return luma << (_INDEX_BITS - bits) if bits < _INDEX_BITS else luma >> (bits - _INDEX_BITS)
