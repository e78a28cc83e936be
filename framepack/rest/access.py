"""One log line and one count per HTTP answer, whatever it was that made the answer."""

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
_OUR_FAULT: Final = 500

Answered = Callable[[str, int], None]
"""Counts an answer: (method, status)."""

Tell = Callable[[Request, Exception], Awaitable[Response]]
"""Makes the answer to a request that failed unexpectedly."""


class AccessLog:
    """ASGI middleware around all others: notes every answer without queries and bodies, which may hold secrets.

    Errors that nothing else handles are answered here, so that what is logged and counted is what the client got.

    Args:
        app: Everything else.
        answered: Counts an answer.
        tell: Makes the answer to an unexpected error.
    """

    def __init__(self, app: ASGIApp, answered: Answered, tell: Tell) -> None:
        self._app = app
        self._answered = answered
        self._tell = tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note how it was answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, has_begun, job_id = time.monotonic(), _OUR_FAULT, False, None
        failure: dict[str, Any] = {}  # filled by the answer, if it tells of an error

        async def noting(message: Message) -> None:
            nonlocal status, has_begun, job_id
            if message["type"] == "http.response.start":
                status, has_begun = message["status"], True
                job_id = dict(message.get("headers", ())).get(b"x-job-id", b"").decode() or None
            await send(message)

        try:
            await self._app({**scope, FAILURE: failure}, receive, noting)
        except Exception as error:
            if has_begun:
                raise
            response = await self._tell(Request(scope), error)
            await response({**scope, FAILURE: failure}, receive, noting)
        finally:
            self._answered(scope["method"], status)
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
                    "milliseconds": round(1000 * (time.monotonic() - began), 1),
                    **failure,
                },
            )


def _level(path: str, status: int, job_id: str | None) -> int:
    if path in OPEN_PATHS:  # polled every second or so
        return logging.DEBUG
    return (
        logging.WARNING if status >= _OUR_FAULT and job_id is None else logging.INFO
    )  # jobs have lines of their own
