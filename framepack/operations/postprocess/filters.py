"""``POST /postprocess/filters``: apply filter controls to a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import Field, create_model, model_validator

from framepack.api.filter_settings import (
    CONTROLS,
    FILTER_PRESETS,
    FilterSettings,
    built_in_preset,
    by_request_names,
    control_fields,
    find_preset,
)
from framepack.api.names import PresetName, listed_by
from framepack.api.schemas import CallbackRequest, Request, VideoRequest, VideoResponse
from framepack.api.workflow import PresetStep
from framepack.closing import closing
from framepack.media.clip import Clip, Frame, HostFrame
from framepack.media.frames.colors import is_hdr
from framepack.media.iteration import convert_each
from framepack.processing.context import Context
from framepack.processing.effect import effect, never
from framepack.processing.operation import operation
from framepack.processing.render import render

if TYPE_CHECKING:
    from framepack.media.filters.strips import RunTasks

    _Controls = Request
else:
    _Controls = create_model("_Controls", __base__=Request, **control_fields())


class FiltersParams(_Controls):
    """A preset, and controls that are set differently. ``film_grain_strength`` means ``film_grain``."""

    preset: PresetName | None = Field(
        None,
        description=f"Filter preset name ({', '.join(FILTER_PRESETS)}, or a saved one); sent fields win over it",
        json_schema_extra=listed_by("/filters/presets", "presets"),
    )

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, data: object) -> object:
        return by_request_names(data)

    def settings(self, look_up: Callable[[str], FilterSettings | None] = built_in_preset) -> FilterSettings:
        """All controls: the preset's, replaced by the ones that were sent.

        Args:
            look_up: Knows the presets.

        Raises:
            NotFound: There is no such preset.
        """
        base = FilterSettings() if self.preset is None else find_preset(self.preset, look_up)
        sent = [control for control in CONTROLS if control.request_name in self.model_fields_set]
        return base.model_copy(update={control.name: getattr(self, control.request_name) for control in sent})


if TYPE_CHECKING:
    _WholeControls = FiltersParams
else:
    _WholeControls = create_model("_WholeControls", __base__=FiltersParams, **control_fields(as_whole=True))


class FiltersRequest(VideoRequest, _WholeControls, CallbackRequest):
    """A video and the filters for it; some controls are whole numbers here, though not in presets and steps."""


@effect(
    "filters",
    order=3,
    preset=PresetStep(
        "Filters",
        {control.name: control.request_name for control in CONTROLS},
        defaults={control.name: control.default for control in CONTROLS},
        order=4,
    ),
    needs_model=never,
)
def filtered(clip: Clip, params: FiltersParams, ctx: Context) -> Clip:
    """Change how every frame looks; size, rate, length and audio stay. Without an effect, frames pass untouched."""
    settings = params.settings(ctx.filter_preset)
    if settings.is_neutral:
        return clip
    if is_hdr(clip.colors) and _changes_tone(settings):
        ctx.job.warn("The video is HDR: filters that change tones act on its signal, and more strongly than on SDR.")
    return clip.with_frames(lambda: _frames(clip, settings), width=clip.width, height=clip.height)


@operation(
    "POST",
    "/postprocess/filters",
    examples={
        "Four controls": {
            "video_url": "https://example.com/video.mp4",
            "brightness": 10,
            "contrast": 1.3,
            "saturation": 0.9,
            "vignette": 15,
        },
    },
)
def filters(request: FiltersRequest, ctx: Context) -> VideoResponse:
    """Apply visual filters or a filter preset to a video."""
    request.settings(ctx.filter_preset)  # fail before anything is downloaded
    return render(request, [filtered.bind(request)], ctx, suffix="filtered", message="Filters applied successfully")


def _changes_tone(settings: FilterSettings) -> bool:
    from framepack.media.filters.grade import Grade

    return not replace(Grade.of(settings), saturation=1).is_neutral or settings.vignette > 0


def _frames(clip: Clip, settings: FilterSettings) -> Iterator[Frame]:
    """Filter frames where they are stored. A repeated frame stays one object, unless it gets new grain."""
    from framepack.media.filters.strips import filter_threads

    with closing(clip.frames()) as frames, filter_threads() as run:
        filter_frame = _FrameFilter(clip, settings, run)
        if settings.film_grain_strength:
            yield from (filter_frame(frame, index) for index, frame in enumerate(frames))
        else:
            yield from convert_each(frames, lambda frame: filter_frame(frame, 0))  # only grain depends on the index


class _FrameFilter:
    """Finds out, frame by frame, where to filter it."""

    def __init__(self, clip: Clip, settings: FilterSettings, run: RunTasks) -> None:
        from framepack.media.filters.texture import Grain

        grain = None
        if settings.film_grain_strength:
            seed = (clip.width, clip.height, clip.length or 0)
            grain = Grain(settings.film_grain_strength, clip.width, clip.height, seed)
        self._settings, self._colors, self._grain, self._run = settings, clip.colors, grain, run

    def __call__(self, frame: Frame, index: int) -> Frame:
        if isinstance(frame, HostFrame) or self._is_on_cpu(frame):
            return self._on_host(frame, index)
        return self._on_device(frame, index)

    @staticmethod
    def _is_on_cpu(frame: Frame) -> bool:
        """Whether the frame's device is the CPU, where the host's filters are several times as fast."""
        from framepack.models.frames.device_frame import DeviceFrame

        return isinstance(frame, DeviceFrame) and frame.is_on_cpu

    @cached_property
    def _on_host(self) -> Callable[[Frame, int], Frame]:
        from framepack.media.filters.host_filter import HostFilter

        return HostFilter(self._settings, self._colors, self._grain, self._run)

    @cached_property
    def _on_device(self) -> Callable[[Frame, int], Frame]:
        from framepack.models.frames.device_filter import DeviceFilter

        return DeviceFilter(self._settings, self._colors, self._grain)
