"""The path of every video that is made: source, clip, effects, file, output. `publish_video` is the only way out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from framepack.api.schemas import VideoRequest, VideoResponse
from framepack.files.source import Source
from framepack.media.frames.colors import is_hdr
from framepack.media.frames.hdr import TONE_MAPPED
from framepack.media.images.animation import animation_format, convert_animation
from framepack.media.metadata import carried, describe_others
from framepack.media.read.marks import describe_lost_marks
from framepack.media.read.probe import VideoInfo, probe
from framepack.media.read.reader import decoded_frames, open_clip
from framepack.media.write.nvenc import MAX_HARDWARE_SIDE
from framepack.media.write.writer import write
from framepack.processing.limits import check_output, check_size, check_source
from framepack.storage.autosave import autosave_enabled
from framepack.storage.outputs import PublishedOutput, ResultFolder
from framepack.units import MB

if TYPE_CHECKING:
    from pathlib import Path

    from framepack.media.clip import Clip
    from framepack.processing.context import Context
    from framepack.processing.effect import ClipTransform
    from framepack.processing.limits import Budget
    from framepack.processing.steps import Chain


def open_source(request: VideoRequest, ctx: Context, conversion: Budget | None = None) -> tuple[Source, VideoInfo]:
    """Bring the request's video into the workspace, check it, and charge the job's budget; see `bring_source`."""
    source, info = bring_source(request, ctx, conversion=conversion)
    charge_decoding(info, ctx)
    return source, info


def charge_decoding(info: VideoInfo, ctx: Context) -> None:
    """Charge the job's budget with the frames of a source that are used.

    Raises:
        TooLarge: They are more than the settings allow.
    """
    decoded = max(info.frame_count, info.length)
    if ctx.section is not None:
        indices = ctx.section.frame_range(info.timeline)
        decoded = max(len(indices), decoded_frames(info, indices))
    ctx.budget.decode(decoded, info.width, info.height, ctx.settings)


def bring_source(
    request: VideoRequest,
    ctx: Context,
    probing: AbstractContextManager[object] | None = None,
    conversion: Budget | None = None,
) -> tuple[Source, VideoInfo]:
    """Bring the request's video into the workspace, probe it, and check it against the limits.

    Args:
        request: The request.
        ctx: The context of the job.
        probing: Entered while the file is read.
        conversion: What an animated image may cost, which is converted as a whole; None: what the job has left.

    Raises:
        InvalidSource, SourceNotAllowed, SourceFailed, SourceTooSlow: The video did not arrive.
        InvalidMedia: It is not a video.
        TooLarge: It is over a limit of the settings.
    """
    with ctx.job.measurements.stage("source"):
        if request.video_url is not None:
            source = ctx.fetch(request.video_url, part=ctx.job)
        else:
            limit = round(ctx.settings.max_source_mb * MB)
            source = Source.from_base64(request.video_base64 or "", ctx.workspace, limit)
        with probing or nullcontext():
            source, info = _probed(source, ctx, conversion or ctx.budget)
    check_source(info, ctx.settings)
    return source, info


def _probed(source: Source, ctx: Context, conversion: Budget) -> tuple[Source, VideoInfo]:
    """The source and what is in it; an animated image is converted first, and described as what it is."""
    kind = animation_format(source.path)
    if kind is None:
        return source, probe(source.path, max_frames=ctx.settings.max_frames)
    target = ctx.workspace.path(f"{source.path.name}-converted")

    def check(width: int, height: int, frames: int) -> None:
        ctx.job.check()
        check_size(width, height, frames, ctx.settings)
        replace(conversion).decode(frames, width, height, ctx.settings)

    metadata = convert_animation(source.path, target, check=check, warn=ctx.job.warn)
    info = probe(target, max_frames=ctx.settings.max_frames)
    info = replace(
        info,
        size_bytes=source.path.stat().st_size,
        container=kind,
        codec=kind,
        left_out=(*info.left_out, *describe_others(metadata)),
        metadata=carried(metadata),
    )
    return replace(source, path=target, original=source.path), info


def open_source_clip(request: VideoRequest, ctx: Context, *, keep_alpha: bool = False) -> tuple[Source, Clip]:
    """Bring the request's video into the workspace, check it, and open it; see `open_source` and `open_clip`."""
    source, info = open_source(request, ctx)
    clip = open_clip(source.path, info, warn=ctx.job.warn, section=ctx.section, keep_alpha=keep_alpha)
    return source, clip


