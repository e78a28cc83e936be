"""Logs and counts every HTTP response."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response

from framepack.rest.auth import OPEN_PATHS
from framepack.rest.errors import FAILURE

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("framepack.rest")

_LONGEST_PATH: Final = 200
_SERVER_ERROR: Final = 500

CountResponse = Callable[[str, int], None]
"""Counts a response: (method, status)."""

HandleError = Callable[[Request, Exception], Awaitable[Response]]
"""Makes the response to a request that failed unexpectedly."""


class AccessLog:
    """The outermost ASGI middleware: logs responses, without queries and bodies because these may contain secrets.

    It also handles errors that nothing else handles, so that the log and the metrics show the client's response.

    Args:
        app: The application.
        count_response: Counts a response.
        handle_error: Makes the response to an unexpected error.
    """

    def __init__(self, app: ASGIApp, count_response: CountResponse, handle_error: HandleError) -> None:
        self._app = app
        self._count_response = count_response
        self._handle_error = handle_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, then log and count the response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, has_started, job_id = time.monotonic(), _SERVER_ERROR, False, None
        failure: dict[str, Any] = {}  # filled by an error response, see `ErrorResponse`

        async def send_noted(message: Message) -> None:
            nonlocal status, has_started, job_id
            if message["type"] == "http.response.start":
                status, has_started = message["status"], True
                job_id = dict(message.get("headers", ())).get(b"x-job-id", b"").decode() or None
            await send(message)

        try:
            await self._app({**scope, FAILURE: failure}, receive, send_noted)
        except Exception as error:
            if has_started:
                raise
            response = await self._handle_error(Request(scope), error)
            await response({**scope, FAILURE: failure}, receive, send_noted)
        finally:
            self._count_response(scope["method"], status)
            path = scope["path"][:_LONGEST_PATH]
            log.log(
                _level(scope["path"], status, job_id),
                "%s %s %s",
                scope["method"],
                path,
                status,
                extra={
                    "method": scope["method"],
                    "path": path,
                    "status": status,
                    "job_id": job_id,
                    "milliseconds": round(1000 * (time.monotonic() - started), 1),
                    **failure,
                },
            )


def _level(path: str, status: int, job_id: str | None) -> int:
    if path in OPEN_PATHS:  # platforms request them every few seconds
        return logging.DEBUG
    is_our_fault = status >= _SERVER_ERROR and job_id is None  # failed jobs have a log line of their own
    return logging.WARNING if is_our_fault else logging.INFO
