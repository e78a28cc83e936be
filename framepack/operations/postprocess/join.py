"""``POST /postprocess/join``: join several videos, one after another."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from pydantic import Field, field_validator

from framepack.api.names import Name
from framepack.api.schemas import CallbackRequest, Url, VideoResponse
from framepack.closing import closing
from framepack.errors import InvalidField, TooLarge
from framepack.media.frames.hdr import describe_conversion
from framepack.media.metadata import describe_lost
from framepack.media.mux.join import JoinInput, copy_joined
from framepack.media.read.reader import open_clip
from framepack.media.timeline.concat import concatenate
from framepack.processing.context import Context
from framepack.processing.operation import operation
from framepack.processing.render import publish_video, video_response
from framepack.processing.sources import open_sources

_MIN_VIDEOS = 2


class JoinRequest(CallbackRequest):
    """The videos to join, in order."""

    video_urls: Annotated[list[Url], Field(min_length=_MIN_VIDEOS)] = Field(
        description="Video URLs to join, at least 2"
    )
    output_name: Name | None = Field(None, description="Custom output filename")

    @field_validator("video_urls", mode="before")
    @classmethod
    def _several(cls, urls: object) -> object:
        if isinstance(urls, list) and len(urls) < _MIN_VIDEOS:
            raise InvalidField(f"At least {_MIN_VIDEOS} video URLs are required (video_urls)")
        return urls

    def callback_metadata(self) -> dict[str, Any]:
        """The number of videos, and the name that the client chose."""
        return {"num_videos": len(self.video_urls), "output_name": self.output_name}


@operation(
    "POST",
    "/postprocess/join",
    examples={
        "Three videos": {
            "video_urls": [
                "https://example.com/video1.mp4",
                "https://example.com/video2.mp4",
                "https://example.com/video3.mp4",
            ],
            "output_name": "combined_video",
        },
    },
)
def join(request: JoinRequest, ctx: Context) -> VideoResponse:
    """Join several videos into one."""
    count = len(request.video_urls)
    if count > ctx.settings.max_join_videos:
        raise TooLarge(f"Too many videos: {count} (maximum {ctx.settings.max_join_videos}).")
    names, pieces, clips = [], [], []
    with closing(open_sources(request.video_urls, "video_urls", ctx)) as sources:
        for index, (source, info) in enumerate(sources):
            names.append(source.name)
            pieces.append(JoinInput(source.path, info))
            clips.append(open_clip(source.path, info, warn=partial(_warn, ctx, f"video_urls[{index}]: ")))
    for index, clip in enumerate(clips):
        if clip.colors != clips[0].colors and (sentence := describe_conversion(clip.colors, clips[0].colors)):
            _warn(ctx, f"video_urls[{index}]: ", sentence)
        for sentence in describe_lost(clip.metadata, clips[0].metadata):
            _warn(ctx, f"video_urls[{index}]: ", sentence)
    clip = concatenate(clips)
    published = publish_video(
        clip,
        ctx,
        stem=_stem(request.output_name) or names[0],
        suffix=f"joined_{count}_videos",
        stream_copy=lambda target: copy_joined(pieces, clip, target, warn=ctx.job.warn, watch=ctx.job.watch),
    )
    return video_response(published, "Videos joined successfully", ctx)


def _warn(ctx: Context, place: str, sentence: str) -> None:
    ctx.job.warn(place + sentence)


def _stem(name: str | None) -> str | None:
    """The name that the client chose, without the extension of a video."""
    return None if name is None else name.removesuffix(".mp4")