def render(
    request: VideoRequest, transforms: Sequence[ClipTransform], ctx: Context, *, suffix: str, message: str
) -> VideoResponse:
    """Apply ``transforms`` to the request's video and publish the result as ``{stem}_{suffix}_{time}_{id}``."""
    source, clip = open_source_clip(request, ctx)
    for transform in transforms:
        clip = transform(clip, ctx)
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
    clip: Clip,
    ctx: Context,
    *,
    stem: str,
    suffix: str,
    unsaved: ResultFolder = ResultFolder.TEMP_PROCESSING,
    stream_copy: Callable[[Path], bool] | None = None,
) -> PublishedOutput:
    """Compute, encode and publish a clip, with progress and cancellation frame by frame.

    A job that keeps partial results publishes the frames that were computed before it was cancelled.

    Args:
        clip: The video.
        ctx: The context of the job.
        stem: First part of the output's name.
        suffix: Second part of the output's name.
        unsaved: Folder of the output while autosave is off.
        stream_copy: Writes the clip to a file by copying the source's packets instead of encoding it; returns False
            if that is impossible. Not called if the job changes the frames of the source.

    Raises:
        TooLarge: The output would be over a limit of the settings; nothing was decoded.
        Cancelled: The job was cancelled.
    """
    if ctx.final_transform is not None:
        clip = ctx.final_transform(clip, ctx)
    check_output(clip, ctx.settings)
    ctx.budget.encode(clip.encoded_frames or 0, clip.width, clip.height, ctx.settings)
    # Asked of the store before the work, so that a store that is down fails the job early.
    folder = ResultFolder.SAVED_VIDEOS if autosave_enabled(ctx.state) else unsaved
    target = ctx.workspace.path(f"output{clip.encoding.extension}")
    measured = ctx.job.measurements
    with measured.stage("frames"):
        if stream_copy is not None and ctx.allows_stream_copy and stream_copy(target):
            measured.frames += clip.total_frames or 0
        else:
            measured.frames += _encode(clip, target, ctx)
    if not ctx.job.keeps_partial:
        ctx.job.check()
    if not ctx.job.is_cancelled:  # otherwise more was decoded than encoded
        for sentence in describe_lost_marks(clip, target):
            ctx.job.warn(sentence)
    with measured.stage("publish"):
        return ctx.outputs.publish(target, folder=folder, stem=stem, suffix=suffix)


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


def _encode(clip: Clip, target: Path, ctx: Context) -> int:
    """Encode a clip, and return the number of its frames."""
    if is_hdr(clip.colors):
        is_gif = clip.encoding.format == "gif"
        ctx.job.warn(TONE_MAPPED if is_gif else "The video is HDR and stays so, with 8 bits per color.")
    if clip.encoding.format == "mp4" and max(clip.width, clip.height) > MAX_HARDWARE_SIDE:
        ctx.job.warn(
            f"The video has {clip.width} x {clip.height} pixels: many players and hardware decoders of H.264 stop at "
            f"{MAX_HARDWARE_SIDE}."
        )
    watched = replace(clip, frames=lambda: ctx.job.until_cancelled(ctx.job.watch(clip.frames(), clip.length)))
    crf, preset = ctx.settings.video_crf, ctx.settings.video_preset
    return write(watched, target, crf=crf, preset=preset, encoders=ctx.encoders, warn=ctx.job.warn)
