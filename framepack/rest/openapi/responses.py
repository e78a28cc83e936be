"""Errors and response headers of the OpenAPI document, derived from what a route does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from framepack.api.failures import Problem
from framepack.errors import (
    BadRequest,
    Busy,
    Conflict,
    DiskFull,
    FramepackError,
    MethodNotAllowed,
    NotFound,
    RangeNotSatisfiable,
    StorageFailed,
    StorageUnavailable,
    TooLarge,
    Unauthorized,
    Unavailable,
    published,
)
from framepack.rest.errors import RETRY_AFTER_SECONDS
from framepack.rest.idempotency import JOB_ID

Json = dict[str, Any]

_OF_HTTP: Final = frozenset({Unauthorized, MethodNotAllowed, RangeNotSatisfiable})
"""Errors that no job has."""

HEADERS: Final = {
    JOB_ID: "Id of the job; also there if a request without a job has an `Idempotency-Key`",
    "Location": "Path of the job, or URL of a file in a bucket",
    "Preference-Applied": "The preference that was followed: `respond-async`",
    "Retry-After": "Seconds after which the same request may succeed",
}
"""Headers of responses and what they mean."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a route does, as far as it decides which errors it may respond with.

    Attributes:
        needs_key: It needs an API key, or a signed link.
        takes_fields: It checks fields, or parameters of its query.
        has_body: It receives a body.
        has_object: Its path names an object, such as a job or a preset.
        may_conflict: It changes what may be in use.
        has_queue: It accepts work, up to a limit.
        asks_store: It reads or changes the store.
        asks_worker: The worker answers.
        waits_for_job: It responds with the error of a job.
    """

    needs_key: bool = True
    takes_fields: bool = True
    has_body: bool = False
    has_object: bool = False
    may_conflict: bool = False
    has_queue: bool = False
    asks_store: bool = True
    asks_worker: bool = False
    waits_for_job: bool = False

    def errors(self) -> Iterator[type[FramepackError]]:
        """The errors that such a route expects."""
        for name, errors in _ERRORS.items():
            if getattr(self, name):
                yield from errors


_ERRORS: Final[dict[str, tuple[type[FramepackError], ...]]] = {
    "needs_key": (Unauthorized,),
    "takes_fields": (BadRequest,),
    "has_body": (TooLarge, Unavailable, DiskFull),
    "has_object": (NotFound,),
    "may_conflict": (Conflict,),
    "has_queue": (Busy, Unavailable),
    "asks_store": (StorageFailed, StorageUnavailable),
    "asks_worker": (Unavailable,),
    "waits_for_job": tuple(error for error in published() if error not in _OF_HTTP),
}
"""The errors that each trait adds."""


def error_responses(traits: Traits) -> Json:
    """The responses of a route for its errors, and for those that nobody expects."""
    statuses = sorted({error.status for error in traits.errors()})
    return {str(status): {"$ref": _reference(status)} for status in statuses} | {
        "default": {"$ref": "#/components/responses/Error"}
    }


def error_components() -> Json:
    """The responses that `error_responses` refers to."""
    by_status: dict[int, list[type[FramepackError]]] = {}
    for error in published():
        by_status.setdefault(error.status, []).append(error)
    return {"Error": problem("An error that is not expected")} | {
        _name(status): problem(_meanings(by_status[status]), _headers_of(status)) for status in sorted(by_status)
    }


def header_components() -> Json:
    """The headers that `with_headers` refers to."""
    return {name: {"description": meaning, "schema": {"type": "string"}} for name, meaning in HEADERS.items()}


def problem(description: str, headers: Iterable[str] = ()) -> Json:
    """A response with the body of an error."""
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return with_headers({"description": description, "content": {"application/json": {"schema": schema}}}, headers)


def with_headers(response: Json, headers: Iterable[str]) -> Json:
    """A response with headers of `HEADERS`."""
    named = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return {**response, "headers": {**response.get("headers", {}), **named}} if named else response


def _headers_of(status: int) -> tuple[str, ...]:
    return ("Retry-After",) if status in RETRY_AFTER_SECONDS else ()


def _meanings(errors: Iterable[type[FramepackError]]) -> str:
    return "\n".join(f"* `{error.code}`: {(error.__doc__ or '').splitlines()[0]}" for error in errors)


def _name(status: int) -> str:
    return f"Error{status}"


def _reference(status: int) -> str:
    return f"#/components/responses/{_name(status)}"
