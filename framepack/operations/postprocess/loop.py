"""``POST /postprocess/loop``: repeat a video, or play it forwards and backwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from framepack.api.names import MAX_CHARACTERS
from framepack.api.schemas import CallbackRequest, Request, VideoRequest, VideoResponse, Whole
from framepack.api.workflow import PresetStep
from framepack.media.clip import Clip
from framepack.media.mux.repeat import copyable_video, write_repeated
from framepack.media.read.reader import open_clip
from framepack.media.timeline.loops import ping_pong, repeated
from framepack.processing.context import Context
from framepack.processing.effect import effect, never
from framepack.processing.operation import operation
from framepack.processing.render import open_source, publish_video, video_response

if TYPE_CHECKING:
    from pathlib import Path

_ALIASES: Final = {"loop": "loop", "ping-pong": "ping-pong", "pingpong": "ping-pong"}


def _loop_type(value: object) -> object:
    """Accept the type in any case, and all spellings of ping-pong."""
    if not isinstance(value, str) or len(value) > MAX_CHARACTERS:
        return value
    return _ALIASES.get("-".join(value.lower().replace("_", "-").split()), value)


LoopType = Annotated[Literal["loop", "ping-pong"], BeforeValidator(_loop_type)]


class LoopParams(Request):
    """How to loop."""

    loop_type: LoopType = Field("loop", description="Type of loop: simple repeat, or forward then reverse (seamless)")
    num_loops: Whole = Field(
        1, ge=1, le=10, description="`loop`: additional plays, 1 = plays twice in all; `ping-pong`: round trips"
    )


class LoopRequest(VideoRequest, LoopParams, CallbackRequest):
    """A video and how to loop it."""


@effect(
    "loop",
    order=4,
    preset=PresetStep(
        "Loop", {"loop_type": "loop_type", "num_loops": "num_loops"}, off=("loop_type", "none"), order=3
    ),
    needs_model=never,
)
def looped(clip: Clip, params: LoopParams, ctx: Context) -> Clip:
    """Repeat the clip ``num_loops + 1`` times, or play it forwards and backwards ``num_loops`` times, with audio."""
    if params.loop_type == "ping-pong":
        return ping_pong(clip, params.num_loops, ctx.workspace.folder)
    return repeated(clip, params.num_loops + 1)


@operation(
    "POST",
    "/postprocess/loop",
    examples={
        "Forwards and backwards": {
            "video_url": "https://example.com/video.mp4",
            "loop_type": "ping-pong",
            "num_loops": 3,
        },
    },
)
def loop(request: LoopRequest, ctx: Context) -> VideoResponse:
    """Create a looped version of a video."""
    source, info = open_source(request, ctx)
    clip = looped.bind(request)(open_clip(source.path, info, warn=ctx.job.warn, section=ctx.section), ctx)

    def stream_copy(target: Path) -> bool:
        video = copyable_video(source.path, info) if request.loop_type == "loop" else None
        if video is not None:
            write_repeated(video, target, clip, ctx.job.warn, ctx.job.watch)
        return video is not None

    suffix = f"{request.loop_type}_{request.num_loops}x"
    published = publish_video(clip, ctx, stem=source.name, suffix=suffix, stream_copy=stream_copy)
    return video_response(published, "Loop created successfully", ctx)
