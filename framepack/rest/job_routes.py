"""``/jobs``: every job can be listed, looked at, followed and cancelled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field

from framepack.jobs.records import JobRecord, State

if TYPE_CHECKING:
    from framepack.jobs.queue import Jobs

_MOST_LISTED: Final = 1000
_USUALLY_LISTED: Final = 100


class JobSummary(BaseModel):
    """A job at a glance."""

    job_id: str
    operation: str = Field(description="Name of the operation, such as `upscale`")
    state: State
    created: datetime = Field(description="When it was accepted")
    started: datetime | None = Field(None, description="When a worker last began it")
    ended: datetime | None = Field(None, description="When it ended")
    progress: dict[str, Any] | None = Field(
        None, description="As far as known: `frames_done`, `frames_total`, `percent`, `seconds_left`"
    )


class JobView(JobSummary):
    """What is known of a job."""

    result: dict[str, Any] | None = Field(
        None, description="Of an ended job: its answer, or `error`, `code` and `status`; never with inline files"
    )


class JobList(BaseModel):
    """The jobs that are remembered, the newest first."""

    success: bool = True
    jobs: list[JobSummary]
    total_count: int = Field(description="How many jobs are remembered in all")


def job_routes(jobs: Jobs) -> APIRouter:
    """The routes about jobs."""
    router = APIRouter(prefix="/jobs", tags=["jobs"])

    async def viewed(record: JobRecord) -> JobView:
        result = await jobs.result(record) if record.state.is_final else None
        return JobView(**_shown(record), result=result)

    async def is_known(job_id: str) -> None:
        await jobs.read(job_id)

    @router.get("", response_model_exclude_none=True)
    async def list_jobs(limit: Annotated[int, Query(ge=1, le=_MOST_LISTED)] = _USUALLY_LISTED) -> JobList:
        """List the jobs that are waiting, running or ended not long ago."""
        records, count = await jobs.newest(limit)
        return JobList(jobs=[JobSummary(**_shown(record)) for record in records], total_count=count)

    @router.get("/{job_id}", response_model_exclude_none=True)
    async def get_job(job_id: str) -> JobView:
        """Look at one job: state, progress, time left, result."""
        return await viewed(await jobs.read(job_id))

    @router.get("/{job_id}/events", response_class=EventSourceResponse, dependencies=[Depends(is_known)])
    async def follow_job(job_id: str) -> AsyncIterator[ServerSentEvent]:
        """Follow a job as server-sent events: `progress` while it runs, and at last `end` with its result."""
        async for record in jobs.follow(job_id):
            view = (await viewed(record)).model_dump(mode="json", exclude_none=True)
            yield ServerSentEvent(event="end" if record.state.is_final else "progress", data=view)

    @router.delete("/{job_id}", response_model_exclude_none=True)
    async def cancel_job(job_id: str) -> JobView:
        """Cancel a job; one that is running stops within a frame."""
        return await viewed(await jobs.cancel(job_id))

    return router


def _shown(record: JobRecord) -> dict[str, Any]:
    shown = record.model_dump(include={"operation", "state", "created", "started", "ended", "progress"})
    return {"job_id": record.id, **shown}
