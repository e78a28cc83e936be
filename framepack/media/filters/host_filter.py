"""The filters for frames in host memory: planar YUV in, planar YUV of the same format out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from framepack.media.clip import HostFrame
from framepack.media.filters.chroma import ChromaFilter
from framepack.media.filters.denoise import DEPTH, Denoiser
from framepack.media.filters.luma import LumaFilter
from framepack.media.filters.samples import Layout, SampleFormat
from framepack.media.filters.strips import strip_rows, strips
from framepack.media.filters.texture import BAND_ROWS, bands
from framepack.media.frames.arrays import Planes, planes_of
from framepack.media.frames.colors import tag
from framepack.media.frames.graph import build_graph

if TYPE_CHECKING:
    import av

    from framepack.api.filter_settings import FilterSettings
    from framepack.media.clip import Colors, Frame
    from framepack.media.filters.strips import RunTasks
    from framepack.media.filters.texture import Grain


class HostFilter:
    """Applies filter settings to the frames of one clip, in order.

    Frames may have several pixel formats; each is denoised separately.

    Args:
        settings: The filter settings.
        colors: The color tags of the clip.
        grain: The film grain of the clip, or None.
        run: The result of ``filter_threads``.
    """

    def __init__(self, settings: FilterSettings, colors: Colors, grain: Grain | None, run: RunTasks) -> None:
        self._settings, self._colors, self._grain, self._run = settings, colors, grain, run
        self._filters: dict[str, _FormatFilter] = {}

    def __call__(self, frame: Frame, index: int) -> HostFrame:
        """Filter frame number ``index``."""
        image = frame.on_host()
        name = image.format.name
        if name not in self._filters:
            self._filters[name] = _FormatFilter(self._settings, self._colors, self._grain, image)
        result = self._filters[name](image, index, self._run)
        tag(result, self._colors)
        return HostFrame(result)


class _FormatFilter:
    """Filters frames of the pixel format of ``example``."""

    def __init__(self, settings: FilterSettings, colors: Colors, grain: Grain | None, example: av.VideoFrame) -> None:
        planes = planes_of(example)
        target = SampleFormat(planes.depth, colors.full_range)
        source = target if not settings.denoise else replace(target, shift=DEPTH - planes.depth)
        height, width = planes.y.shape
        layout = Layout(width, height, planes.halved, colors.matrix, source, target)
        self._grain = grain
        self._denoiser = Denoiser(settings.denoise) if settings.denoise else None
        self._luma = LumaFilter(settings, layout, grain)
        self._chroma = ChromaFilter(settings, layout)
        self._copier = build_graph(example, ["copy"])

    def __call__(self, frame: av.VideoFrame, index: int, run: RunTasks) -> av.VideoFrame:
        result = self._copied(frame)
        given = planes_of(frame)
        if self._denoiser is not None:
            given = self._denoiser(given, run)
        run(self._tasks(given, planes_of(result), index))
        return result

    def _copied(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Copy a frame into memory that FFmpeg reuses when the copy is released."""
        self._copier.vpush(frame)
        return self._copier.vpull()

    def _tasks(self, given: Planes, out: Planes, index: int) -> Iterator[partial[None]]:
        """The tasks that overwrite a copy of the frame; planes that stay as they are have none."""
        height, width = given.y.shape
        offsets = self._grain.offsets(index).tolist() if self._grain is not None else [(0, 0)] * bands(height)
        for rows in strips(0 if self._luma.is_copy else height, strip_rows(width)):
            band, offset = divmod(rows.start, BAND_ROWS)
            first_row, first_column = offsets[band]
            yield partial(self._luma, given.y, out.y, rows, (first_row + offset, first_column))
        height, width = given.u.shape
        for rows in strips(0 if self._chroma.is_copy else height, strip_rows(width)):
            yield partial(self._chroma, given, out, rows)
