"""``POST /postprocess/batch``: run the same operations on several videos, independently of each other."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, field_validator

from framepack.api.failures import Code
from framepack.api.metrics import OptionalMetrics
from framepack.api.schemas import CallbackRequest, Message, Response, VideoRequest, one_source
from framepack.api.workflow import StepsRequest
from framepack.errors import Cancelled, InvalidSource, TooLarge, public
from framepack.job import Progress
from framepack.models.memory.device import is_device_lost
from framepack.processing.context import Context
from framepack.processing.operation import operation
from framepack.processing.render import render_chain
from framepack.processing.steps import build_chain
from framepack.storage.claims import Claim
from framepack.units import MB

if TYPE_CHECKING:
    from framepack.processing.steps import Chain

log = logging.getLogger("framepack.batch")

_SHOWN_CHARACTERS = 50


class BatchRequest(StepsRequest, CallbackRequest):
    """Videos, and the operations to run on each of them."""

    videos: Annotated[list[VideoRequest], Field(min_length=1)] = Field(description="Array of video sources")

    @field_validator("videos", mode="before")
    @classmethod
    def _one_source_each(cls, videos: object) -> object:
        for index, video in enumerate(videos if isinstance(videos, list) else ()):
            if isinstance(video, dict):
                try:
                    one_source(**{name: video.get(name) for name in VideoRequest.sources})
                except InvalidSource as error:
                    raise InvalidSource(f"videos[{index}]: {error.message}") from error
        return videos

    def callback_metadata(self) -> dict[str, Any]:
        """The number of videos, and the operations."""
        operations = [step.model_dump(mode="json") for step in self.operations]
        return {"total_videos": len(self.videos), "operations_count": len(operations), "operations": operations}

    def callback_results(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The outcome for each video, without the videos themselves."""
        names = ("index", "success", "output_path", "output_url", "error")
        results = [{name: result[name] for name in names if name in result} for result in answer["results"]]
        return {**{name: answer[name] for name in ("successful", "failed")}, "results_summary": results}


class BatchResult(BaseModel):
    """How one video ended."""

    index: int = Field(description="Place of the video in the request, from 0")
    success: bool = Field(description="Whether it was processed")
    input_source: str = Field(description='"base64", or the first 50 characters of the URL, without its query')
    output_video_base64: str | None = Field(None, repr=False, description="The video, if it is small")
    output_path: str | None = Field(None, description="Path of the output in the store")
    output_url: str | None = Field(None, description="URL to download the output file")
    output_filename: str | None = Field(None, description="Output filename")
    output_file_size: int | None = Field(None, description="Output file size in bytes")
    warnings: list[str] | None = Field(None, description="Non-fatal problems, such as unreadable frames")
    error: str | None = Field(None, description="Why there is no output")
    code: Code | None = Field(None, description="Stable code of the error")


class BatchResponse(Response):
    """How every video ended."""

    success: bool = Field(description="Whether all videos were processed")
    message: Message
    total_videos: int = Field(description="Number of videos in the request")
    successful: int = Field(description="Number of videos that were processed")
    failed: int = Field(description="Number of videos that could not be processed")
    results: list[BatchResult] = Field(description="One result per video, in the order of the request")
    metrics: OptionalMetrics = None

    def payload(self) -> dict[str, Any]:
        """The answer as JSON-ready data; results lack the fields that have no value."""
        return self.model_dump(mode="json", exclude_none=True)


@operation(
    "POST",
    "/postprocess/batch",
    examples={
        "Three videos": {
            "videos": [
                {"video_url": "https://example.com/video1.mp4"},
                {"video_url": "https://example.com/video2.mp4"},
                {"video_base64": "AAAAIGZ0eXBpc29t..."},
            ],
            "operations": [
                {"type": "upscale", "params": {"model": "RealESRGAN_x2plus", "scale_factor": 2.0}},
                {"type": "filters", "params": {"brightness": 5, "contrast": 1.2}},
            ],
        },
    },
)
def batch(request: BatchRequest, ctx: Context) -> BatchResponse:
    """Run the same operations on many videos, each on its own."""
    total = len(request.videos)
    if total > ctx.settings.max_batch_videos:
        raise TooLarge(f"Too many videos: {total} (maximum {ctx.settings.max_batch_videos}).")
    chain = build_chain(request.operations, ctx)
    with Claim(ctx.state) as claim:
        work = _Batch(chain, total, ctx, claim, round(ctx.settings.inline_limit_mb * MB))
        results = [work.result(index, video) for index, video in enumerate(request.videos)]
    successful = sum(result.success for result in results)
    failed = total - successful
    return BatchResponse(
        success=not failed,
        message=f"Batch processing complete: {successful} successful, {failed} failed",
        total_videos=total,
        successful=successful,
        failed=failed,
        results=results,
    )


@dataclass(slots=True)
class _Batch:
    """A running batch.

    Attributes:
        chain: The steps for each video.
        total: Number of videos.
        ctx: Context of the whole job.
        claim: Protects the results from ``clear-temp`` while the batch runs.
        inline_bytes: Remaining size of results that may be inlined in the answer.
        frames_done: Frames of the finished videos.
        started: Start time on the monotonic clock.
    """

    chain: Chain
    total: int
    ctx: Context
    claim: Claim
    inline_bytes: int
    frames_done: int = 0
    started: float = field(default_factory=time.monotonic)

    def result(self, index: int, video: VideoRequest) -> BatchResult:
        """Process one video; an error becomes its result, and its files are removed.

        Raises:
            Cancelled: The job was cancelled.
        """
        self.ctx.job.check()
        done = 0

        def report(progress: Progress) -> None:
            nonlocal done
            done = progress.done
            self._report(done, index + (progress.percent or 0) / 100)

        source = "base64" if video.video_url is None else video.video_url.partition("?")[0][:_SHOWN_CHARACTERS]
        ctx = replace(self.ctx, job=self.ctx.job.sub_job(report))
        try:
            result = self._processed(index, source, video, ctx)
        except Cancelled:
            raise
        except Exception as error:  # an error of one video must not affect the others
            if is_device_lost(error):
                raise
            known = public(error)
            if known is not error:
                log.exception("job %s, video %d failed unexpectedly", ctx.job.id, index)
            result = BatchResult(
                index=index, success=False, input_source=source, error=known.message, code=known.code
            )
        self.ctx.workspace.clear()
        self.frames_done += done
        self._report(0, index + 1)
        return result

    def _processed(self, index: int, source: str, video: VideoRequest, ctx: Context) -> BatchResult:
        published, _ = render_chain(video, self.chain, ctx)
        self.claim.add(published.filename)
        inlined = published.size_bytes <= self.inline_bytes
        self.inline_bytes -= published.size_bytes if inlined else 0
        return BatchResult(
            index=index,
            success=True,
            input_source=source,
            output_video_base64=published.base64 if inlined else None,
            output_path=published.path,
            output_url=published.url,
            output_filename=published.filename,
            output_file_size=published.size_bytes,
            warnings=ctx.job.warnings or None,
        )

    def _report(self, frames: int, videos: float) -> None:
        self.claim.refresh()
        elapsed = time.monotonic() - self.started - self.ctx.job.loading_seconds
        self.ctx.job.report(Progress(self.frames_done + frames, None, elapsed, videos / self.total))
