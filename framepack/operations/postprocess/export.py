"""``POST /postprocess/export``: convert a video to MP4, WebM or GIF, with a chosen quality and width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Annotated, Final, Literal, Self, cast

from pydantic import BeforeValidator, Field, model_validator

from framepack.api.names import Name
from framepack.api.schemas import CallbackRequest, Request, VideoRequest, VideoResponse, Whole
from framepack.api.workflow import PresetStep
from framepack.errors import InvalidField
from framepack.media.clip import Clip, Encoding, Format, Frame, HostFrame
from framepack.media.frames.scale import Scaler, export_size
from framepack.media.iteration import convert_each
from framepack.processing.context import Context
from framepack.processing.effect import effect, never
from framepack.processing.operation import operation
from framepack.processing.render import open_source_clip, publish_video, video_response

_FORMATS: Final = {"mp4": "MP4", "webm": "WebM", "gif": "GIF"}


def _format(value: object) -> object:
    """Accept the format in any case, and with the dot of a file name."""
    return _FORMATS.get(value.strip().lower().removeprefix("."), value) if isinstance(value, str) else value


FormatName = Annotated[Literal["MP4", "WebM", "GIF"], BeforeValidator(_format)]


class ExportParams(Request):
    """Format, quality and size."""

    format: FormatName = Field("MP4", description="Output format")
    quality: Whole = Field(85, ge=0, le=100, description="Quality (higher = better quality, larger file)")
    max_width: Whole = Field(
        1024, ge=256, le=4096, description="Maximum width in pixels (maintains aspect ratio, never enlarges)"
    )
    output_name: Name | None = Field(None, description="Custom output filename")


class ExportRequest(VideoRequest, ExportParams, CallbackRequest):
    """A video and how to export it."""

    keep_alpha: bool = Field(
        default=False, description="Whether to keep transparency (WebM only), instead of putting it on black"
    )

    @model_validator(mode="after")
    def _alpha_has_a_place(self) -> Self:
        if self.keep_alpha and self.format != "WebM":
            raise InvalidField(f'keep_alpha is only possible with format "WebM", not "{self.format}".')
        return self


@effect(
    "export",
    order=5,
    preset=PresetStep(
        "Export",
        {"export_format": "format", "export_quality": "quality", "export_max_width": "max_width"},
        order=5,
    ),
    needs_model=never,
)
def exported(clip: Clip, params: ExportParams, _ctx: Context) -> Clip:
    """Set format and quality of the file, and scale frames to square pixels and at most ``max_width``."""
    width, height = export_size(clip, params.max_width)
    encoding = Encoding(cast("Format", params.format.lower()), params.quality)
    result = replace(clip, encoding=encoding, pixel_aspect=Fraction(1))
    if (width, height) == (clip.width, clip.height):
        return result
    return result.with_frames(lambda: _scaled(clip, width, height), width=width, height=height)


@operation(
    "POST",
    "/postprocess/export",
    examples={
        "Small GIF": {"video_url": "https://example.com/video.mp4", "format": "GIF", "quality": 80, "max_width": 480},
    },
)
def export(request: ExportRequest, ctx: Context) -> VideoResponse:
    """Export a video to another format, with control over quality and size."""
    source, clip = open_source_clip(request, ctx, keep_alpha=request.keep_alpha)
    suffix = f"exported_{request.quality}q_{request.max_width}w"
    stem = _without_extension(request.output_name) if request.output_name else source.name
    published = publish_video(exported.bind(request)(clip, ctx), ctx, stem=stem, suffix=suffix)
    return video_response(published, "Video exported successfully", ctx)


def _without_extension(name: str) -> str:
    """A file name without its extension, which depends on the format."""
    stem, _, extension = name.rpartition(".")
    return stem if stem and extension.lower() in _FORMATS else name


def _scaled(clip: Clip, width: int, height: int) -> Iterator[Frame]:
    """Scale frames where they are stored; a repeated frame stays one object."""
    on_host = Scaler(width, height, clip.colors)
    return convert_each(clip.frames(), lambda frame: _one_scaled(frame, width, height, on_host))


def _one_scaled(frame: Frame, width: int, height: int, on_host: Scaler) -> Frame:
    if isinstance(frame, HostFrame):
        return on_host(frame)
    from framepack.models.frames.device_frame import scaled_on_device

    return scaled_on_device(frame, width, height) or on_host(frame)
