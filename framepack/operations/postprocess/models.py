"""``GET /postprocess/models``: the available upscale models."""

from __future__ import annotations

from pydantic import BaseModel, Field

from framepack.api.schemas import NoFields, SuccessResponse
from framepack.processing.context import Context
from framepack.processing.operation import operation


class UpscaleModel(BaseModel):
    """One model."""

    scale: int = Field(description="How many times it enlarges")
    description: str = Field(description="What it is good at")


class ListModelsResponse(SuccessResponse):
    """All upscale models by name."""

    models: dict[str, UpscaleModel] = Field(description="The models by name")


@operation("GET", "/postprocess/models", needs="process")
def list_models(_request: NoFields, ctx: Context) -> ListModelsResponse:
    """List all upscale models, including custom ones."""
    return ListModelsResponse(
        models={
            row.name: UpscaleModel(scale=row.scale, description=row.description) for row in ctx.models.upscalers()
        }
    )
