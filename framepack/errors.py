"""Every error that is told to somebody, with its HTTP status and its stable code. The only place with status codes.

    FramepackError            500  internal_error      a defect of ours; the text never carries details
    ├─ BadRequest             400  bad_request
    │  ├─ InvalidField        400  invalid_field       missing, mistyped, unknown or out of range
    │  ├─ InvalidSource       400  invalid_source      none or several sources, or broken base64
    │  ├─ SourceNotAllowed    400  source_not_allowed  an address that may not be fetched or called
    │  └─ InvalidMedia        400  invalid_media       not a video, or too damaged to read
    ├─ Unauthorized           401  unauthorized
    ├─ NotFound               404  not_found
    │  └─ UnknownEndpoint     404  unknown_endpoint
    ├─ MethodNotAllowed       405  method_not_allowed
    ├─ Conflict               409  conflict            a model is in use
    ├─ Cancelled              409  cancelled           the job was cancelled or ran out of time
    ├─ TooLarge               413  too_large           over one of the limits in the settings
    ├─ RangeNotSatisfiable    416  range_not_satisfiable
    ├─ Busy                   429  busy
    ├─ SourceFailed           502  source_failed       the source answered badly
    ├─ StorageFailed          502  storage_failed      the store answered badly
    ├─ Unavailable            503  unavailable         something needed is not there
    │  ├─ ModelUnavailable    503  model_unavailable   weights neither present nor fetchable, or not as published
    │  └─ OutOfMemory         503  out_of_memory       not even the smallest piece of work fits
    ├─ SourceTooSlow          504  source_timeout
    ├─ DiskFull               507  disk_full
    └─ InvalidSettings        500  invalid_settings    ends the process at its start; no client meets it

A message is one sentence for the client: what was wrong and what is allowed. Errors of other libraries are
translated where they enter, with ``raise ... from``.
"""

import errno
from collections.abc import Sequence
from typing import ClassVar, Final

_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class FramepackError(Exception):
    """Something unexpected went wrong; only the worker's log has the details.

    The base of all errors that are told to somebody: their text is public.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    @property
    def message(self) -> str:
        """The sentence for the client."""
        return str(self)


class BadRequest(FramepackError):
    """The request cannot be carried out as it stands."""

    status = 400
    code = "bad_request"


class InvalidField(BadRequest):
    """A field is missing, mistyped, unknown or out of range."""

    code = "invalid_field"


class InvalidSource(BadRequest):
    """There is not exactly one source, or its base64 is broken."""

    code = "invalid_source"


class SourceNotAllowed(BadRequest):
    """The address may not be fetched or called; the text is the same for every reason."""

    code = "source_not_allowed"


class InvalidMedia(BadRequest):
    """The file is not a video we can read."""

    code = "invalid_media"


class Unauthorized(FramepackError):
    """The API key is missing or wrong."""

    status = 401
    code = "unauthorized"


class NotFound(FramepackError):
    """The named thing does not exist."""

    status = 404
    code = "not_found"


class UnknownEndpoint(NotFound):
    """No operation has this name or route."""

    code = "unknown_endpoint"


class MethodNotAllowed(FramepackError):
    """The route exists, but not with this method."""

    status = 405
    code = "method_not_allowed"


class Conflict(FramepackError):
    """The thing is in use."""

    status = 409
    code = "conflict"


class Cancelled(FramepackError):
    """The job was cancelled or ran out of time."""

    status = 409
    code = "cancelled"


class TooLarge(FramepackError):
    """The input or what it would become is over a limit of the settings."""

    status = 413
    code = "too_large"


class RangeNotSatisfiable(FramepackError):
    """The part of a file that was asked for lies behind its end."""

    status = 416
    code = "range_not_satisfiable"


class Busy(FramepackError):
    """Too much work is waiting already."""

    status = 429
    code = "busy"


class SourceFailed(FramepackError):
    """The server that holds the source answered badly."""

    status = 502
    code = "source_failed"


class StorageFailed(FramepackError):
    """The object store answered badly."""

    status = 502
    code = "storage_failed"


class Unavailable(FramepackError):
    """Something that is needed is not there at the moment."""

    status = 503
    code = "unavailable"


class ModelUnavailable(Unavailable):
    """A model's weights are neither present nor fetchable, or are not the published ones."""

    code = "model_unavailable"


class OutOfMemory(Unavailable):
    """Not even the smallest piece of work fits into memory."""

    code = "out_of_memory"


class SourceTooSlow(FramepackError):
    """The server that holds the source took longer than the limit."""

    status = 504
    code = "source_timeout"


class DiskFull(FramepackError):
    """The worker's disk has no room for the job."""

    status = 507
    code = "disk_full"


class InvalidSettings(FramepackError):
    """Environment variables are wrong, told to whoever starts the process.

    Attributes:
        problems: One sentence per wrong variable, with its full name and what is allowed.
    """

    code = "invalid_settings"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def is_disk_full(error: BaseException) -> bool:
    """Whether ``error`` says that a disk, a quota or a file has no room left; the system's or FFmpeg's."""
    return getattr(error, "errno", None) in _DISK_FULL


def published() -> list[type[FramepackError]]:
    """Every error of this file, the base first: what a client can meet. Others only specialise these."""

    def family(error: type[FramepackError]) -> list[type[FramepackError]]:
        return [error, *(each for child in error.__subclasses__() for each in family(child))]

    return [
        error for error in family(FramepackError) if error.__module__ == __name__ and error is not InvalidSettings
    ]


def public(error: Exception) -> FramepackError:
    """What a client may know of ``error``: itself if it is one of ours, else one that carries no details."""
    if isinstance(error, FramepackError):
        return error
    if is_disk_full(error):
        return DiskFull("The worker's disk has no room for this job.")
    if isinstance(error, MemoryError):
        return OutOfMemory("The worker's memory is too small for this job.")
    return FramepackError("Something went wrong on our side; the worker's log has the details.")
