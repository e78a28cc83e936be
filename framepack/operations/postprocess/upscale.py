"""``POST /postprocess/upscale``: enlarge a video with a Real-ESRGAN model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from framepack.context import Context
from framepack.effect import effect
from framepack.errors import ModelUnavailable
from framepack.media.clip import Clip, Frame
from framepack.operation import operation
from framepack.render import render
from framepack.schemas import CallbackRequest, Request, VideoRequest, VideoResponse, whole

TileSize = Annotated[Literal[0, 256, 512], BeforeValidator(whole)]


class UpscaleParams(Request):
    """How to enlarge."""

    model: str = Field("RealESRGAN_x4plus", description="Upscale model to use")
    scale_factor: float = Field(2.0, ge=1, le=4, description="Target scale factor")
    tile_size: TileSize = Field(0, description="Tile size for processing (0=auto, 256, 512). Smaller uses less VRAM.")
    enhance_face: bool = Field(default=False, description="Enable GFPGAN face enhancement")
    denoise_strength: float = Field(
        0.5, ge=0, le=1, description="Denoise strength (only for RealESR-general-x4v3): 0 keeps noise, 1 removes most"
    )
    use_streaming: bool = Field(default=False, description="Accepted; every video is streamed")


class UpscaleRequest(VideoRequest, UpscaleParams, CallbackRequest):
    """A video and how to enlarge it."""


@effect("upscale")
def upscaled(clip: Clip, params: UpscaleParams, ctx: Context) -> Clip:
    """Enlarge every frame; rate, length and sound stay."""
    from framepack.models.stream import Target, target_size, upscale_frames

    if params.enhance_face:
        raise ModelUnavailable("Face enhancement is not available on this worker; set enhance_face to false.")
    ctx.models.upscaler_row(params.model)
    width, height = target_size(clip.width, clip.height, params.scale_factor)

    def frames() -> Iterator[Frame]:
        with ctx.models.upscaler(params.model, params.denoise_strength) as upscaler:
            yield from upscale_frames(
                clip.frames(),
                upscaler,
                Target(width, height, clip.colors),
                colors=clip.colors,
                tile_size=params.tile_size,
                check=ctx.job.check,
            )

    return clip.with_frames(frames, width=width, height=height)


@operation("POST", "/postprocess/upscale")
def upscale(request: UpscaleRequest, ctx: Context) -> VideoResponse:
    """Upscale a video with a Real-ESRGAN model."""
    ctx.models.upscaler_row(request.model)  # before anything is downloaded
    suffix = f"upscaled_x{request.scale_factor:g}".replace(".", "p")
    return render(request, [upscaled.bind(request)], ctx, suffix=suffix, message="Video upscaled successfully")
