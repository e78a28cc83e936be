"""``/jobs``: list, show, follow and cancel jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends, Query
from fastapi import Path as PathField
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field

from framepack.api.schemas import DocumentedAs, Success
from framepack.job import WAITING_FOR
from framepack.jobs.records import JobRecord, State
from framepack.rest.callback_routes import CallbackView
from framepack.rest.fields import check_query
from framepack.rest.idempotency import refuse_key
from framepack.rest.links import OPENAPI, events_url, link_parameters

if TYPE_CHECKING:
    from framepack.jobs.queue import JobStatus
    from framepack.rest.server import Server

_MAX_LISTED: Final = 1000
_DEFAULT_LISTED: Final = 100


JobId = Annotated[str, PathField(description="Id of the job")]


class JobProgress(BaseModel):
    """How far a job is. What is not known is missing."""

    frames_done: int | None = Field(None, description="Frames that are finished")
    frames_total: int | None = Field(None, description="Frames in all")
    tokens_done: int | None = Field(None, description="Tokens that a language model has made, in place of frames")
    percent: float | None = Field(None, description="Part of the work that is done, 0 to 100")
    seconds_left: float | None = Field(None, description="Estimated time until the job ends")
    waiting_for: str | None = Field(None, description="`the store` while a result cannot be stored")


class JobSummary(BaseModel):
    """A job, without its result."""

    job_id: str = Field(description="Id of the job")
    operation: str = Field(description="Name of the operation, such as `upscale`")
    state: State = Field(description="State of the job; the last three are final")
    created: datetime = Field(description="When it was submitted")
    started: datetime | None = Field(None, description="When its last attempt started")
    ended: datetime | None = Field(None, description="When it ended")
    progress: Annotated[dict[str, Any] | None, DocumentedAs(JobProgress | None)] = Field(
        None, description="How far it is, as far as known"
    )


class JobView(JobSummary):
    """A job."""

    waiting_for: str | None = Field(
        None, description="What it waits for, other than its turn: a sentence, or `the store` that its result needs"
    )
    result: dict[str, Any] | None = Field(  # documents have the answers of all operations here
        None, description="The answer of an ended job, or its `error`, `code` and `status`; never has inline files"
    )
    events_url: str | None = Field(
        None, description="Path of its events with a signature: `EventSource` needs no key for it until it expires"
    )
    callback: CallbackView | None = Field(None, description="The callback of an ended job, if it has one")


class JobList(BaseModel):
    """The jobs of the deployment, the newest first."""

    success: Success = True
    jobs: list[JobSummary] = Field(description="The newest jobs")
    total_count: int = Field(description="Number of all jobs that are remembered")


_EVENTS: Final = {
    "description": (
        "Server-sent events. The `data` of each is a `JobView` as JSON. Events named `progress` come now and after "
        "every change; the last one is named `end`, and its `state` is `completed`, `failed` or `cancelled`."
    ),
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            "example": (
                'event: progress\ndata: {"job_id": "4f1c", "operation": "upscale", "state": "running", '
                '"created": "2025-11-28T20:15:01Z", "progress": {"frames_done": 12, "percent": 25}}\n\n'
                'event: end\ndata: {"job_id": "4f1c", "operation": "upscale", "state": "failed", '
                '"created": "2025-11-28T20:15:01Z", "result": {"error": "...", "code": "busy", "status": 429}}\n\n'
            ),
        }
    },
}


def job_routes(server: Server) -> APIRouter:
    """The routes about jobs."""
    jobs, callbacks = server.jobs, server.callbacks
    router = APIRouter(prefix="/jobs", tags=["jobs"], dependencies=[Depends(check_query)])

    async def check_job(job_id: JobId) -> None:
        await jobs.read(job_id)  # raises NotFound, which must happen before the response starts

    @router.get("", response_model_exclude_none=True)
    async def list_jobs(
        limit: Annotated[int, Query(ge=1, le=_MAX_LISTED, description="How many at most")] = _DEFAULT_LISTED,
    ) -> JobList:
        """List waiting, running and recently ended jobs."""
        records, count = await jobs.list_newest(limit)
        return JobList(jobs=[JobSummary(**_fields(record)) for record in records], total_count=count)

    @router.get("/{job_id}", response_model_exclude_none=True)
    async def get_job(job_id: JobId) -> JobView:
        """Show a job: state, progress, time left, result."""
        status = await jobs.read(job_id)
        view = _view(status)
        view.events_url = await events_url(server, job_id)
        if status.record.state.is_final and (found := await asyncio.to_thread(callbacks.of, status.record)):
            view.callback = CallbackView.of(found)
        return view

    @router.get(
        "/{job_id}/events",
        response_class=EventSourceResponse,
        dependencies=[Depends(check_job), Depends(link_parameters)],
        openapi_extra={**OPENAPI, "responses": {"200": _EVENTS}},
    )
    async def follow_job(job_id: JobId) -> AsyncIterator[ServerSentEvent]:
        """Follow a job as server-sent events: `progress` events until it ends, then `end` with the result."""
        async for status in jobs.follow(job_id):
            view = _view(status).model_dump(mode="json", exclude_none=True)
            yield ServerSentEvent(event="end" if status.record.state.is_final else "progress", data=view)

    @router.delete("/{job_id}", response_model_exclude_none=True, dependencies=[Depends(refuse_key)])
    async def cancel_job(job_id: JobId) -> JobView:
        """Cancel a job. A running job stops within a frame."""
        return _view(await jobs.cancel(job_id))

    return router


def _view(status: JobStatus) -> JobView:
    waiting_for = status.waiting_for or (status.record.progress or {}).get(WAITING_FOR)
    return JobView(**_fields(status.record), waiting_for=waiting_for, result=status.result)


def _fields(record: JobRecord) -> dict[str, Any]:
    fields = record.model_dump(include={"operation", "state", "created", "started", "ended", "progress"})
    return {"job_id": record.id, **fields}
