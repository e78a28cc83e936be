"""A workflow: steps with their parameters, as pipelines take them and as presets store them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Self

from pydantic import Field, field_validator, model_validator

from framepack.api.filter_settings import (
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
)
from framepack.api.schemas import Request, Whole
from framepack.errors import InvalidField

STEP_TYPES: Final = ("upscale", "interpolate", "filters", "loop", "export")

STEP_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {"upscale": "Upscale", "interpolate": "Frame Adjust", "filters": "Filters", "loop": "Loop", "export": "Export"}
)
"""What presets call the types of steps."""

NO_WORKFLOW: Final = "None"
"""Name of the built-in preset, which has no steps."""

PRESETS_FOLDER: Final = "workflow_presets"
"""Folder of the stored presets, one document each."""

_OTHER_NAMES: Final[Mapping[str, str]] = MappingProxyType({"frame adjust": "interpolate", "frames": "interpolate"})


def step_type(name: str) -> str | None:
    """The type of step that ``name`` means, in any case of its letters; None if there is no such step."""
    plain = " ".join(name.replace("_", " ").replace("-", " ").casefold().split())
    plain = _OTHER_NAMES.get(plain, plain)
    return plain if plain in STEP_TYPES else None


class Step(Request):
    """One step of a pipeline."""

    type: str = Field(description=f"Operation type: {', '.join(STEP_TYPES)}, or another known name of one")
    params: dict[str, Any] = Field(default_factory=dict, description="Operation parameters")

    @property
    def kind(self) -> str:
        """The step's type by its proper name."""
        return step_type(self.type) or self.type


class StepsRequest(Request):
    """A request for several steps; each has a known type."""

    operations: Annotated[list[Step], Field(min_length=1)] = Field(description="Array of operation objects")

    @model_validator(mode="after")
    def _known_types(self) -> Self:
        for index, step in enumerate(self.operations):
            if step_type(step.type) is None:
                raise InvalidField(
                    f"Invalid operation type: {step.type[:80]}. Valid types: {', '.join(STEP_TYPES)} "
                    f"(operations[{index}].type)"
                )
        return self


class WorkflowParams(Request):
    """All parameters of a workflow preset, each with its default."""

    upscale_model: str = "RealESRGAN_x2plus"
    upscale_factor: float = Field(2.0, ge=1, le=4)
    tile_size: Whole = 0
    enhance_face: bool = False
    denoise_strength: float = Field(0.5, ge=0, le=1)
    upscale_use_streaming: bool = False
    fps_mode: str = "No Interpolation"
    speed_factor: float = Field(1.0, ge=0.25, le=4)
    frames_use_streaming: bool = False
    loop_type: str = "loop"
    num_loops: Whole = Field(1, ge=1, le=10)
    brightness: Brightness = 0
    contrast: Contrast = 1
    saturation: Saturation = 1
    temperature: Temperature = 0
    sharpen: Sharpen = 0
    blur: Blur = 0
    denoise: Denoise = 0
    vignette: Vignette = 0
    s_curve_contrast: SCurveContrast = 0
    film_grain_strength: FilmGrain = 0
    export_format: str = "MP4"
    export_quality: Whole = Field(85, ge=0, le=100)
    export_max_width: Whole = Field(1024, ge=256, le=4096)

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, data: object) -> object:
        """Take every parameter by the name that its step gives it, too."""
        if not isinstance(data, dict):
            return data
        given = {name: value for name, value in data.items() if value is not None}
        fields = {_SAME.get(name, name): value for name, value in given.items()}
        if len(fields) < len(given):
            twice = next(name for name in given if name in _SAME and _SAME[name] in given)
            raise InvalidField(f"params may have either {twice} or {_SAME[twice]}, which mean the same.")
        return fields


_SAME: Final[Mapping[str, str]] = MappingProxyType(
    {
        "model": "upscale_model",
        "scale_factor": "upscale_factor",
        "film_grain": "film_grain_strength",
        "format": "export_format",
        "quality": "export_quality",
        "max_width": "export_max_width",
    }
)


class WorkflowPreset(Request):
    """A stored workflow: which steps, in which order, and the parameters of all of them."""

    active_steps: list[str] = Field(default_factory=list, description="Steps in the order they are run")
    params: WorkflowParams = Field(default_factory=WorkflowParams, description="Parameters of every step")

    @field_validator("active_steps", mode="after")
    @classmethod
    def _one_spelling(cls, names: list[str]) -> list[str]:
        """Understand every spelling of a step, and keep the documented one."""
        kinds = [step_type(name) for name in names]
        for index, (name, kind) in enumerate(zip(names, kinds, strict=True)):
            if kind is None:
                raise InvalidField(
                    f"Invalid operation type: {name[:80]}. Valid types: {', '.join(STEP_TYPES)} "
                    f"(active_steps[{index}])"
                )
        return [STEP_NAMES[kind] for kind in kinds if kind is not None]

    def steps(self) -> list[Step]:
        """The steps with their own parameters; a loop of type "none" is left out."""
        kinds = [step_type(name) or name for name in self.active_steps]
        if self.params.loop_type.casefold() == "none":
            kinds = [kind for kind in kinds if kind != "loop"]
        return [Step(type=kind, params=_PARAMS[kind](self.params)) for kind in kinds]


def _upscale(params: WorkflowParams) -> dict[str, Any]:
    return {
        "model": params.upscale_model,
        "scale_factor": params.upscale_factor,
        "tile_size": params.tile_size,
        "enhance_face": params.enhance_face,
        "denoise_strength": params.denoise_strength,
        "use_streaming": params.upscale_use_streaming,
    }


def _interpolate(params: WorkflowParams) -> dict[str, Any]:
    return {
        "fps_mode": params.fps_mode,
        "speed_factor": params.speed_factor,
        "use_streaming": params.frames_use_streaming,
    }


def _filters(params: WorkflowParams) -> dict[str, Any]:
    controls = {name: getattr(params, name) for name in FilterSettings.model_fields}
    controls["film_grain"] = controls.pop("film_grain_strength")
    return controls


def _loop(params: WorkflowParams) -> dict[str, Any]:
    return {"loop_type": params.loop_type, "num_loops": params.num_loops}


def _export(params: WorkflowParams) -> dict[str, Any]:
    return {
        "format": params.export_format,
        "quality": params.export_quality,
        "max_width": params.export_max_width,
    }


_PARAMS: Final[Mapping[str, Callable[[WorkflowParams], dict[str, Any]]]] = MappingProxyType(
    {"upscale": _upscale, "interpolate": _interpolate, "filters": _filters, "loop": _loop, "export": _export}
)
