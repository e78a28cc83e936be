"""``/filters/presets``: filter settings saved under a name, for all workers of the deployment."""

from __future__ import annotations

from pydantic import Field

from framepack.api.filter_settings import FILTER_PRESETS, FilterSettings
from framepack.api.names import PresetName
from framepack.api.schemas import Message, NoFields, Request, SuccessResponse
from framepack.errors import NotFound
from framepack.processing.context import Context
from framepack.processing.operation import operation
from framepack.storage.presets import filter_presets


class FilterPresetsResponse(SuccessResponse):
    """All filter presets."""

    presets: dict[str, FilterSettings] = Field(
        description="`none`, then the built-in and the saved ones in alphabetical order, each with all its settings"
    )
    message: Message


class FilterPresetRequest(Request):
    """A filter preset and its name."""

    name: PresetName = Field(
        description='Preset name (cannot be "none"); case-sensitive, spaces around it are ignored. Built-in presets '
        "may be replaced."
    )
    settings: FilterSettings = Field(description="Filter settings; omitted ones are as in `none`")


class FilterPresetName(Request):
    """The name of a filter preset."""

    name: PresetName = Field(description="Preset name to delete")


class FilterPresetAnswer(SuccessResponse):
    """The outcome."""

    message: Message
    note: str | None = Field(None, description="Set if a built-in preset of that name applies again")


@operation("GET", "/filters/presets", needs="store")
def list_filter_presets(_request: NoFields, ctx: Context) -> FilterPresetsResponse:
    """List all filter presets, built-in and saved."""
    presets = filter_presets(ctx.state, ctx.settings.max_presets).all()
    return FilterPresetsResponse(presets=presets, message=f"Found {len(presets)} filter preset(s)")


@operation(
    "POST",
    "/filters/presets",
    needs="store",
    examples={
        "Look of your own": {
            "name": "my_custom_look",
            "settings": {
                "brightness": 0,
                "contrast": 1.4,
                "saturation": 0.85,
                "temperature": 10,
                "vignette": 20,
                "s_curve_contrast": 12,
            },
        },
    },
)
def save_filter_preset(request: FilterPresetRequest, ctx: Context) -> FilterPresetAnswer:
    """Save a filter preset, or replace the preset of that name."""
    replaced = filter_presets(ctx.state, ctx.settings.max_presets).save(request.name, request.settings)
    done = "updated" if replaced else "saved"
    return FilterPresetAnswer(message=f"Filter preset '{request.name}' {done} successfully")


@operation("DELETE", "/filters/presets/{name}", needs="store")
def delete_filter_preset(request: FilterPresetName, ctx: Context) -> FilterPresetAnswer:
    """Delete a saved filter preset. If it replaced a built-in preset, the built-in one applies again."""
    name = request.name
    if not filter_presets(ctx.state, ctx.settings.max_presets).delete(name):
        raise NotFound(f"Filter preset '{name}' not found")
    note = f"The built-in preset '{name}' applies again." if name in FILTER_PRESETS else None
    return FilterPresetAnswer(message=f"Filter preset '{name}' deleted successfully", note=note)
