"""``POST /postprocess/upscale``: upscale a video with a Real-ESRGAN model."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field

from framepack.api.names import listed_by
from framepack.api.schemas import CallbackRequest, Request, VideoRequest, VideoResponse, whole
from framepack.api.workflow import PresetStep
from framepack.media.clip import Clip, Frame
from framepack.processing.context import Context
from framepack.processing.effect import effect
from framepack.processing.limits import Work
from framepack.processing.operation import operation
from framepack.processing.render import render

if TYPE_CHECKING:
    from framepack.models.frames.device_frame import DeviceFrame


def _tile_size(value: object) -> object:
    """Like `whole`, and refuse false, which Python counts as equal to 0."""
    if isinstance(value, bool):
        raise ValueError("0, 256 or 512")  # noqa: TRY004 - pydantic makes a sentence of it
    return whole(value)


TileSize = Annotated[Literal[0, 256, 512], BeforeValidator(_tile_size)]


class UpscaleParams(Request):
    """Model and size."""

    model: str = Field(
        "RealESRGAN_x4plus",
        description="Upscale model to use",
        json_schema_extra=listed_by("/postprocess/models", "models"),
    )
    scale_factor: float = Field(2.0, ge=1, le=4, description="Target scale factor")
    tile_size: TileSize = Field(0, description="Tile size for processing (0=auto, 256, 512). Smaller uses less VRAM.")
    enhance_face: bool = Field(default=False, description="Enable GFPGAN face enhancement")
    denoise_strength: float = Field(
        0.5, ge=0, le=1, description="Denoise strength (only for RealESR-general-x4v3): 0 keeps noise, 1 removes most"
    )
    use_streaming: bool = Field(
        default=False,
        description="Accepted for compatibility; every video is streamed",
        json_schema_extra={"deprecated": True},
    )


class UpscaleRequest(VideoRequest, UpscaleParams, CallbackRequest):
    """A video and how to upscale it."""


def _work(before: Clip, _after: Clip, params: UpscaleParams, ctx: Context) -> Work:
    """The frames that the network makes, at its own scale, whatever size they are resized to."""
    scale = ctx.models.upscaler_row(params.model).scale
    weight = 8 if params.enhance_face else 4
    return Work(before.length or 0, scale * before.width, scale * before.height, weight, params.model)


@effect(
    "upscale",
    order=1,
    preset=PresetStep(
        "Upscale",
        {
            "upscale_model": "model",
            "upscale_factor": "scale_factor",
            "tile_size": "tile_size",
            "enhance_face": "enhance_face",
            "denoise_strength": "denoise_strength",
            "upscale_use_streaming": "use_streaming",
        },
        defaults={"upscale_model": "RealESRGAN_x2plus"},
        order=1,
    ),
    work=_work,
)
def upscaled(clip: Clip, params: UpscaleParams, ctx: Context) -> Clip:
    """Upscale every frame; frame rate, length and audio stay the same."""
    prepare_models(params, ctx)
    width, height = target_size(clip.width, clip.height, params.scale_factor)

    def upscaled_frames(frames: Iterator[Frame]) -> Iterator[DeviceFrame]:
        with ctx.job.loading(params.model):  # the first import of torch takes seconds
            from framepack.models.upscale.upscale_frames import UpscaleTarget, upscale_frames

        with ctx.loaded(params.model, ctx.models.upscaler(params.model, params.denoise_strength)) as upscaler:
            yield from upscale_frames(
                frames,
                upscaler,
                UpscaleTarget(width, height, clip.colors),
                colors=clip.colors,
                tile_size=params.tile_size,
                check=ctx.job.check,
            )

    def frames() -> Iterator[Frame]:
        if not params.enhance_face:
            yield from upscaled_frames(clip.frames())
            return
        from framepack.models.faces.enhance_faces import FaceModels, enhance_faces

        with (
            ctx.loaded("the face detector", ctx.models.face_detector()) as detector,
            ctx.loaded("GFPGAN", ctx.models.face_restorer()) as restorer,
        ):
            models = FaceModels(detector, restorer)
            yield from enhance_faces(clip.frames(), upscaled_frames, models, colors=clip.colors, check=ctx.job.check)

    return clip.with_frames(frames, width=width, height=height)


def target_size(width: int, height: int, scale_factor: float) -> tuple[int, int]:
    """Return (width, height) at ``scale_factor``, rounded to the nearest even numbers, ties upward."""
    factor = Fraction(str(scale_factor))  # the exact decimal number of the request, not its binary approximation
    columns, rows = (max(2, int(side * factor / 2 + Fraction(1, 2)) * 2) for side in (width, height))
    return columns, rows


def prepare_models(params: UpscaleParams, ctx: Context) -> None:
    """Check that the required models exist, download missing models for faces, and begin to load the upscaler.

    Raises:
        InvalidField: There is no such upscale model.
        ModelUnavailable: The models for faces cannot be downloaded.
    """
    ctx.models.upscaler_row(params.model)
    if params.enhance_face:
        with ctx.job.measurements.stage("model"):
            ctx.models.ensure_faces()
    ctx.preload(lambda: ctx.models.upscaler(params.model, params.denoise_strength))


@operation(
    "POST",
    "/postprocess/upscale",
    examples={
        "Twice the size, with restored faces": {
            "video_url": "https://example.com/video.mp4",
            "model": "RealESRGAN_x4plus",
            "scale_factor": 2.0,
            "enhance_face": True,
        },
        "With a callback": {
            "video_url": "https://example.com/video.mp4",
            "model": "RealESRGAN_x4plus",
            "callback_url": "https://myapp.com/webhooks/video-processed",
        },
        "Twice the size, with a callback": {
            "video_url": "https://example.com/video.mp4",
            "model": "RealESRGAN_x4plus",
            "scale_factor": 2.0,
            "callback_url": "https://myapp.com/webhooks/video-processed",
        },
    },
)
def upscale(request: UpscaleRequest, ctx: Context) -> VideoResponse:
    """Upscale a video with a Real-ESRGAN model."""
    prepare_models(request, ctx)  # a model that is missing fails the job before anything is downloaded
    suffix = f"upscaled_x{request.scale_factor:g}".replace(".", "p") + "_FaceEnhance" * request.enhance_face
    return render(request, [upscaled.bind(request)], ctx, suffix=suffix, message="Video upscaled successfully")
