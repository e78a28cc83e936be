"""``POST /frames/reassemble``: make a video from a folder of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, TypeVar

from pydantic import Field

from framepack.api.names import Name
from framepack.api.schemas import CallbackRequest, VideoResponse, Whole
from framepack.errors import BadRequest, Conflict, NotFound, TooLarge
from framepack.files.parallel import WORKERS, in_parallel
from framepack.media.audio.frame_audio import MAX_RUNS, MAX_SPEED, MIN_SPEED, FrameAudio
from framepack.media.clip import AudioSource, Colors, Matrix
from framepack.media.images.image_clip import image_clip
from framepack.media.metadata import unpacked
from framepack.processing.context import Context
from framepack.processing.operation import operation
from framepack.processing.render import publish_video, video_response
from framepack.storage.frames.folders import FrameFolders, left_out_images
from framepack.storage.frames.record import FolderRecord, audio_key
from framepack.storage.outputs import ResultFolder
from framepack.units import MB

if TYPE_CHECKING:
    from framepack.media.clip import AudioPlan, Clip
    from framepack.storage.base import Storage, StoredObject

R = TypeVar("R")

_MEMORY_BYTES = 256_000_000


class ReassembleRequest(CallbackRequest):
    """A folder of frames, and how to play them."""

    folder_name: Name = Field(description="Folder containing frames")
    output_fps: Whole = Field(30, ge=1, le=120, description="Output video FPS")
    output_name: Name | None = Field(None, description="Custom output name")
    with_audio: bool = Field(
        default=False, description="Whether to add the audio of the video that the frames were extracted from"
    )


@dataclass(frozen=True, slots=True)
class _StoredImages:
    """Stored images, downloaded in parallel and in advance.

    Attributes:
        storage: The store.
        frames: The images.
        largest: Size of the largest file in bytes.
    """

    storage: Storage
    frames: Sequence[StoredObject]
    largest: int

    def __len__(self) -> int:
        return len(self.frames)

    def first(self) -> tuple[str, bytes]:
        return self._read(self.frames[0])

    def each(self, work: Callable[[str, bytes], R], result_bytes: int) -> Iterator[R]:
        ahead = _MEMORY_BYTES // (self.largest + result_bytes + 1)
        return in_parallel(lambda frame: work(*self._read(frame)), self.frames, ahead=max(2, min(2 * WORKERS, ahead)))

    def _read(self, frame: StoredObject) -> tuple[str, bytes]:
        try:
            return frame.key.name, self.storage.read(frame.key)
        except NotFound as error:
            raise Conflict(
                f"Frame '{frame.key.name}' was deleted while the frames were being reassembled; try again."
            ) from error


@operation(
    "POST",
    "/frames/reassemble",
    examples={
        "24 frames per second": {
            "folder_name": "video_extracted_every_1_241204_140000",
            "output_fps": 24,
            "output_name": "edited_video",
        },
    },
)
def reassemble_frames(request: ReassembleRequest, ctx: Context) -> VideoResponse:
    """Reassemble the images of a folder into a video."""
    folders = FrameFolders(ctx.outputs.storage)
    frames = folders.frames(request.folder_name)
    left_out = left_out_images(ctx.outputs.storage, request.folder_name)
    if not frames:
        reason = f": {left_out}" if left_out else ""
        raise BadRequest(f"Folder '{request.folder_name}' has no frames{reason}")
    if left_out:
        ctx.job.warn(left_out)
    with ctx.job.measurements.stage("source"):
        record = folders.record(request.folder_name)
        clip = _clip(frames, record, Fraction(request.output_fps), ctx)
        ctx.budget.decode(len(frames), clip.width, clip.height, ctx.settings)
        if request.with_audio:
            clip = replace(clip, audio=_audio(request.folder_name, frames, record, clip.fps, ctx))
    published = publish_video(
        clip,
        ctx,
        stem=(request.output_name or "reassembled_video").removesuffix(".mp4"),
        suffix=f"{request.output_fps}fps_reassembled",
        unsaved=ResultFolder.REASSEMBLED_VIDEOS,
    )
    return video_response(published, "Frames reassembled successfully", ctx)


def _clip(frames: Sequence[StoredObject], record: FolderRecord | None, fps: Fraction, ctx: Context) -> Clip:
    """The images as a clip, with the colors and the pixel aspect of the video they were extracted from."""
    largest = max(frame.size_bytes for frame in frames)
    if largest > ctx.settings.max_source_mb * MB:
        raise TooLarge(f"A frame is too large: {largest / MB:.1f} MB (maximum {ctx.settings.max_source_mb:g} MB).")
    clip = image_clip(
        _StoredImages(ctx.outputs.storage, frames, largest),
        fps,
        max_pixels=ctx.settings.max_pixels,
        colors=_colors(record),
        warn=ctx.job.warn,
    )
    if record is not None:
        clip = replace(clip, metadata=unpacked(record.metadata))
    if record is None or (clip.width, clip.height) != (record.width, record.height):
        return clip
    return replace(clip, pixel_aspect=Fraction(record.pixel_aspect))


def _colors(record: FolderRecord | None) -> Colors:
    if record is None or record.colors[0] not in set(Matrix):
        return Colors()
    matrix, primaries, transfer = record.colors
    return Colors(Matrix(matrix), primaries, transfer)


def _audio(
    folder: str, frames: Sequence[StoredObject], record: FolderRecord | None, fps: Fraction, ctx: Context
) -> AudioPlan | None:
    """The stored audio of the video, synchronized with the frames; a warning says why there is none."""
    if record is None or record.audio_delay is None:
        ctx.job.warn("The folder has no audio.")
        return None
    path = ctx.workspace.path("audio.mka")
    kept = FrameAudio(
        AudioSource(path, 0, Fraction(record.audio_delay)), Fraction(record.fps), record.extraction_rate
    )
    if not MIN_SPEED <= kept.speed(fps) <= MAX_SPEED:
        ctx.job.warn(
            f"The audio was omitted: at {fps} frames per second the video plays {float(kept.speed(fps)):g} times "
            "as fast as the original."
        )
        return None
    numbers = [record.source_index(frame.key.name) for frame in frames]
    if len(kept.runs(numbers)) > MAX_RUNS:
        ctx.job.warn(f"The audio was omitted: deleted frames would cut it into more than {MAX_RUNS} pieces.")
        return None
    try:
        ctx.outputs.storage.fetch(audio_key(folder), path)
    except NotFound:
        ctx.job.warn("The folder has no audio.")
        return None
    return kept.for_frames(numbers, fps)
