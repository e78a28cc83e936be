"""``POST /postprocess/preview``: what some operations make of one frame of a video, or of a second of it."""

from __future__ import annotations

import math
from base64 import b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, Final

from pydantic import BaseModel, Field

from framepack.api.schemas import Message, SuccessResponse, VideoRequest
from framepack.api.workflow import StepsRequest
from framepack.closing import closing
from framepack.errors import InvalidMedia, TooLarge
from framepack.media.frames.colors import is_hdr
from framepack.media.images.image_file import image_file
from framepack.media.read.probe import VideoInfo, probe
from framepack.media.read.reader import decoded_frames, open_clip
from framepack.media.section import Section
from framepack.media.timeline.retiming import Retiming, in_between
from framepack.media.write.writer import foresee, write
from framepack.processing.context import BindableEffect, Context
from framepack.processing.limits import GIGA, Budget, quick_budget
from framepack.processing.operation import operation
from framepack.processing.preloading import Preloading
from framepack.processing.render import bring_source, charge_decoding
from framepack.processing.steps import build_chain, parse_steps
from framepack.units import MB

if TYPE_CHECKING:
    from pathlib import Path

    from framepack.media.clip import Clip, Frame
    from framepack.processing.steps import Chain
    from framepack.settings import Settings

_MAX_SECONDS: Final = 2.0
_MAX_BYTES: Final = 3_600_000  # of each file: two of them, as base64, are within RunPod's limit of an answer
_MIME_TYPES: Final = {"mp4": "video/mp4", "webm": "video/webm", "gif": "image/gif"}
_TOLERANCE: Final = Fraction(1, 100)  # frame durations; players round times, some to microseconds


class PreviewRequest(VideoRequest, StepsRequest):
    """A video, the operations to preview, as in a pipeline, and which part of the video to show."""

    at_seconds: float = Field(
        0.0, ge=0, description="Time in the video: the frame shown then; after the end, the last one"
    )
    seconds: float = Field(
        0.0, ge=0, le=_MAX_SECONDS, description="Duration of the previewed part; 0 shows one frame as an image"
    )


class PreviewFile(BaseModel):
    """One side of a preview: an image, or a short video."""

    base64: str | None = Field(None, repr=False, description="The file; missing where the job is read again later")
    mime_type: str = Field(description="`image/png`, `image/jpeg`, `image/gif`, `video/mp4` or `video/webm`")
    width: int = Field(description="Width in pixels")
    height: int = Field(description="Height in pixels")
    pixel_aspect: float = Field(description="Width of a pixel divided by its height")
    size_bytes: int = Field(description="Size of the file")
    seconds: float = Field(
        description="Time in the source that the image shows, or at which the video begins; an interpolated frame "
        "lies between two frames of the source"
    )
    fps: float = Field(description="Frames per second of the video that it is taken from")
    frames: int = Field(description="Number of frames: 1 in an image")


class PreviewedVideo(BaseModel):
    """What the operations would make of the whole video."""

    format: str = Field(description="`mp4`, `webm` or `gif`")
    width: int = Field(description="Width in pixels")
    height: int = Field(description="Height in pixels")
    fps: float = Field(description="Frames per second")
    frames: int | None = Field(description="Number of frames")
    duration_seconds: float | None = Field(description="Duration in seconds")


class PreviewResponse(SuccessResponse):
    """The part before and after the operations."""

    is_kept: ClassVar[bool] = False

    message: Message = "Preview completed successfully"
    frame: int = Field(description="Number of the frame that `before` shows or begins with, from 0")
    before: PreviewFile = Field(description="The source: PNG, JPEG if that is too large, or MP4")
    after: PreviewFile = Field(
        description="The result, encoded as the operations say: an image shows it decoded again"
    )
    result: PreviewedVideo | None = Field(
        None, description="What the whole video would become; missing if it would be refused, see `warnings`"
    )
    warnings: list[str] | None = Field(None, description="Non-fatal problems, also those that the whole video has")


def _is_light(request: PreviewRequest, effects: Mapping[str, BindableEffect]) -> bool:
    """Whether no step needs a model."""
    params = parse_steps(request.operations, effects)
    return not any(
        effects[step.type_name].needs_model(own) for step, own in zip(request.operations, params, strict=True)
    )


