"""``GET /postprocess/models``: the available upscale models, and what this machine lacks for any model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, Field

from framepack.api.schemas import NoFields, SuccessResponse
from framepack.processing.context import Context
from framepack.processing.operation import operation

if TYPE_CHECKING:
    from framepack.models.spec import Group
    from framepack.models.weights.shortage import Shortage

_NEEDED_FOR: Final[dict[Group, str]] = {
    "interpolator": "interpolate",
    "face": "upscale.enhance_face",
    "enhancer": "enhance_prompt",
    "captioner": "caption_image",
}


class ModelWeights(BaseModel):
    """Whether the weights of a model are on this machine."""

    is_usable: bool = Field(
        description="Whether a job can use it; what is missing is downloaded, if that is possible"
    )
    notice: str | None = Field(
        None, description="What is missing on this machine, and how it gets there; null if everything is there"
    )


class UpscaleModel(ModelWeights):
    """One model."""

    scale: int = Field(description="How many times it enlarges")
    description: str = Field(description="What it is good at")


class OtherModel(ModelWeights):
    """A model that is not for upscaling."""

    needed_for: str = Field(description="The operation that needs it, or one of its fields, as in `operation.field`")


class ListModelsResponse(SuccessResponse):
    """All upscale models by name, and the others."""

    models: dict[str, UpscaleModel] = Field(description="The models by name")
    others: dict[str, OtherModel] = Field(
        default_factory=dict, description="Models that other operations and fields need, by name"
    )


@operation("GET", "/postprocess/models", needs="process")
def list_models(_request: NoFields, ctx: Context) -> ListModelsResponse:
    """List all upscale models, including custom ones, and which weights are missing on this machine."""
    models, others = {}, {}
    for row in ctx.models.upscalers():
        usable, notice = _state(ctx.models.shortage(row))
        models[row.name] = UpscaleModel(scale=row.scale, description=row.description, is_usable=usable, notice=notice)
    for name, group, shortage in ctx.models.other_shortages():
        usable, notice = _state(shortage)
        others[name] = OtherModel(needed_for=_NEEDED_FOR[group], is_usable=usable, notice=notice)
    return ListModelsResponse(models=models, others=others)


def _state(shortage: Shortage | None) -> tuple[bool, str | None]:
    """The fields `is_usable` and `notice`."""
    return (True, None) if shortage is None else (shortage.ends_itself, shortage.sentence)
