"""``Idempotency-Key``: a repeated request gets the answer of the first one, and nothing is done twice."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from starlette.requests import Request

from framepack.errors import BadRequest
from framepack.rest.errors import answer_response

if TYPE_CHECKING:
    from starlette.responses import Response

    from framepack.answer import Answer
    from framepack.rest.server import Server

HEADER: Final = "idempotency-key"
JOB_ID: Final = "X-Job-Id"

_LONGEST_KEY: Final = 255


@dataclass(frozen=True, slots=True)
class Repeatable:
    """A request with an ``Idempotency-Key``.

    Attributes:
        job_id: Id of the job that all equal requests have in common.
        digest: Digest of what is requested. Requests with the same id and another digest are refused.
    """

    job_id: str
    digest: str


async def repeatable(request: Request, name: str, content: Any, server: Server) -> Repeatable | None:
    """The identity of a request with an ``Idempotency-Key``; None if it has no key.

    A key belongs to the API key that it was sent with. The id cannot be computed without the deployment's secret.

    Args:
        request: The request.
        name: Name of the operation. The same key on another operation is another key.
        content: What is requested, as JSON values.
        server: The server.

    Raises:
        BadRequest: the key is invalid.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not 1 <= len(key) <= _LONGEST_KEY or not key.isprintable():
        raise BadRequest(f"Idempotency-Key must have 1 to {_LONGEST_KEY} characters and no control characters.")
    client = hashlib.sha256(request.headers.get("x-api-key", "").encode()).hexdigest()
    secret, digest = await asyncio.to_thread(lambda: (server.secret, _digest(content)))
    scoped = hmac.new(secret, f"{client}\n{name}\n{key}".encode(), hashlib.sha256).hexdigest()
    return Repeatable(scoped[: len(uuid4().hex)], digest)


async def refuse_key(request: Request) -> None:
    """A dependency of routes that do not support ``Idempotency-Key``, so that they do not ignore it silently.

    Raises:
        BadRequest: the request has a key.
    """
    if HEADER in request.headers:
        raise BadRequest("This route does not support Idempotency-Key.")


async def answer_once(
    name: str, repeated: Repeatable | None, work: Callable[[], Awaitable[Answer]], server: Server
) -> Response:
    """The response of work in this process, which a repeated request does not do again.

    Args:
        name: Name of the operation.
        repeated: The identity of the request; None if it has no key.
        work: Returns the answer.
        server: The server.
    """
    if repeated is None:
        return answer_response(await work())
    answer = await server.jobs.run_once(name, repeated.job_id, repeated.digest, work)
    return answer_response(answer, {JOB_ID: repeated.job_id})


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
