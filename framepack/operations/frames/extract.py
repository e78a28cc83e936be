"""``POST /frames/extract``: extract the frames of a video into a folder of images."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from framepack.api.metrics import OptionalMetrics  # noqa: TC001 - pydantic reads it
from framepack.api.schemas import CallbackRequest, Message, SuccessResponse, VideoRequest, Whole
from framepack.closing import closing
from framepack.errors import TooLarge
from framepack.filenames import clean_stem
from framepack.files.parallel import WORKERS, in_parallel
from framepack.media.audio.render import audio_sources
from framepack.media.audio.track import extract_audio
from framepack.media.frames.colors import is_hdr
from framepack.media.frames.hdr import SDR, TONE_MAPPED
from framepack.media.images.contact_sheet import ContactSheet
from framepack.media.images.convert import png
from framepack.media.metadata import packed
from framepack.processing.context import Context
from framepack.processing.operation import operation
from framepack.processing.render import open_source_clip
from framepack.storage.frames.folders import folder_key, sheet_key
from framepack.storage.frames.record import FolderRecord
from framepack.storage.frames.writer import FolderWriter, new_folder
from framepack.storage.outputs import PUBLIC_ROOT

if TYPE_CHECKING:
    from framepack.media.clip import AudioSource, Clip, Frame

_MAX_STEM = 55  # so that the folder's name has at most 100 characters
_MAX_PACKED = 50_000  # characters of metadata in a record
_MAX_SHORT = 1_000
_MEMORY_BYTES = 256_000_000
_PIXEL_BYTES = 9  # per pixel of a queued frame: its planes, its RGB and its PNG file
_ALPHA_PIXEL_BYTES = 3  # more of one with alpha


class ExtractRequest(VideoRequest, CallbackRequest):
    """A video, and which of its frames to extract."""

    extraction_rate: Whole = Field(1, ge=1, le=100, description="Extract every Nth frame (1 = all frames)")
    keep_alpha: bool = Field(
        default=False, description="Whether frames keep transparency (RGBA, straight), instead of being put on black"
    )

    def callback_results(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The folder of the frames, and their number."""
        return {name: answer[name] for name in ("folder_name", "frame_count")}


class ExtractResponse(SuccessResponse):
    """The new folder."""

    message: Message
    folder_name: str = Field(description="Name of the new folder")
    frame_count: int = Field(description="Number of frames in it")
    frames_path: str = Field(description="Path of the folder in the store")
    contact_sheet_path: str | None = Field(None, description="Path of an image that shows up to 48 of the frames")
    contact_sheet_url: str | None = Field(None, description="URL to download that image")
    warnings: list[str] | None = Field(None, description="Non-fatal problems, such as unreadable frames")
    metrics: OptionalMetrics = None


