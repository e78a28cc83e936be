"""One route per operation, derived from its declaration: nothing about any endpoint is written down here."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from framepack.answer import Answer
from framepack.api.schemas import CallbackRequest
from framepack.dispatch import JobInput
from framepack.errors import BadRequest, Unavailable
from framepack.job import Job
from framepack.jobs.backends.base import WorkerLost
from framepack.jobs.records import JobRecord
from framepack.rest.errors import answer_response
from framepack.rest.fields import fields_of

if TYPE_CHECKING:
    from framepack.api.schemas import Request as OperationRequest
    from framepack.registry import AnyOperation
    from framepack.rest.server import Server

NOTE: Final = (
    "Results will be sent to your callback URL when processing completes. "
    "This may take several minutes for large videos."
)

_JOB_ID: Final = "X-Job-Id"
_LONGEST_KEY: Final = 255


def add_operations(app: FastAPI, server: Server) -> None:
    """Add the route of every operation; fixed paths before those with fields, so that none hides another."""
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


def _endpoint(operation: AnyOperation, server: Server) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        async with server.bodies.room(request):
            begun = await _begun(request, operation, server)
        if isinstance(begun, Response):
            return begun
        return answer_response(await server.jobs.answer(begun), {_JOB_ID: begun})  # holds nothing large meanwhile

    return endpoint


async def _begun(request: Request, operation: AnyOperation, server: Server) -> Response | str:
    """Take a request in: the answer if there is one at once, else the id of the job that will have it."""
    fields = await fields_of(request, operation, server.bodies)
    if operation.needs == "store":  # checks the fields by itself
        return answer_response(await _on_the_spot(operation, fields, server))
    parsed = await asyncio.to_thread(_checked, operation, fields, server)
    if operation.needs == "process":
        return answer_response(await _asked(operation, fields, server))
    record = await _submitted(request, operation, fields, server)
    return _at_once(request, operation, parsed, record) or record.id


def _checked(operation: AnyOperation, fields: dict[str, Any], server: Server) -> OperationRequest:
    """The request, if it can be carried out as far as can be told now; looks names up, so it may take a while."""
    parsed: OperationRequest = operation.request.parse(fields)
    server.runtime.dispatcher.callbacks.check(parsed)
    return parsed


async def _on_the_spot(operation: AnyOperation, fields: dict[str, Any], server: Server) -> Answer:
    """Answer from the store, in a thread of this process: no worker is woken."""
    async with server.threads:
        call = JobInput({"endpoint": operation.name, **fields})
        return await asyncio.to_thread(server.runtime.run, call, Job(uuid4().hex))


async def _asked(operation: AnyOperation, fields: dict[str, Any], server: Server) -> Answer:
    try:
        return await server.backend.ask(operation.name, fields)
    except WorkerLost as error:
        raise Unavailable("The worker is restarting; try again in a moment.") from error


async def _submitted(request: Request, operation: AnyOperation, fields: dict[str, Any], server: Server) -> JobRecord:
    """Take the job in, or find the one that this ``Idempotency-Key`` stands for: the key makes the job's id.

    Raises:
        BadRequest: the key cannot be one, or was used for something else.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return await server.jobs.submit(operation.name, fields, uuid4().hex)
    if not 1 <= len(key) <= _LONGEST_KEY or not key.isprintable():
        raise BadRequest(f"Idempotency-Key must have 1 to {_LONGEST_KEY} characters and no control characters.")
    job_id = hashlib.sha256(f"{operation.name}\n{key}".encode()).hexdigest()[: len(uuid4().hex)]
    return await server.jobs.submit(operation.name, fields, job_id, await asyncio.to_thread(_digest, fields))


def _digest(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _at_once(
    request: Request, operation: AnyOperation, parsed: OperationRequest, record: JobRecord
) -> Response | None:
    """What a client is told that does not wait: the documented "processing" or a 202; None if it waits."""
    headers = {_JOB_ID: record.id}
    if isinstance(parsed, CallbackRequest) and parsed.callback_url:
        return JSONResponse(_processing(operation, parsed, record), headers=headers)
    if "respond-async" in request.headers.get("prefer", "").lower():
        location = f"/jobs/{record.id}"
        accepted = {"success": True, "message": "The job is waiting", "job_id": record.id, "status_url": location}
        return JSONResponse(
            accepted, 202, headers={**headers, "Location": location, "Preference-Applied": "respond-async"}
        )
    return None


def _processing(operation: AnyOperation, parsed: CallbackRequest, record: JobRecord) -> dict[str, Any]:
    """The documented answer to a request whose result goes to its callback, and the job's id beside it."""
    return {
        "success": True,
        "message": f"{parsed.described_work(operation.name)} started in background",
        "processing": True,
        "callback_url": parsed.callback_url,
        "note": NOTE,
        "job_id": record.id,
    }
