"""How an error is told over HTTP: the documented ``detail``, always one sentence, and a stable ``code``."""

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
"""Key of a request's scope: a dictionary that an error's answer fills with ``code`` and ``error``, for the log."""


class _ErrorResponse(JSONResponse):
    """An error's answer, which also tells the log what it says."""

    def __init__(self, answer: Answer, headers: Mapping[str, str]) -> None:
        self._failure = {name: answer[name] for name in ("code", "error")}
        body: dict[str, Any] = {"detail": answer["error"], "code": answer["code"]}
        super().__init__(body, int(answer["status"]), headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        scope.get(FAILURE, {}).update(self._failure)
        await super().__call__(scope, receive, send)


def error_response(error: FramepackError, headers: Mapping[str, str] | None = None) -> Response:
    """The answer that tells of ``error``."""
    return answer_response(failure(error), headers)


def answer_response(answer: Answer, headers: Mapping[str, str] | None = None) -> Response:
    """A handler's answer as an HTTP answer: 200 and the answer itself, or its error in the documented form."""
    if not is_failure(answer):
        return JSONResponse(answer, headers=dict(headers or {}))
    wait = RETRY_AFTER_SECONDS.get(int(answer["status"]))
    retry = {} if wait is None else {"Retry-After": str(wait)}
    return _ErrorResponse(answer, {**retry, **(headers or {})})
