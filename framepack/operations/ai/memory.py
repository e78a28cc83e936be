"""``/ai/status`` and ``/ai/unload``: which language and captioning models are loaded."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, Field

from framepack.api.schemas import Message, NoFields, Request, Response, SuccessResponse
from framepack.processing.context import Context
from framepack.processing.operation import operation

AiGroup = Literal["enhancer", "captioner"]

_GROUPS: Final[tuple[AiGroup, ...]] = ("enhancer", "captioner")


class AiModelStatus(BaseModel):
    """The state of one model."""

    loaded: bool = Field(description="Whether it is loaded")
    model_name: str | None = Field(description="Hugging Face name of the model, null while it is not loaded")


class AiStatusResponse(Response):
    """The state of both models."""

    enhancer: AiModelStatus = Field(description="The model that enhances prompts")
    captioner: AiModelStatus = Field(description="The model that captions images")


class UnloadAiModelsRequest(Request):
    """Which models to unload."""

    model: Literal["enhancer", "captioner", "all"] = Field(
        description='Model to unload: "enhancer", "captioner", or "all"'
    )


class UnloadAiModelsResponse(SuccessResponse):
    """The models that were unloaded."""

    message: Message
    models_unloaded: list[AiGroup] = Field(description="Those that were loaded before")


@operation("GET", "/ai/status", needs="process")
def ai_status(_request: NoFields, ctx: Context) -> AiStatusResponse:
    """Check which AI models are loaded in memory."""
    return AiStatusResponse(enhancer=_status("enhancer", ctx), captioner=_status("captioner", ctx))


@operation(
    "POST",
    "/ai/unload",
    needs="process",
    examples={
        "All models": {"model": "all"},
    },
)
def unload_ai_models(request: UnloadAiModelsRequest, ctx: Context) -> UnloadAiModelsResponse:
    """Unload AI models from memory to free up VRAM and RAM."""
    chosen = _GROUPS if request.model == "all" else (request.model,)
    freed = {model.group for model in ctx.models.cache.unload(*chosen)}
    unloaded = [group for group in _GROUPS if group in freed]
    return UnloadAiModelsResponse(message=f"Successfully unloaded {len(unloaded)} model(s)", models_unloaded=unloaded)


def _status(group: AiGroup, ctx: Context) -> AiModelStatus:
    loaded = ctx.models.cache.status(group)
    return AiModelStatus(loaded=bool(loaded), model_name=loaded[-1].name if loaded else None)
