"""``/postprocess/autosave``: whether finished videos are kept among the saved ones, for every worker and for good."""

from __future__ import annotations

from pydantic import Field

from framepack.api.schemas import Request, Response
from framepack.processing.context import Context
from framepack.processing.operation import operation
from framepack.storage.switches import autosave_enabled
from framepack.storage.switches import set_autosave as store_autosave


class AutosaveQuery(Request):
    """No fields."""


class AutosaveRequest(Request):
    """On or off."""

    enabled: bool = Field(description="Enable or disable autosave")


class AutosaveResponse(Response):
    """The setting as it is now."""

    success: bool = True
    message: str
    autosave_enabled: bool


@operation("GET", "/postprocess/autosave", needs="store")
def get_autosave(request: AutosaveQuery, ctx: Context) -> AutosaveResponse:
    """Get the current autosave setting."""
    del request
    enabled = autosave_enabled(ctx.state)
    return AutosaveResponse(message=f"Autosave is {_word(enabled=enabled)}", autosave_enabled=enabled)


@operation("POST", "/postprocess/autosave", needs="store", examples=({"enabled": True},))
def set_autosave(request: AutosaveRequest, ctx: Context) -> AutosaveResponse:
    """Set the autosave mode: on keeps finished videos in the folder of saved ones."""
    store_autosave(ctx.state, enabled=request.enabled)
    message = f"Autosave {_word(enabled=request.enabled)} successfully"
    return AutosaveResponse(message=message, autosave_enabled=request.enabled)


def _word(*, enabled: bool) -> str:
    return "enabled" if enabled else "disabled"
