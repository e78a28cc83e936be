"""The path every video takes: source, clip, effects, file, published output. One decode and one encode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from framepack.api.schemas import VideoRequest, VideoResponse
from framepack.files.source import Source
from framepack.media.read.probe import VideoInfo, probe
from framepack.media.read.reader import open_clip
from framepack.media.write.writer import write
from framepack.processing.limits import check_output, check_source
from framepack.storage.outputs import PublishedOutput, ResultFolder
from framepack.storage.switches import autosave_enabled

if TYPE_CHECKING:
    from framepack.media.clip import Clip
    from framepack.processing.context import Context
    from framepack.processing.effect import Step
    from framepack.processing.steps import Chain


def open_source(request: VideoRequest, ctx: Context) -> tuple[Source, VideoInfo]:
    """Bring the request's video into the workspace and look at it, refusing what is over a limit.

    Raises:
        InvalidSource, SourceNotAllowed, SourceFailed, SourceTooSlow: the video did not arrive.
        InvalidMedia: it is not a video.
        TooLarge: it is over a limit of the settings.
    """
    if request.video_url is not None:
        source = ctx.fetch(request.video_url)
    else:
        limit = round(ctx.settings.max_source_mb * 1e6)
        source = Source.from_base64(request.video_base64 or "", ctx.workspace, limit)
    info = probe(source.path)
    check_source(info, ctx.settings)
    return source, info


def open_source_clip(request: VideoRequest, ctx: Context) -> tuple[Source, Clip]:
    """Bring the request's video into the workspace, within the limits, and open it; see `open_source`."""
    source, info = open_source(request, ctx)
    return source, open_clip(source.path, info, warn=ctx.job.warn, section=ctx.section)


def render(request: VideoRequest, steps: Sequence[Step], ctx: Context, *, suffix: str, message: str) -> VideoResponse:
    """Apply ``steps`` to the request's video and publish the result as ``{stem}_{suffix}_{time}_{id}``."""
    source, clip = open_source_clip(request, ctx)
    for step in steps:
        clip = step(clip, ctx)
    return video_response(publish_video(clip, ctx, stem=source.name, suffix=suffix), message, ctx)


def render_chain(request: VideoRequest, chain: Chain, ctx: Context) -> tuple[PublishedOutput, list[Clip]]:
    """Apply a pipeline's steps to the request's video, with one decode and one encode, and publish the result.

    Returns:
        The result, called ``{stem}_processed_{time}_{id}`` unless a step names it, and the clip after each step.
    """
    source, clip = open_source_clip(request, ctx)
    clips = chain.apply(clip, ctx)
    published = publish_video(clips[-1], ctx, stem=chain.output_name or source.name, suffix="processed")
    return published, clips


def publish_video(
    clip: Clip, ctx: Context, *, stem: str, suffix: str, unsaved: ResultFolder = ResultFolder.TEMP_PROCESSING
) -> PublishedOutput:
    """Compute, encode and publish a clip; progress is reported and cancellation obeyed frame by frame.

    A job that keeps its part publishes the frames that were computed before it was cancelled.

    Args:
        clip: What to publish.
        ctx: The surroundings of the job.
        stem: First part of the output's name.
        suffix: Second part of it.
        unsaved: Where the output goes while autosave is off.

    Raises:
        TooLarge: the output would be over a limit of the settings; nothing was decoded.
        Cancelled: the job was asked to stop.
    """
    if ctx.final_transform is not None:
        clip = ctx.final_transform(clip, ctx)
    check_output(clip, ctx.settings)
    folder = videos_folder(ctx, unsaved)  # a store that fails must not cost the work
    target = ctx.workspace.path(f"output{clip.encoding.extension}")
    watched = replace(clip, frames=lambda: ctx.job.until_cancelled(ctx.job.watch(clip.frames(), clip.length)))
    write(watched, target, crf=ctx.settings.video_crf, preset=ctx.settings.video_preset, warn=ctx.job.warn)
    if not ctx.job.keeps_partial:
        ctx.job.check()
    return ctx.outputs.publish(target, folder=folder, stem=stem, suffix=suffix)


def videos_folder(ctx: Context, unsaved: ResultFolder = ResultFolder.TEMP_PROCESSING) -> ResultFolder:
    """Where finished videos go: among the saved ones while autosave is on, else where they go unsaved."""
    return ResultFolder.SAVED_VIDEOS if autosave_enabled(ctx.state) else unsaved


def video_response(published: PublishedOutput, message: str, ctx: Context) -> VideoResponse:
    """The documented answer for a published video."""
    return VideoResponse(
        message=message,
        output_video_base64=published.base64,
        output_path=published.path,
        output_url=published.url,
        output_filename=published.filename,
        output_file_size=published.size_bytes,
        warnings=ctx.job.warnings or None,
    )
