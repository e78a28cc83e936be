"""All errors that clients see, with HTTP status and stable code. The only file with status codes.

    FramepackError            500  internal_error      a defect; the message has no details
    ├─ BadRequest             400  bad_request
    │  ├─ InvalidField        400  invalid_field       missing, mistyped, unknown or out of range
    │  ├─ InvalidSource       400  invalid_source      no source, several sources, or invalid base64
    │  ├─ SourceNotAllowed    400  source_not_allowed  an address that must not be fetched or called
    │  └─ InvalidMedia        400  invalid_media       not a video, or too damaged to read
    ├─ Unauthorized           401  unauthorized
    ├─ NotFound               404  not_found
    │  └─ UnknownEndpoint     404  unknown_endpoint
    ├─ MethodNotAllowed       405  method_not_allowed
    ├─ Conflict               409  conflict            a model is in use
    ├─ Cancelled              409  cancelled           the job was cancelled or reached its time limit
    ├─ TooLarge               413  too_large           over a limit of the settings
    ├─ RangeNotSatisfiable    416  range_not_satisfiable
    ├─ Busy                   429  busy
    ├─ SourceFailed           502  source_failed       the server of the source failed
    ├─ StorageFailed          502  storage_failed      the store refused, or failed for good
    │  └─ StorageUnavailable  503  storage_unavailable the store does not answer at the moment
    ├─ Unavailable            503  unavailable         something required is missing
    │  ├─ ModelUnavailable    503  model_unavailable   weights are missing, or not as published
    │  ├─ OutOfMemory         503  out_of_memory       even the smallest unit of work does not fit
    │  └─ DeviceLost          503  device_lost         the GPU failed; the worker ends
    ├─ SourceTooSlow          504  source_timeout
    ├─ DiskFull               507  disk_full
    └─ InvalidSettings        500  invalid_settings    ends the process at start; clients never see it

A message is one sentence for the client: what was wrong and what is allowed. Errors of libraries are translated
where the library is called, with ``raise ... from``.
"""

import errno
from collections.abc import Sequence
from typing import ClassVar, Final

_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class FramepackError(Exception):
    """Something unexpected went wrong; only the worker's log has the details.

    The base of all errors that clients see; their messages are public.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    @property
    def message(self) -> str:
        """The message for the client, one sentence."""
        return str(self)


class BadRequest(FramepackError):
    """The request is invalid."""

    status = 400
    code = "bad_request"


class InvalidField(BadRequest):
    """A field is missing, mistyped, unknown or out of range."""

    code = "invalid_field"


class InvalidSource(BadRequest):
    """There is not exactly one source, or its base64 is invalid."""

    code = "invalid_source"


class SourceNotAllowed(BadRequest):
    """The address must not be fetched or called; the message depends on its text alone, never on what it leads to."""

    code = "source_not_allowed"


class InvalidMedia(BadRequest):
    """The file is not a readable video."""

    code = "invalid_media"


class Unauthorized(FramepackError):
    """The API key is missing or wrong."""

    status = 401
    code = "unauthorized"


class NotFound(FramepackError):
    """The requested object does not exist."""

    status = 404
    code = "not_found"


class UnknownEndpoint(NotFound):
    """No operation has this name or route."""

    code = "unknown_endpoint"


class MethodNotAllowed(FramepackError):
    """The route does not support this method."""

    status = 405
    code = "method_not_allowed"


class Conflict(FramepackError):
    """The object is in use."""

    status = 409
    code = "conflict"


class Cancelled(FramepackError):
    """The job was cancelled or reached its time limit."""

    status = 409
    code = "cancelled"


class TooLarge(FramepackError):
    """The input or the output is over a limit of the settings."""

    status = 413
    code = "too_large"


class RangeNotSatisfiable(FramepackError):
    """The requested range is beyond the end of the file."""

    status = 416
    code = "range_not_satisfiable"


class Busy(FramepackError):
    """The queue is full, or an API key has used up its share."""

    status = 429
    code = "busy"


class SourceFailed(FramepackError):
    """The server of the source failed."""

    status = 502
    code = "source_failed"


class StorageFailed(FramepackError):
    """The store refused, or failed for good."""

    status = 502
    code = "storage_failed"


class StorageUnavailable(StorageFailed):
    """The store does not answer at the moment; what is stored is still there. Try again later."""

    status = 503
    code = "storage_unavailable"


class Unavailable(FramepackError):
    """Something that is required is missing at the moment."""

    status = 503
    code = "unavailable"


class ModelUnavailable(Unavailable):
    """The weights of a model are missing and cannot be downloaded, or they are not the published ones."""

    code = "model_unavailable"


class OutOfMemory(Unavailable):
    """Even the smallest unit of work does not fit into memory."""

    code = "out_of_memory"


class DeviceLost(Unavailable):
    """The worker's GPU failed, and the worker is being replaced. Send the job again."""

    code = "device_lost"

    def __init__(
        self, message: str = "The worker's GPU failed, and the worker is being replaced: send the job again."
    ) -> None:
        super().__init__(message)


class SourceTooSlow(FramepackError):
    """The server of the source did not finish within the time limit."""

    status = 504
    code = "source_timeout"


class DiskFull(FramepackError):
    """The worker's disk is full."""

    status = 507
    code = "disk_full"


class InvalidSettings(FramepackError):
    """Environment variables are invalid; the process prints the message and ends.

    Attributes:
        problems: One sentence per invalid variable, with its full name and what is allowed.
    """

    code = "invalid_settings"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def is_disk_full(error: BaseException) -> bool:
    """Whether ``error``, of the system or of FFmpeg, means that a disk, a quota or a file is full."""
    return getattr(error, "errno", None) in _DISK_FULL


def published() -> list[type[FramepackError]]:
    """All errors of this file that clients can see, the base class first."""

    def family(error: type[FramepackError]) -> list[type[FramepackError]]:
        return [error, *(each for child in error.__subclasses__() for each in family(child))]

    return [
        error for error in family(FramepackError) if error.__module__ == __name__ and error is not InvalidSettings
    ]


def public(error: Exception) -> FramepackError:
    """The error that the client sees: ``error`` itself if its message is public, else one without details."""
    if isinstance(error, FramepackError):
        return error
    if is_disk_full(error):
        return DiskFull("The worker's disk is full.")
    if isinstance(error, MemoryError):
        return OutOfMemory("The worker's memory is too small for this job.")
    return FramepackError("Something went wrong on our side; the worker's log has the details.")