@operation(
    "POST",
    "/frames/extract",
    examples={
        "Every second frame": {"video_url": "https://example.com/video.mp4", "extraction_rate": 2},
    },
)
def extract_frames(request: ExtractRequest, ctx: Context) -> ExtractResponse:
    """Extract every Nth frame of a video as PNG files into a folder."""
    source, clip = open_source_clip(request, ctx, keep_alpha=request.keep_alpha)
    rate = request.extraction_rate
    count = -(-(clip.length or 0) // rate)
    if count > ctx.settings.max_extracted_frames:
        raise TooLarge(
            f"Too many frames to extract: {count} (maximum {ctx.settings.max_extracted_frames}). "
            "Use a higher extraction_rate."
        )
    ctx.budget.encode(count, clip.width, clip.height, ctx.settings)
    storage = ctx.outputs.storage
    stem = clean_stem(source.name).replace(".", "_")[:_MAX_STEM]
    folder = f"{stem}_extracted_every_{rate}_{ctx.outputs.stamp()}"
    if is_hdr(clip.colors):
        ctx.job.warn(TONE_MAPPED)
    with new_folder(storage, folder) as writer:
        sheet = ContactSheet(clip, count)
        measured = ctx.job.measurements
        with measured.stage("frames"):
            audio = _store_audio(clip, writer, ctx)
            frames = _every_nth(clip, rate, writer, ctx)
            for _ in ctx.job.watch(in_parallel(_store_frame(writer, sheet), frames, ahead=_ahead(clip)), count):
                measured.frames += 1
        with measured.stage("publish"):
            writer.put_sheet(sheet.jpeg())
            ctx.job.check()
            writer.finish(_record(source.name, clip, rate, count, audio, ctx))
    return ExtractResponse(
        message=f"Successfully extracted {count} frame{'' if count == 1 else 's'}",
        folder_name=folder,
        frame_count=count,
        frames_path=f"{PUBLIC_ROOT}{folder_key(folder)}",
        contact_sheet_path=f"{PUBLIC_ROOT}{sheet_key(folder)}",
        contact_sheet_url=storage.url(sheet_key(folder)),
        warnings=ctx.job.warnings or None,
    )


class _EncodedFrame:
    """One frame; it is encoded once even if it is repeated.

    Threads that need the same frame wait for each other, and for no other frame: before Python 3.12, a
    ``cached_property`` has one lock for all objects.
    """

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self._png: bytes | None = None
        self._lock = threading.Lock()

    def png(self) -> bytes:
        """The frame as a PNG file."""
        with self._lock:
            if self._png is None:
                self._png = png(self.frame)
            return self._png


def _every_nth(clip: Clip, rate: int, writer: FolderWriter, ctx: Context) -> Iterator[tuple[int, _EncodedFrame]]:
    """Every ``rate``-th frame with its index among them."""
    previous: _EncodedFrame | None = None
    with closing(clip.frames()) as frames:
        for index, frame in enumerate(frames):
            ctx.job.check()
            writer.keep_alive()
            if index % rate == 0:
                if previous is None or previous.frame is not frame:
                    previous = _EncodedFrame(frame)
                yield index // rate, previous


def _store_frame(writer: FolderWriter, sheet: ContactSheet) -> Callable[[tuple[int, _EncodedFrame]], None]:
    """Return the work on one frame: encode and store it, and add it to the contact sheet."""

    def put(numbered: tuple[int, _EncodedFrame]) -> None:
        position, frame = numbered
        sheet.offer(position, frame.frame)
        writer.put_frame(position, frame.png())

    return put


def _ahead(clip: Clip) -> int:
    """Maximum number of frames in memory."""
    pixel_bytes = _PIXEL_BYTES + _ALPHA_PIXEL_BYTES * clip.has_alpha
    return max(2, min(2 * WORKERS, _MEMORY_BYTES // (clip.width * clip.height * pixel_bytes)))


def _store_audio(clip: Clip, writer: FolderWriter, ctx: Context) -> AudioSource | None:
    """Store the audio of the video, unchanged, for a later reassembly."""
    if clip.audio is None or not any(audio_sources(clip.audio)):
        return None
    path = ctx.workspace.path("audio.mka")
    kept = extract_audio(clip.audio, path, ctx.job.warn)
    if kept is not None:
        writer.put_audio(path)
        path.unlink()
    return kept


def _packed(clip: Clip, ctx: Context) -> str:
    text = packed(clip.metadata)
    if len(text) > _MAX_PACKED:
        ctx.job.warn("The video's comment is too long to be kept with the frames.")
        return packed(tuple((name, value) for name, value in clip.metadata if len(value) <= _MAX_SHORT))
    return text


def _record(name: str, clip: Clip, rate: int, count: int, audio: AudioSource | None, ctx: Context) -> FolderRecord:
    colors = SDR if is_hdr(clip.colors) else clip.colors  # HDR is tone-mapped
    return FolderRecord(
        source_name=name,
        fps=str(clip.fps),
        extraction_rate=rate,
        frame_count=count,
        width=clip.width,
        height=clip.height,
        pixel_aspect=str(clip.pixel_aspect),
        colors=[int(colors.matrix), colors.primaries, colors.transfer],
        audio_delay=None if audio is None else str(audio.delay),
        metadata=_packed(clip, ctx),
    )
