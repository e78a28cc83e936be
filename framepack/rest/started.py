"""What clients get at once that do not wait for the result of their job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from framepack.api.schemas import CallbackRequest
    from framepack.processing.operation import AnyOperation

NOTE: Final = (
    "Results will be sent to your callback URL when processing completes. "
    "This may take several minutes for large videos."
)


Started = Annotated[Literal[True], Field(description="Always true: the job is stored")]


class Processing(BaseModel):
    """The immediate response to a request with a `callback_url`, which gets the result."""

    success: Started = True
    message: str = Field(description="What was started, for people")
    processing: Literal[True] = Field(True, description="Distinguishes this response from a result")  # noqa: FBT003
    callback_url: str = Field(description="Where the result will be sent")
    note: str = Field(NOTE, description="What will be sent there, for people")
    job_id: str = Field(description="Id of the job")

    @classmethod
    def of(cls, operation: AnyOperation, request: CallbackRequest, job_id: str) -> Processing:
        """The documented response, plus the job's id."""
        started = f"{request.described_work(operation.name)} started in background"
        return cls(message=started, callback_url=request.callback_url or "", job_id=job_id)


class Accepted(BaseModel):
    """The response to `Prefer: respond-async`."""

    success: Started = True
    message: str = Field("The job is queued", description="What was done, for people")
    job_id: str = Field(description="Id of the job")
    status_url: str = Field(description="Path of the job")
    events_url: str | None = Field(
        description="Path of its events with a signature: `EventSource` needs no key for it until it expires"
    )
