"""Everything that the client raises.

    ClientError
    ├─ ServerUnreachable   the server did not answer, for longer than the client's patience
    ├─ UnexpectedAnswer    the answer is not one of this version's API
    ├─ ApiError            the server refused, with one sentence, a stable code and a status
    │  └─ JobFailed        a job ended without a result
    │     └─ JobCancelled  it was cancelled, or reached its time limit
    └─ InvalidWebhook      a message is not signed with the secret, or is too old

The codes are those of ``docs/errors.md``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

UNKNOWN: Final = "unknown"
"""Code of an error that is not the server's own, but for example that of a proxy."""

_FIELD: Final = re.compile(r"(?:Unknown field ')?([a-z]\w*(?:\[\d+\]|\.\w+)*)(?=[ ':])")
_INVALID_FIELD: Final = "invalid_field"
_CANCELLED: Final = "cancelled"


class ClientError(Exception):
    """Base of everything that the client raises; its text is one sentence."""


class ServerUnreachable(ClientError):
    """The server cannot be reached, or cut the connection each time."""


class UnexpectedAnswer(ClientError):
    """What answered is not a server of this API, or one of another version."""


class InvalidWebhook(ClientError):
    """A message is not signed with this secret, or is too old."""


class ApiError(ClientError):
    """The server refused a request.

    Attributes:
        code: A stable name, such as ``invalid_field``; ``unknown`` if the error is not the server's own.
        status: Status of HTTP.
        field: The field that is wrong, such as ``brightness`` or ``operations[0].params.brightness``; None if the
            error is not about a field.
        is_after_loss: Whether an earlier attempt may have been carried out, because its answer was lost.
    """

    is_after_loss = False

    def __init__(self, message: str, code: str, status: int, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.field = field or _field_in(message, code)

    def __reduce__(self) -> tuple[Any, ...]:
        """Be the same in another process."""
        return type(self), (str(self), self.code, self.status, self.field)


class JobFailed(ApiError):
    """A job ended without a result.

    Attributes:
        job_id: The job's id.
    """

    def __init__(self, message: str, code: str, status: int, job_id: str) -> None:
        super().__init__(message, code, status)
        self.job_id = job_id

    def __reduce__(self) -> tuple[Any, ...]:
        """Be the same in another process."""
        return type(self), (str(self), self.code, self.status, self.job_id)


class JobCancelled(JobFailed):
    """A job was cancelled, or reached its time limit."""


def failure_of(job_id: str, result: Mapping[str, Any]) -> JobFailed:
    """The exception for the error envelope of a job."""
    code = str(result.get("code", UNKNOWN))
    kind = JobCancelled if code == _CANCELLED else JobFailed
    status = result.get("status")
    return kind(str(result.get("error", "The job failed.")), code, status if isinstance(status, int) else 500, job_id)


def _field_in(message: str, code: str) -> str | None:
    """The field that a sentence about an invalid field begins with."""
    found = _FIELD.match(message) if code == _INVALID_FIELD else None
    return found[1] if found else None
