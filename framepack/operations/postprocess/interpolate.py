"""``POST /postprocess/interpolate``: increase the frame rate with frames computed by RIFE, or change the speed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from framepack.api.names import MAX_CHARACTERS
from framepack.api.schemas import CallbackRequest, Request, VideoRequest, VideoResponse
from framepack.api.workflow import PresetStep
from framepack.closing import closing
from framepack.media.clip import Clip, Frame, StretchedAudio
from framepack.media.timeline.loops import expand_repeats_cached
from framepack.media.timeline.retiming import Retiming, retime
from framepack.processing.context import Context
from framepack.processing.effect import effect
from framepack.processing.limits import Work
from framepack.processing.operation import operation
from framepack.processing.render import render

_FACTORS: Final = {"No Interpolation": 1, "2x": 2, "4x": 4}
_ALIASES: Final = {
    "no interpolation": "No Interpolation",
    "none": "No Interpolation",
    "1x": "No Interpolation",
    "2x": "2x",
    "2x frames": "2x",
    "4x": "4x",
    "4x frames": "4x",
}


def _mode(value: object) -> object:
    """Accept other names of the mode, in any case."""
    if not isinstance(value, str) or len(value) > MAX_CHARACTERS:
        return value
    return _ALIASES.get(" ".join(value.lower().split()), value)


FpsMode = Annotated[Literal["No Interpolation", "2x", "4x"], BeforeValidator(_mode)]


class InterpolateParams(Request):
    """Frame rate and speed."""

    fps_mode: FpsMode = Field(
        "2x", description="Factor of the frame rate; with No Interpolation, a changed speed repeats or drops frames"
    )
    speed_factor: float = Field(1.0, ge=0.25, le=4, description="Speed: 0.5 is slow motion at half the speed")
    use_streaming: bool = Field(
        default=False,
        description="Accepted for compatibility; every video is streamed",
        json_schema_extra={"deprecated": True},
    )

    @property
    def retiming(self) -> Retiming:
        """The change of the timeline."""
        return Retiming.of(_FACTORS[self.fps_mode], self.speed_factor)


class InterpolateRequest(VideoRequest, InterpolateParams, CallbackRequest):
    """A video, and its new frame rate and speed."""

    def described_work(self, operation: str) -> str:
        """What was started, in the documented words."""
        del operation
        return "Interpolation processing"


def _work(_before: Clip, after: Clip, params: InterpolateParams, _ctx: Context) -> Work:
    """Every frame of the result, twice if frames between frames are computed."""
    weight = 2 if params.retiming.needs_interpolation else 1
    return Work(after.length or 0, after.width, after.height, weight)


@effect(
    "interpolate",
    other_names=("frames",),
    order=2,
    preset=PresetStep(
        "Frame Adjust",
        {"fps_mode": "fps_mode", "speed_factor": "speed_factor", "frames_use_streaming": "use_streaming"},
        defaults={"fps_mode": "No Interpolation"},
        order=2,
    ),
    work=_work,
    needs_model=lambda params: params.retiming.needs_interpolation,
)
def interpolated(clip: Clip, params: InterpolateParams, ctx: Context) -> Clip:
    """Multiply the frame rate and change the speed; audio keeps its pitch.

    With a factor, frames between source frames are interpolated, also for slow motion. Without one, each output frame
    is the source frame of that moment, and no network is needed.
    """
    retiming = params.retiming
    if retiming.is_identity:
        return clip
    _prepare_model(params, ctx)
    source = expand_repeats_cached(clip, ctx.workspace.folder)

    def frames() -> Iterator[Frame]:
        if not retiming.needs_interpolation:
            with closing(retime(source.frames(), retiming)) as shots:
                yield from (shot.before for shot in shots)
            return
        with ctx.job.loading("RIFE"):  # the first import of torch takes seconds
            from framepack.models.interpolate.interpolate_frames import interpolate_frames

        with ctx.loaded("RIFE", ctx.models.interpolator()) as interpolator:
            yield from interpolate_frames(
                source.frames(), interpolator, retiming, colors=source.colors, check=ctx.job.check
            )

    audio = source.audio
    if audio is not None and retiming.speed != 1:
        audio = StretchedAudio(audio, retiming.speed)
    length = None if source.length is None else retiming.length(source.length)
    return replace(source, frames=frames, fps=retiming.fps(source.fps), length=length, audio=audio)


@operation(
    "POST",
    "/postprocess/interpolate",
    examples={
        "Smooth slow motion": {"video_url": "https://example.com/video.mp4", "fps_mode": "2x", "speed_factor": 0.5},
    },
)
def interpolate(request: InterpolateRequest, ctx: Context) -> VideoResponse:
    """Interpolate frames to increase a video's frame rate, or to change its speed."""
    _prepare_model(request, ctx)
    message = "Video interpolated successfully"
    return render(request, [interpolated.bind(request)], ctx, suffix=_suffix(request), message=message)


def _prepare_model(params: InterpolateParams, ctx: Context) -> None:
    if params.retiming.needs_interpolation:
        ctx.preload(lambda: ctx.models.interpolator())  # noqa: PLW0108 - the models, too, are first looked at there


def _suffix(params: InterpolateParams) -> str:
    """The suffix of output files, such as ``speed0p5x_RIFE2x``."""
    parts = []
    if params.speed_factor != 1:
        parts.append(f"speed{params.speed_factor:g}x".replace(".", "p"))
    if params.fps_mode != "No Interpolation":
        parts.append(f"RIFE{params.fps_mode}")
    return "_".join(parts) or "processed"
