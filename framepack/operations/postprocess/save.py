"""``POST /postprocess/save``: save a video without changes."""

from __future__ import annotations

from pathlib import Path, PurePath

from pydantic import Field

from framepack.api.names import Name
from framepack.api.schemas import Message, SuccessResponse, VideoRequest
from framepack.filenames import UNTITLED, safe_name
from framepack.processing.context import Context
from framepack.processing.limits import quick_budget
from framepack.processing.operation import operation
from framepack.processing.render import open_source

_EXTENSIONS = frozenset({".mp4", ".webm", ".gif"})
_OF_CONTAINERS = {
    "mov": ".mp4",
    "matroska": ".mkv",
    "gif": ".gif",
    "avi": ".avi",
    "mpegts": ".ts",
    "mpeg": ".mpg",
    "flv": ".flv",
    "ogg": ".ogv",
    "asf": ".wmv",
    "webp": ".webp",
    "apng": ".png",
}
_HEAD_BYTES = 64


class SaveRequest(VideoRequest):
    """A video and its new name."""

    custom_name: Name | None = Field(None, description="Custom filename")


class SaveResponse(SuccessResponse):
    """The location of the saved video."""

    message: Message = "Video saved to permanent storage successfully"
    saved_path: str = Field(description="Path of the video in the store")
    filename: str = Field(description="Name of the saved video; differs from the requested one if that was taken")
    output_url: str | None = Field(None, description="URL to download the video")
    output_file_size: int = Field(description="Size in bytes")
    warnings: list[str] | None = Field(None, description="Non-fatal problems")


@operation(
    "POST",
    "/postprocess/save",
    needs="light",
    examples={
        "Under a name": {"video_url": "https://example.com/video.mp4", "custom_name": "my_video"},
    },
)
def save_video(request: SaveRequest, ctx: Context) -> SaveResponse:
    """Save a video to permanent storage, byte for byte."""
    source, info = open_source(request, ctx, quick_budget(ctx.settings, "saved file"))
    path = source.original or source.path
    extension = _extension(source.filename, path, info.container)
    saved = ctx.outputs.save(path, _named(request.custom_name or source.name, extension))
    return SaveResponse(
        saved_path=saved.path, filename=saved.filename, output_url=saved.url, output_file_size=saved.size_bytes
    )


def _named(name: str, extension: str) -> str:
    """A file name from the client's text: known extensions are kept, otherwise the source's is added."""
    own = PurePath(name).suffix.lower()
    if own in _EXTENSIONS:
        name, extension = name[: -len(own)], own
    return safe_name(name, UNTITLED) + extension


def _extension(filename: str, path: Path, container: str) -> str:
    """The source's extension: that of its name if it is one of videos, else the usual one of its container."""
    given = PurePath(filename).suffix.lower()
    if given in {*_EXTENSIONS, *_OF_CONTAINERS.values(), ".mov"}:
        return given
    with path.open("rb") as file:
        is_webm = b"webm" in file.read(_HEAD_BYTES)
    usual = _OF_CONTAINERS.get(container.partition(",")[0], ".mp4")
    return ".webm" if usual == ".mkv" and is_webm else usual
