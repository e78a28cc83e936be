"""``GET /postprocess/models``: the upscale models there are."""

from __future__ import annotations

from pydantic import BaseModel

from framepack.api.schemas import Request, Response
from framepack.processing.context import Context
from framepack.processing.operation import operation


class ListModelsRequest(Request):
    """Nothing to say."""


class UpscaleModel(BaseModel):
    """One model."""

    scale: int
    description: str


class ListModelsResponse(Response):
    """All models by name."""

    success: bool = True
    models: dict[str, UpscaleModel]


@operation("GET", "/postprocess/models", needs="process")
def list_models(request: ListModelsRequest, ctx: Context) -> ListModelsResponse:  # noqa: ARG001 - it takes no fields
    """List all available upscale models, the deployment's own among them."""
    return ListModelsResponse(
        models={
            row.name: UpscaleModel(scale=row.scale, description=row.description) for row in ctx.models.upscalers()
        }
    )
