"""``/postprocess/autosave``: whether finished videos go to the folder of saved videos. Applies to all workers."""

from __future__ import annotations

from pydantic import Field

from framepack.api.schemas import Message, NoFields, Request, SuccessResponse
from framepack.processing.context import Context
from framepack.processing.operation import operation
from framepack.storage.autosave import autosave_enabled, save_autosave


class AutosaveRequest(Request):
    """On or off."""

    enabled: bool = Field(description="Enable or disable autosave")


class AutosaveResponse(SuccessResponse):
    """The current setting."""

    message: Message
    autosave_enabled: bool = Field(description="Whether finished videos are saved")


@operation("GET", "/postprocess/autosave", needs="store")
def get_autosave(_request: NoFields, ctx: Context) -> AutosaveResponse:
    """Get the current autosave setting."""
    enabled = autosave_enabled(ctx.state)
    return AutosaveResponse(message=f"Autosave is {_state_name(enabled=enabled)}", autosave_enabled=enabled)


@operation(
    "POST",
    "/postprocess/autosave",
    needs="store",
    examples={
        "Keep every result": {"enabled": True},
    },
)
def set_autosave(request: AutosaveRequest, ctx: Context) -> AutosaveResponse:
    """Set the autosave mode: when enabled, finished videos go to the folder of saved videos."""
    save_autosave(ctx.state, enabled=request.enabled)
    message = f"Autosave {_state_name(enabled=request.enabled)} successfully"
    return AutosaveResponse(message=message, autosave_enabled=request.enabled)


def _state_name(*, enabled: bool) -> str:
    return "enabled" if enabled else "disabled"
