"""``POST /postprocess/analyze``: metadata of a video."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from framepack.api.schemas import SuccessResponse, VideoRequest
from framepack.processing.context import Context
from framepack.processing.limits import quick_budget
from framepack.processing.operation import operation
from framepack.processing.render import open_source

if TYPE_CHECKING:
    from framepack.files.source import Source
    from framepack.media.read.probe import VideoInfo

_STEP = 1024
_EXTENSIONS = {"mov": "mp4", "matroska": "mkv", "mpegts": "ts", "asf": "wmv"}


class AnalyzeRequest(VideoRequest):
    """A video to analyze."""


class Analysis(BaseModel):
    """The metadata of a video, in the documented format."""

    filename: str = Field(description="Name of the file")
    file_size: str = Field(description='Such as "15.2 MB"')
    duration: str = Field(description='Such as "4.5 seconds"')
    resolution: str = Field(description="Width x height when shown upright")
    fps: float = Field(description="Frames per second")
    codec: str = Field(description="FFmpeg's name of the video codec")
    has_alpha: bool = Field(description="Whether there is an alpha channel, in which nothing needs to be transparent")
    bitrate: str = Field(description='Such as "28.1 Mbps"')
    has_audio: bool = Field(description="Whether there is an audio stream")
    audio_codec: str | None = Field(description="FFmpeg's name of the audio codec, null without audio")
    total_frames: int = Field(description="Number of frames at this rate, as every operation makes them")


class AnalyzeResponse(SuccessResponse):
    """The analysis."""

    analysis: Analysis = Field(description="What the video is")
    warnings: list[str] | None = Field(
        None, description="Missing or damaged parts of the file, and parts that outputs do not have"
    )


@operation(
    "POST",
    "/postprocess/analyze",
    needs="light",
    examples={
        "Video at an address": {"video_url": "https://example.com/video.mp4"},
    },
)
def analyze(request: AnalyzeRequest, ctx: Context) -> AnalyzeResponse:
    """Analyze a video and get detailed metadata."""
    source, info = open_source(request, ctx, quick_budget(ctx.settings, "analysis"))
    return AnalyzeResponse(
        analysis=_described(_filename(source, info), info),
        warnings=[*ctx.job.warnings, *info.warnings, *info.notes, *info.left_out] or None,
    )


def _filename(source: Source, info: VideoInfo) -> str:
    """The client's name of the file; a base64 video gets the usual extension of its container."""
    if PurePath(source.filename).suffix:
        return source.filename
    container = info.container.partition(",")[0]
    return f"{source.filename}.{_EXTENSIONS.get(container, container)}"


def _described(filename: str, info: VideoInfo) -> Analysis:
    return Analysis(
        filename=filename,
        file_size=_size(info.size_bytes),
        duration=f"{info.duration_seconds:.1f} seconds",
        resolution=f"{info.width}x{info.height}",
        fps=round(float(info.fps), 3),
        codec=info.codec,
        has_alpha=info.has_alpha,
        bitrate=_bitrate(info.bits_per_second),
        has_audio=info.audio is not None,
        audio_codec=info.audio.codec if info.audio else None,
        total_frames=info.length,
    )


def _size(size_bytes: float) -> str:
    for unit in ("B", "KB", "MB"):
        if size_bytes < _STEP:
            return f"{size_bytes:.1f} {unit}" if unit != "B" else f"{size_bytes:.0f} B"
        size_bytes /= _STEP
    return f"{size_bytes:.1f} GB"


def _bitrate(bits_per_second: float) -> str:
    if bits_per_second < 1e6:  # noqa: PLR2004 - one megabit
        return f"{bits_per_second / 1e3:.1f} kbps"
    return f"{bits_per_second / 1e6:.1f} Mbps"
