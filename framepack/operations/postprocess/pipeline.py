"""``POST /postprocess/pipeline`` and ``.../from-preset``: several operations, one decode and one encode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from framepack.api.names import PresetName, listed_by
from framepack.api.schemas import CallbackRequest, VideoRequest, VideoResponse
from framepack.api.workflow import StepsRequest
from framepack.errors import BadRequest, NotFound
from framepack.processing.context import Context
from framepack.processing.operation import operation
from framepack.processing.render import render_chain, video_response
from framepack.processing.steps import build_chain
from framepack.storage.presets import workflow_presets

if TYPE_CHECKING:
    from framepack.api.workflow import Step
    from framepack.media.clip import Clip
    from framepack.processing.steps import Chain


class CompletedStep(BaseModel):
    """One step of a finished pipeline."""

    step: int = Field(description="Its number, from 1")
    type: str = Field(description="Operation type")
    success: bool = Field(default=True, description="Always true: a step that fails ends the job")
    message: str = Field(description="Properties of the video after the step")


class PipelineRequest(VideoRequest, StepsRequest, CallbackRequest):
    """A video and the operations to run on it, in order."""

    def described_work(self, operation: str) -> str:
        """The number of operations."""
        del operation
        return f"Pipeline with {len(self.operations)} operations"

    def callback_metadata(self) -> dict[str, Any]:
        """The operations and their number."""
        operations = [step.model_dump(mode="json") for step in self.operations]
        return {"operations_count": len(operations), "operations": operations}


class PresetRequest(VideoRequest, CallbackRequest):
    """A video and the workflow preset to run on it."""

    preset_name: PresetName = Field(
        description="Name of the workflow preset", json_schema_extra=listed_by("/workflow/presets", "presets")
    )


class PipelineResponse(VideoResponse):
    """The finished video and the completed steps."""

    operations_completed: list[CompletedStep] = Field(description="Every step, in order")


@operation(
    "POST",
    "/postprocess/pipeline",
    examples={
        "Upscale, filter and export": {
            "video_url": "https://example.com/video.mp4",
            "operations": [
                {"type": "upscale", "params": {"model": "RealESRGAN_x2plus", "scale_factor": 2.0}},
                {"type": "filters", "params": {"brightness": 5, "contrast": 1.2}},
                {"type": "export", "params": {"format": "MP4", "quality": 90}},
            ],
        },
    },
)
def pipeline(request: PipelineRequest, ctx: Context) -> PipelineResponse:
    """Run several operations on a video, decoding and encoding it once."""
    return _run(request, request.operations, ctx)


@operation(
    "POST",
    "/postprocess/pipeline/from-preset",
    in_query=True,
    examples={
        "Preset by its name": {"preset_name": "4K Upscale + Cinematic", "video_url": "https://example.com/video.mp4"},
    },
)
def pipeline_from_preset(request: PresetRequest, ctx: Context) -> PipelineResponse:
    """Run the steps of a saved workflow preset on a video."""
    preset = workflow_presets(ctx.state, ctx.settings.max_presets, ctx.steps).find(request.preset_name)
    if preset is None:
        raise NotFound(f"Workflow preset '{request.preset_name}' not found")
    steps = preset.steps()
    if not steps:
        raise BadRequest("Preset has no active steps to execute")
    return _run(request, steps, ctx)


def _run(request: VideoRequest, steps: Sequence[Step], ctx: Context) -> PipelineResponse:
    chain = build_chain(steps, ctx)
    published, clips = render_chain(request, chain, ctx)
    answer = video_response(published, f"Pipeline completed successfully ({len(clips)} operations)", ctx)
    return PipelineResponse(**dict(answer), operations_completed=_completed(chain, clips))


def _completed(chain: Chain, clips: Sequence[Clip]) -> list[CompletedStep]:
    return [
        CompletedStep(step=number, type=type_name, message=_described(type_name, clip))
        for number, (type_name, clip) in enumerate(zip(chain.types, clips, strict=True), start=1)
    ]


def _described(type_name: str, clip: Clip) -> str:
    frames = "" if clip.total_frames is None else f", {clip.total_frames} frames"
    return f"{type_name} completed: {clip.width} x {clip.height}{frames}, {float(clip.fps):.6g} per second"
