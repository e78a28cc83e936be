"""How an error is told over HTTP: the documented ``detail``, always one sentence, and a stable ``code``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from framepack.dispatch import Answer, failure, is_failure
from framepack.errors import FramepackError

if TYPE_CHECKING:
    from starlette.responses import Response

RETRY_AFTER_SECONDS = {429: 10, 503: 30}


def error_response(error: FramepackError, headers: Mapping[str, str] | None = None) -> Response:
    """The answer that tells of ``error``."""
    return answer_response(failure(error), headers)


def answer_response(answer: Answer, headers: Mapping[str, str] | None = None) -> Response:
    """A handler's answer as an HTTP answer: 200 and the answer itself, or its error in the documented form."""
    from starlette.responses import JSONResponse

    if not is_failure(answer):
        return JSONResponse(answer, headers=dict(headers or {}))
    status = int(answer["status"])
    body: dict[str, Any] = {"detail": answer["error"], "code": answer["code"]}
    wait = RETRY_AFTER_SECONDS.get(status)
    retry = {} if wait is None else {"Retry-After": str(wait)}
    return JSONResponse(body, status_code=status, headers={**retry, **(headers or {})})