@operation(
    "POST",
    "/postprocess/preview",
    is_light=_is_light,
    examples={
        "One frame": {
            "video_url": "https://example.com/video.mp4",
            "operations": [{"type": "filters", "params": {"preset": "cinematic"}}],
            "at_seconds": 1.5,
        },
        "One second": {
            "video_url": "https://example.com/video.mp4",
            "operations": [{"type": "interpolate", "params": {"fps_mode": "2x"}}],
            "at_seconds": 1.5,
            "seconds": 1,
        },
    },
)
def preview(request: PreviewRequest, ctx: Context) -> PreviewResponse:
    """Preview operations on one frame or up to two seconds of a video, before and after, without storing anything."""
    chain = build_chain(request.operations, ctx)
    source, info = bring_source(request, ctx, conversion=quick_budget(ctx.settings, "preview"))
    result = _whole_result(source.path, info, chain, ctx)
    number = math.floor(Fraction(str(request.at_seconds)) * info.fps + _TOLERANCE)
    part = _part(number, request, info, chain)
    _check_decoding(part, lambda number: _part(number, request, info, chain), info, ctx.settings)
    if _is_light(request, ctx.effects):
        ctx = replace(ctx, budget=quick_budget(ctx.settings, "preview"))
    section = Section(part.begin / info.fps, (part.begin + part.count) / info.fps)
    clip = open_clip(source.path, info, warn=ctx.job.warn, section=section)
    changed = chain.apply(clip, ctx)[-1]
    before, after = (_videos if request.seconds else _images)(clip, changed, part, ctx)
    return PreviewResponse(
        frame=part.begin + part.source_index,
        before=before,
        after=after,
        result=result,
        warnings=ctx.job.warnings or None,
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """The part of the source to show.

    Attributes:
        begin: Number of its first frame.
        count: Number of its frames.
        index: Number of the frame to show, among those that the operations make of the part.
        position: The moment that this frame shows, in source frames from ``begin``.
    """

    begin: int
    count: int
    index: int = 0
    position: Fraction = Fraction(0)

    @property
    def source_index(self) -> int:
        """Number of the source's frame at this moment, within the part."""
        return math.floor(self.position)


def _part(number: int, request: PreviewRequest, info: VideoInfo, chain: Chain) -> _Part:
    """The part that is shown if the source's frame of this number is asked for."""
    first = min(number, info.length - 1)
    if request.seconds:
        count = max(1, round(Fraction(str(request.seconds)) * info.fps))
        return _Part(first, min(count, info.length - first))
    retimings = [each for params in chain.params if isinstance(each := getattr(params, "retiming", None), Retiming)]
    count, index, place = in_between(retimings, info.length)
    return _Part(min(first, info.length - count), count, index, place.position)


def _check_decoding(part: _Part, part_at: Callable[[int], _Part], info: VideoInfo, settings: Settings) -> None:
    """Check what is decoded to show a part: frames from the key frame before it on.

    Args:
        part: The part.
        part_at: The part of another request, which asks for the frame of this number.
        info: What is known of the source.
        settings: The settings.

    Raises:
        TooLarge: They are over ``max_preview_gigapixels``.
    """

    def needed(part: _Part) -> int:
        return decoded_frames(info, range(part.begin, part.begin + part.count))

    limit = settings.max_preview_gigapixels
    pixels, frames = info.width * info.height, needed(part)
    allowed = int(limit * GIGA / pixels)
    if frames <= allowed:
        return
    remedy = "preview another part, or fewer seconds"
    if info.edited is None:  # behind the same key frame, a part costs less the earlier it begins
        rank = info.timeline.frame_at
        behind_key = info.order.packet_before(rank(part.begin))
        numbers = range(part.begin + 1)
        earliest = bisect_left(numbers, behind_key, key=lambda number: info.order.packet_before(rank(number)))
        fitting = bisect_right(numbers, allowed, lo=earliest, key=lambda number: needed(part_at(number))) - 1
        while fitting >= earliest and needed(part_at(fitting)) > allowed:  # B-frames cost more than the next frame
            fitting -= 1
        if fitting >= earliest:
            remedy = f"one at {float((fitting + Fraction(1, 2)) / info.fps):.3f} seconds would fit"
    raise TooLarge(
        f"For this part, {frames} frames of {info.width} x {info.height} pixels have to be decoded, from the key "
        f"frame before it on, {frames * pixels / GIGA:.4g} gigapixels in all; at most {limit:.4g}, {allowed} frames "
        f"of this size, per preview are allowed: {remedy}."
    )


def _whole_result(path: Path, info: VideoInfo, chain: Chain, ctx: Context) -> PreviewedVideo | None:
    """What the whole video would become; None if it would be refused, about which there is a warning then."""
    trial = replace(ctx, budget=Budget(), preloading=Preloading(is_trial=True))
    try:
        charge_decoding(info, trial)
        clip = chain.apply(open_clip(path, info, warn=ctx.job.warn), trial)[-1]
        trial.budget.encode(clip.encoded_frames or 0, clip.width, clip.height, ctx.settings)
    except TooLarge as error:
        ctx.job.warn(f"The whole video would be refused: {error.message}")
        return None
    foreseen = foresee(clip)
    for sentence in foreseen.sentences:
        ctx.job.warn(sentence)
    return PreviewedVideo(
        format=clip.encoding.format,
        width=foreseen.width,
        height=foreseen.height,
        fps=float(foreseen.fps),
        frames=foreseen.frames,
        duration_seconds=clip.duration_seconds,
    )


def _images(clip: Clip, changed: Clip, part: _Part, ctx: Context) -> tuple[PreviewFile, PreviewFile]:
    """One frame before and after the operations, as images."""
    if is_hdr(clip.colors):
        ctx.job.warn("The video is HDR; the images of a preview show it in SDR.")
    source_frame = _frame(clip, part.source_index, ctx)
    begin, count = part.begin, part.source_index
    before = _image(source_frame, clip, (begin + count) / clip.fps)
    target = ctx.workspace.path(f"after{changed.encoding.extension}")
    shown = _frame(changed, part.index, ctx)
    write_one = replace(changed, frames=lambda: iter([shown]), length=1, repeats=1, audio=None, metadata=())
    write(write_one, target, crf=ctx.settings.video_crf, preset=ctx.settings.video_preset)
    decoded = open_clip(target, probe(target), warn=lambda _: None)
    after = _image(
        _frame(decoded, 0, ctx), replace(decoded, fps=foresee(changed).fps), (begin + part.position) / clip.fps
    )
    return before, after


def _frame(clip: Clip, index: int, ctx: Context) -> Frame:
    """One frame of a clip; no later one is computed.

    Raises:
        InvalidMedia: The clip has fewer frames.
    """
    with closing(ctx.job.watch(clip.frames(), index + 1)) as frames:
        for frame in islice(frames, index, None):
            return frame
    raise InvalidMedia("The video has no frame at this time.")


def _image(frame: Frame, clip: Clip, seconds: Fraction) -> PreviewFile:
    data, mime_type = image_file(frame, _MAX_BYTES)
    return _file(data, mime_type, replace(clip, width=frame.width, height=frame.height, length=1, repeats=1), seconds)


def _videos(clip: Clip, changed: Clip, part: _Part, ctx: Context) -> tuple[PreviewFile, PreviewFile]:
    """A part of the video before and after the operations, as videos."""
    for each in (clip, changed):
        ctx.budget.encode(each.encoded_frames or 0, each.width, each.height, ctx.settings)
    quiet = replace(ctx, job=ctx.job.sub_job(lambda _progress: None))
    seconds = part.begin / clip.fps
    return _video(clip, "before", seconds, quiet), _video(changed, "after", seconds, ctx)


def _video(clip: Clip, name: str, seconds: Fraction, ctx: Context) -> PreviewFile:
    target = ctx.workspace.path(f"{name}{clip.encoding.extension}")
    watched = replace(clip, frames=lambda: ctx.job.watch(clip.frames(), clip.length), metadata=())
    made = foresee(clip)
    write(watched, target, crf=ctx.settings.video_crf, preset=ctx.settings.video_preset, warn=ctx.job.warn)
    changed = replace(clip, width=made.width, height=made.height, fps=made.fps, length=made.frames, repeats=1)
    return _file(target.read_bytes(), _MIME_TYPES[clip.encoding.format], changed, seconds)


def _file(data: bytes, mime_type: str, clip: Clip, seconds: Fraction) -> PreviewFile:
    """A side of the preview.

    Raises:
        TooLarge: The file does not fit into an answer.
    """
    if len(data) > _MAX_BYTES:
        raise TooLarge(
            f"A preview's file may have {_MAX_BYTES / MB:g} MB, and this one has {len(data) / MB:.1f} MB: "
            "preview fewer seconds, or one frame, or a smaller size."
        )
    return PreviewFile(
        base64=b64encode(data).decode(),
        mime_type=mime_type,
        width=clip.width,
        height=clip.height,
        pixel_aspect=float(clip.pixel_aspect),
        size_bytes=len(data),
        seconds=float(seconds),
        fps=float(clip.fps),
        frames=clip.total_frames or 1,
    )
