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
    note: str | None = Field(None, description="How to restore a deleted built-in preset")


@operation("GET", "/filters/presets", needs="store")
def list_filter_presets(_request: NoFields, ctx: Context) -> FilterPresetsResponse:
    """List all filter presets, built-in and saved."""
    presets = filter_presets(ctx.state, ctx.settings.max_presets).all()
    return FilterPresetsResponse(presets=presets, message=f"Found {len(presets)} filter preset(s)")


@operation(
    "POST",
    "/filters/presets",
    needs="store",
    examples=(
        {
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
    ),
)
def save_filter_preset(request: FilterPresetRequest, ctx: Context) -> FilterPresetAnswer:
    """Save a filter preset, or replace the preset of that name."""
    replaced = filter_presets(ctx.state, ctx.settings.max_presets).save(request.name, request.settings)
    done = "updated" if replaced else "saved"
    return FilterPresetAnswer(message=f"Filter preset '{request.name}' {done} successfully")


@operation("DELETE", "/filters/presets/{name}", needs="store")
def delete_filter_preset(request: FilterPresetName, ctx: Context) -> FilterPresetAnswer:
    """Delete a filter preset. A deleted built-in stays hidden until you save a preset with its name."""
    name = request.name
    if not filter_presets(ctx.state, ctx.settings.max_presets).delete(name):
        raise NotFound(f"Filter preset '{name}' not found")
    return FilterPresetAnswer(message=f"Filter preset '{name}' deleted successfully", note=_note(name))


def _note(name: str) -> str | None:
    """The settings of a built-in preset, so that it can be restored."""
    built_in = FILTER_PRESETS.get(name)
    if built_in is None:
        return None
    numbers = built_in.model_dump(exclude_defaults=True)
    settings = ", ".join(f"{control} {value:g}" for control, value in numbers.items())
    return f"To restore the built-in preset, save a preset called '{name}' with {settings}."
