"""``/workflow/presets``: steps with their parameters saved under a name, for all workers of the deployment."""

from __future__ import annotations

from pydantic import Field, SerializeAsAny

from framepack.api.names import PresetName
from framepack.api.schemas import Message, NoFields, Request, SuccessResponse
from framepack.api.workflow import WorkflowPreset
from framepack.errors import BadRequest, NotFound
from framepack.processing.context import Context
from framepack.processing.operation import operation
from framepack.storage.presets import workflow_presets


class WorkflowPresetsResponse(SuccessResponse):
    """All workflow presets."""

    presets: dict[str, SerializeAsAny[WorkflowPreset]] = Field(
        description="`None`, then the saved ones in alphabetical order, each with all its parameters"
    )
    message: Message


class WorkflowPresetRequest(Request):
    """A workflow preset and its name."""

    name: PresetName = Field(
        description='Preset name (cannot be "None"); case-sensitive, spaces around it are ignored'
    )
    preset_data: WorkflowPreset = Field(description="Preset configuration; omitted parameters have their defaults")


class WorkflowPresetName(Request):
    """The name of a workflow preset."""

    name: PresetName = Field(description="Preset name to delete")


class WorkflowPresetAnswer(SuccessResponse):
    """The outcome."""

    message: Message


@operation("GET", "/workflow/presets", needs="store")
def list_workflow_presets(_request: NoFields, ctx: Context) -> WorkflowPresetsResponse:
    """List all saved workflow presets."""
    presets = workflow_presets(ctx.state, ctx.settings.max_presets, ctx.steps).all()
    return WorkflowPresetsResponse(presets=presets, message=f"Found {len(presets)} workflow preset(s)")


@operation(
    "POST",
    "/workflow/presets",
    needs="store",
    examples={
        "Upscale and filter": {
            "name": "My Custom Workflow",
            "preset_data": {
                "active_steps": ["Upscale", "Filters"],
                "params": {
                    "upscale_model": "RealESRGAN_x2plus",
                    "upscale_factor": 2.0,
                    "tile_size": 512,
                    "enhance_face": False,
                    "brightness": 5,
                    "contrast": 1.2,
                    "saturation": 1.0,
                },
            },
        },
    },
)
def save_workflow_preset(request: WorkflowPresetRequest, ctx: Context) -> WorkflowPresetAnswer:
    """Save a workflow preset, or replace the preset of that name."""
    _check_params(request.preset_data, ctx)
    replaced = workflow_presets(ctx.state, ctx.settings.max_presets, ctx.steps).save(
        request.name, request.preset_data
    )
    done = "updated" if replaced else "saved"
    return WorkflowPresetAnswer(message=f"Workflow preset '{request.name}' {done} successfully")


@operation("DELETE", "/workflow/presets/{name}", needs="store")
def delete_workflow_preset(request: WorkflowPresetName, ctx: Context) -> WorkflowPresetAnswer:
    """Delete a workflow preset."""
    presets = workflow_presets(ctx.state, ctx.settings.max_presets, ctx.steps)
    if presets.protects(request.name):
        raise BadRequest("Cannot delete the 'None' preset - it represents default values")
    if not presets.delete(request.name):
        raise NotFound(f"Preset '{request.name}' not found")
    return WorkflowPresetAnswer(message=f"Workflow preset '{request.name}' deleted successfully")


def _check_params(preset: WorkflowPreset, ctx: Context) -> None:
    """Hold the parameters of every step, also of inactive ones, against what the step takes.

    Raises:
        InvalidField: One is out of range.
    """
    for step in preset.every_step():
        ctx.effects[step.type_name].params.parse(step.params, "preset_data.params")
