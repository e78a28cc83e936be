"""``POST /postprocess/filters``: give a video a look."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field, model_validator

from framepack.api.filter_settings import (
    BRIGHTNESS,
    FILM_GRAIN,
    S_CURVE_CONTRAST,
    TEMPERATURE,
    VIGNETTE,
    Blur,
    Brightness,
    Contrast,
    Denoise,
    FilmGrain,
    FilterSettings,
    Saturation,
    SCurveContrast,
    Sharpen,
    Temperature,
    Vignette,
    built_in_preset,
    find_preset,
    respelled,
)
from framepack.api.names import PresetName
from framepack.api.schemas import CallbackRequest, Request, VideoRequest, VideoResponse, whole
from framepack.media.clip import Clip, Frame, HostFrame
from framepack.processing.context import Context
from framepack.processing.effect import effect
from framepack.processing.operation import operation
from framepack.processing.render import render

if TYPE_CHECKING:
    from framepack.media.filters.strips import Run


_SPELLINGS = {"film_grain": "film_grain_strength"}
_WHOLE = BeforeValidator(whole)


class FiltersParams(Request):
    """The look: a preset, and controls that are set differently. ``film_grain_strength`` means ``film_grain``."""

    brightness: Brightness = 0
    contrast: Contrast = 1.0
    saturation: Saturation = 1.0
    temperature: Temperature = 0
    sharpen: Sharpen = 0.0
    blur: Blur = 0.0
    denoise: Denoise = 0.0
    vignette: Vignette = 0
    s_curve_contrast: SCurveContrast = 0
    film_grain: FilmGrain = 0
    preset: PresetName | None = Field(
        None,
        description="Filter preset name (none, cinematic, vintage, cool, warm, dramatic, or a saved one); "
        "sent fields win over it",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, data: object) -> object:
        return respelled(data, "film_grain_strength", "film_grain")

    def settings(self, look_up: Callable[[str], FilterSettings | None] = built_in_preset) -> FilterSettings:
        """All controls: the preset's, and over them those that were sent.

        Args:
            look_up: knows the presets.

        Raises:
            NotFound: there is no such preset.
        """
        base = FilterSettings() if self.preset is None else find_preset(self.preset, look_up)
        sent = FiltersParams.model_fields.keys() & self.model_fields_set - {"preset"}
        values = {_SPELLINGS.get(name, name): getattr(self, name) for name in sent}
        return base.model_copy(update=values)


class FiltersRequest(VideoRequest, FiltersParams, CallbackRequest):
    """A video and its look; some controls are whole numbers here, though not in presets and steps."""

    brightness: Annotated[int, BRIGHTNESS, _WHOLE] = 0
    temperature: Annotated[int, TEMPERATURE, _WHOLE] = 0
    vignette: Annotated[int, VIGNETTE, _WHOLE] = 0
    s_curve_contrast: Annotated[int, S_CURVE_CONTRAST, _WHOLE] = 0
    film_grain: Annotated[int, FILM_GRAIN, _WHOLE] = 0


@effect("filters")
def filtered(clip: Clip, params: FiltersParams, ctx: Context) -> Clip:
    """Change how every frame looks; size, rate, length and audio stay. Without an effect, frames pass untouched."""
    settings = params.settings(ctx.filter_preset)
    if settings.is_neutral:
        return clip
    return clip.with_frames(lambda: _frames(clip, settings), width=clip.width, height=clip.height)


@operation(
    "POST",
    "/postprocess/filters",
    examples=(
        {
            "video_url": "https://example.com/video.mp4",
            "brightness": 10,
            "contrast": 1.3,
            "saturation": 0.9,
            "vignette": 15,
        },
    ),
)
def filters(request: FiltersRequest, ctx: Context) -> VideoResponse:
    """Apply visual filters or a filter preset to a video."""
    request.settings(ctx.filter_preset)  # before anything is downloaded
    return render(request, [filtered.bind(request)], ctx, suffix="filtered", message="Filters applied successfully")


def _frames(clip: Clip, settings: FilterSettings) -> Iterator[Frame]:
    """Filter frames where they are at home. One that stays on screen stays one object, unless it gets new grain."""
    from framepack.media.filters.strips import worker_threads

    frames = clip.frames()
    try:
        with worker_threads() as run:
            look = _Look(clip, settings, run)
            shown: tuple[Frame, Frame] | None = None
            for index, frame in enumerate(frames):
                if shown is None or shown[0] is not frame or settings.film_grain_strength:
                    shown = frame, look(frame, index)
                yield shown[1]
    finally:
        close = getattr(frames, "close", None)
        if close is not None:
            close()


class _Look:
    """Finds out, frame by frame, where to filter it."""

    def __init__(self, clip: Clip, settings: FilterSettings, run: Run) -> None:
        from framepack.media.filters.texture import Grain

        grain = None
        if settings.film_grain_strength:
            seed = (clip.width, clip.height, clip.length or 0)
            grain = Grain(settings.film_grain_strength, clip.width, clip.height, seed)
        self._settings, self._colors, self._grain, self._run = settings, clip.colors, grain, run

    def __call__(self, frame: Frame, index: int) -> Frame:
        if isinstance(frame, HostFrame) or self._is_near_host(frame):
            return self._on_host(frame, index)
        return self._on_device(frame, index)

    @staticmethod
    def _is_near_host(frame: Frame) -> bool:
        """Whether the frame's device is the CPU, where the host's filters are several times as fast."""
        from framepack.models.frames.device_frame import DeviceFrame

        return isinstance(frame, DeviceFrame) and frame.is_near_host

    @cached_property
    def _on_host(self) -> Callable[[Frame, int], Frame]:
        from framepack.media.filters.host_filter import HostFilter

        return HostFilter(self._settings, self._colors, self._grain, self._run)

    @cached_property
    def _on_device(self) -> Callable[[Frame, int], Frame]:
        from framepack.models.frames.device_filter import DeviceFilter

        return DeviceFilter(self._settings, self._colors, self._grain)
