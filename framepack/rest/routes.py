"""One route per operation, derived from its declaration. No endpoint is listed here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from framepack.api.schemas import CallbackRequest
from framepack.errors import FramepackError, Unavailable
from framepack.job import Job, JobInput
from framepack.jobs.backends.base import WorkerLost
from framepack.rest.errors import answer_response
from framepack.rest.fields import request_fields
from framepack.rest.idempotency import JOB_ID, answer_once, refuse_key, repeatable
from framepack.rest.links import events_url
from framepack.rest.started import Accepted, Processing

if TYPE_CHECKING:
    from framepack.answer import Answer
    from framepack.api.schemas import Request as OperationRequest
    from framepack.jobs.records import JobRecord
    from framepack.processing.operation import AnyOperation
    from framepack.rest.bodies import Body
    from framepack.rest.server import Server

_CLIENT_LEFT: Final = "The job was cancelled, because its client closed the connection."


def add_operations(app: FastAPI, server: Server) -> None:
    """Add the route of every operation. Paths without parameters come first, so that no route hides another."""
    for operation in sorted(server.runtime.dispatcher.registry, key=lambda each: (len(each.path_fields), each.path)):
        app.add_api_route(
            operation.path,
            _endpoint(operation, server),
            methods=[operation.method],
            name=operation.name,
            operation_id=operation.name,
            summary=operation.summary,
            tags=[operation.family],
            response_class=JSONResponse,
        )


@dataclass(frozen=True, slots=True)
class _Started:
    """A job whose client waits for the result.

    Attributes:
        job_id: Its id.
        ends_with_client: Whether it is cancelled when the client leaves.
    """

    job_id: str
    ends_with_client: bool


def _endpoint(operation: AnyOperation, server: Server) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        async with server.bodies.received(request) as body:
            started = await _start(request, body, operation, server)
        if isinstance(started, Response):
            return started
        # The body is no longer in memory while the request waits.
        if started.ends_with_client:
            answer = await _wait_with_client(request, started.job_id, server)
        else:
            answer = await _wait(started.job_id, server)
        return answer_response(answer, {JOB_ID: started.job_id})

    return endpoint


async def _start(request: Request, body: Body, operation: AnyOperation, server: Server) -> Response | _Started:
    """Start the operation: return the response if it is known already, else the job to wait for.

    Fields are parsed once in this process. For operations that run here, the dispatcher does it; jobs and queries are
    parsed before they are accepted, and once more by the worker, which is another process.
    """
    fields = await request_fields(request, operation, body)
    if not operation.response.is_kept:
        await refuse_key(request)
    is_safe = operation.method == "GET"  # such requests may be repeated anyway
    repeated = None if is_safe else await repeatable(request, operation.name, fields, server)
    if operation.needs == "store":
        return await answer_once(operation.name, repeated, partial(_run_here, operation, fields, server), server)
    parsed = await asyncio.to_thread(_parse, operation, fields, server)
    if operation.needs == "process":
        return await answer_once(operation.name, repeated, partial(_query_worker, operation, fields, server), server)
    job_id, digest = (uuid4().hex, None) if repeated is None else (repeated.job_id, repeated.digest)
    lane = server.lane_of(operation, parsed)
    record = await server.jobs.submit(operation.name, fields, job_id, digest, lane=lane)
    immediate = await _immediate_response(request, operation, parsed, record, server)
    return immediate or _Started(record.id, repeated is None)


def _parse(operation: AnyOperation, fields: dict[str, Any], server: Server) -> OperationRequest:
    """Parse the fields and check the callback URL. Resolves its host name, so it may be slow."""
    parsed: OperationRequest = operation.request.parse(fields)
    server.runtime.dispatcher.callbacks.check(parsed)
    return parsed


async def _run_here(operation: AnyOperation, fields: dict[str, Any], server: Server) -> Answer:
    """Run an operation that needs only the store in a thread of this process, so that no worker is started for it."""
    async with server.threads:
        job_input = JobInput({"endpoint": operation.name, **fields})
        return await asyncio.to_thread(server.runtime.run, job_input, Job(uuid4().hex))


async def _query_worker(operation: AnyOperation, fields: dict[str, Any], server: Server) -> Answer:
    try:
        return await server.backend.query(operation.name, fields)
    except WorkerLost as error:
        raise Unavailable("The worker is restarting; try again in a moment.") from error


async def _wait(job_id: str, server: Server) -> Answer:
    """Wait for a job and return its answer, with inline files.

    Raises:
        Unavailable: the server stops before the job has ended.
    """
    async for status in server.jobs.follow(job_id, inline_files=True):
        if status.result is not None:
            return status.result
    raise Unavailable(f"The server is stopping. Another one resumes the job: see GET /jobs/{job_id} in a moment.")


async def _wait_with_client(request: Request, job_id: str, server: Server) -> Answer:
    """Like `_wait`, but a client that closes the connection ends the job: nobody else can be waiting for it."""
    waiting = asyncio.ensure_future(_wait(job_id, server))
    leaving = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            with contextlib.suppress(FramepackError):  # it has just ended, or the server stops
                await server.jobs.cancel(job_id, _CLIENT_LEFT)
        return await waiting
    finally:
        for task in (waiting, leaving):
            task.cancel()


async def _disconnected(request: Request) -> None:
    """Return when the client has closed the connection. The body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _immediate_response(
    request: Request, operation: AnyOperation, parsed: OperationRequest, record: JobRecord, server: Server
) -> Response | None:
    """The response to a client that does not wait: "processing" or status 202. None if the client waits."""
    headers = {JOB_ID: record.id}
    if isinstance(parsed, CallbackRequest) and parsed.callback_url:
        return JSONResponse(Processing.of(operation, parsed, record.id).model_dump(), headers=headers)
    if operation.response.is_kept and "respond-async" in request.headers.get("prefer", "").lower():
        location = f"/jobs/{record.id}"
        accepted = Accepted(job_id=record.id, status_url=location, events_url=await events_url(server, record.id))
        applied = {"Location": location, "Preference-Applied": "respond-async"}
        return JSONResponse(accepted.model_dump(), 202, headers={**headers, **applied})
    return None
