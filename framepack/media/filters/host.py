"""The filters for pictures on the host: planar YUV in, planar YUV of the same format out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from framepack.media.arrays import Planes, planes_of
from framepack.media.clip import HostFrame
from framepack.media.colors import tag
from framepack.media.filters.chroma import ChromaFilter
from framepack.media.filters.codes import Codes, Layout
from framepack.media.filters.denoise import DEPTH, Denoiser
from framepack.media.filters.luma import LumaFilter
from framepack.media.filters.strips import rows_at_once, strips
from framepack.media.filters.texture import BAND_ROWS, bands

if TYPE_CHECKING:
    from framepack.media.clip import Colors, Frame
    from framepack.media.filters.strips import Run
    from framepack.media.filters.texture import Grain
    from framepack.presets import FilterSettings


class HostFilter:
    """Applies a look to the pictures of one clip, which come in order.

    Args:
        settings: the look.
        colors: what the pictures' samples mean.
        grain: of the clip, or None.
        run: see ``worker_threads``.
    """

    def __init__(self, settings: FilterSettings, colors: Colors, grain: Grain | None, run: Run) -> None:
        self._settings, self._colors, self._grain, self._run = settings, colors, grain, run
        self._denoiser = Denoiser(settings.denoise) if settings.denoise else None
        self._format = ""
        self._luma: LumaFilter
        self._chroma: ChromaFilter

    def __call__(self, frame: Frame, index: int) -> HostFrame:
        """Filter the frame with the number ``index``."""
        import av

        picture = frame.on_host()
        given = planes_of(picture)
        if picture.format.name != self._format:
            self._prepare(given)
            self._format = picture.format.name
        if self._denoiser is not None:
            given = self._denoiser(given, self._run)
        result = av.VideoFrame(picture.width, picture.height, self._format)
        self._run(self._pieces(given, planes_of(result), index))
        tag(result, self._colors)
        return HostFrame(result)

    def _prepare(self, planes: Planes) -> None:
        height, width = planes.y.shape
        wanted = Codes(planes.depth, self._colors.full_range)
        given = wanted if self._denoiser is None else replace(wanted, shift=DEPTH - planes.depth)
        layout = Layout(width, height, planes.halved, self._colors.matrix, given, wanted)
        self._luma = LumaFilter(self._settings, layout, self._grain)
        self._chroma = ChromaFilter(self._settings, layout)

    def _pieces(self, given: Planes, out: Planes, index: int) -> Iterator[partial[None]]:
        height, width = given.y.shape
        places = self._grain.places(index).tolist() if self._grain is not None else [(0, 0)] * bands(height)
        for rows in strips(height, rows_at_once(width)):
            band, offset = divmod(rows.start, BAND_ROWS)
            first_row, first_column = places[band]
            yield partial(self._luma, given.y, out.y, rows, (first_row + offset, first_column))
        for rows in strips(len(given.u), rows_at_once(given.u.shape[1])):
            yield partial(self._chroma, given, out, rows)
