"""Errors as HTTP responses: ``detail``, one sentence, and a stable ``code``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response

from framepack.answer import Answer, failure, is_failure
from framepack.errors import FramepackError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

RETRY_AFTER_SECONDS = {429: 10, 503: 30}

FAILURE: Final = "framepack.failure"
"""Key of the ASGI scope for a dictionary that error responses fill with ``code`` and ``error``, for the log."""


class ErrorResponse(JSONResponse):
    """An error response, which also passes the error to the log."""

    def __init__(self, answer: Answer, headers: Mapping[str, str]) -> None:
        self._failure = {name: answer[name] for name in ("code", "error")}
        body: dict[str, Any] = {"detail": answer["error"], "code": answer["code"]}
        super().__init__(body, int(answer["status"]), headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        scope.get(FAILURE, {}).update(self._failure)
        await super().__call__(scope, receive, send)


def error_response(error: FramepackError, headers: Mapping[str, str] | None = None) -> Response:
    """The response for an error."""
    return answer_response(failure(error), headers)


def answer_response(answer: Answer, headers: Mapping[str, str] | None = None) -> Response:
    """The response for a job's answer: status 200 and the answer, or the documented error response."""
    if not is_failure(answer):
        return JSONResponse(answer, headers=dict(headers or {}))
    wait = RETRY_AFTER_SECONDS.get(int(answer["status"]))
    retry = {} if wait is None else {"Retry-After": str(wait)}
    return ErrorResponse(answer, {**retry, **(headers or {})})
