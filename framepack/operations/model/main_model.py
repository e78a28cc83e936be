"""``/model/...``: status and unloading of the main video model, which FRAMEPACK_GENERATOR names."""

from __future__ import annotations

from pydantic import Field

from framepack.api.schemas import Message, NoFields, Response, SuccessResponse
from framepack.errors import Conflict
from framepack.processing.context import Context
from framepack.processing.operation import operation
from framepack.units import GIB


class ModelStatusResponse(Response):
    """The state of the main video model."""

    model_loaded: bool = Field(description="Whether it is loaded")
    model_name: str | None = Field(description="Name of the model's class, null while none is loaded")
    vram_usage: float = Field(description="Measured device memory of the model in GB; 0 if none is loaded")


class UnloadModelResponse(SuccessResponse):
    """The model that was unloaded."""

    message: Message
    model_unloaded: str | None = Field(description="Name of the model's class, null if none was loaded")
    vram_freed_estimate: str | None = Field(description='Measured memory that was freed, such as "14.5 GB"')


@operation("GET", "/model/status", needs="process")
def model_status(_request: NoFields, ctx: Context) -> ModelStatusResponse:
    """Get the status of the main video model."""
    loaded = ctx.models.cache.status("generator")
    return ModelStatusResponse(
        model_loaded=bool(loaded),
        model_name=loaded[0].name if loaded else None,
        vram_usage=round(sum(model.memory_bytes for model in loaded) / GIB, 2),
    )


@operation("POST", "/model/unload", needs="process")
def unload_model(_request: NoFields, ctx: Context) -> UnloadModelResponse:
    """Unload the main video model to free VRAM; the next job that needs it loads it again."""
    try:
        unloaded = ctx.models.cache.unload("generator")
    except Conflict as error:
        raise Conflict("Cannot unload model: A video generation job is currently running") from error
    if not unloaded:
        message = "No model currently loaded to unload"
        return UnloadModelResponse(message=message, model_unloaded=None, vram_freed_estimate=None)
    name = unloaded[0].name
    return UnloadModelResponse(
        message=f"Model '{name}' unloaded successfully. VRAM freed.",
        model_unloaded=name,
        vram_freed_estimate=f"{round(unloaded[0].freed_bytes / GIB, 2):g} GB",
    )
