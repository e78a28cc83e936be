"""The filters for frames on the host: planar YUV in, planar YUV of the same format out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from framepack.media.clip import HostFrame
from framepack.media.filters.chroma import ChromaFilter
from framepack.media.filters.codes import Codes, Layout
from framepack.media.filters.denoise import DEPTH, Denoiser
from framepack.media.filters.luma import LumaFilter
from framepack.media.filters.strips import rows_at_once, strips
from framepack.media.filters.texture import BAND_ROWS, bands
from framepack.media.frames.arrays import Planes, planes_of
from framepack.media.frames.colors import tag
from framepack.media.frames.graph import build_graph

if TYPE_CHECKING:
    import av

    from framepack.api.filter_settings import FilterSettings
    from framepack.media.clip import Colors, Frame
    from framepack.media.filters.strips import Run
    from framepack.media.filters.texture import Grain


class HostFilter:
    """Applies a look to the frames of one clip, which come in order.

    Frames may be of several formats; noise of each is removed by the past of its own.

    Args:
        settings: the look.
        colors: what the frames' samples mean.
        grain: of the clip, or None.
        run: see ``worker_threads``.
    """

    def __init__(self, settings: FilterSettings, colors: Colors, grain: Grain | None, run: Run) -> None:
        self._settings, self._colors, self._grain, self._run = settings, colors, grain, run
        self._filters: dict[str, _FormatFilter] = {}

    def __call__(self, frame: Frame, index: int) -> HostFrame:
        """Filter the frame with the number ``index``."""
        image = frame.on_host()
        name = image.format.name
        if name not in self._filters:
            self._filters[name] = _FormatFilter(self._settings, self._colors, self._grain, image)
        result = self._filters[name](image, index, self._run)
        tag(result, self._colors)
        return HostFrame(result)


class _FormatFilter:
    """Filters frames of one format, that of ``example``."""

    def __init__(self, settings: FilterSettings, colors: Colors, grain: Grain | None, example: av.VideoFrame) -> None:
        planes = planes_of(example)
        wanted = Codes(planes.depth, colors.full_range)
        given = wanted if not settings.denoise else replace(wanted, shift=DEPTH - planes.depth)
        height, width = planes.y.shape
        layout = Layout(width, height, planes.halved, colors.matrix, given, wanted)
        self._grain = grain
        self._denoiser = Denoiser(settings.denoise) if settings.denoise else None
        self._luma = LumaFilter(settings, layout, grain)
        self._chroma = ChromaFilter(settings, layout)
        self._copier = build_graph(example, ["copy"])

    def __call__(self, frame: av.VideoFrame, index: int, run: Run) -> av.VideoFrame:
        result = self._copied(frame)
        given = planes_of(frame)
        if self._denoiser is not None:
            given = self._denoiser(given, run)
        run(self._pieces(given, planes_of(result), index))
        return result

    def _copied(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Copy a frame into memory that is used again as soon as nobody holds the copy."""
        self._copier.vpush(frame)
        return self._copier.vpull()

    def _pieces(self, given: Planes, out: Planes, index: int) -> Iterator[partial[None]]:
        """The work that is left once everything has been copied."""
        height, width = given.y.shape
        places = self._grain.places(index).tolist() if self._grain is not None else [(0, 0)] * bands(height)
        for rows in strips(0 if self._luma.is_copy else height, rows_at_once(width)):
            band, offset = divmod(rows.start, BAND_ROWS)
            first_row, first_column = places[band]
            yield partial(self._luma, given.y, out.y, rows, (first_row + offset, first_column))
        height, width = given.u.shape
        for rows in strips(0 if self._chroma.is_copy else height, rows_at_once(width)):
            yield partial(self._chroma, given, out, rows)
