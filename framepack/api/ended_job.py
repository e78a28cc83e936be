"""The body of a callback: how a job has ended."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from framepack.api.failures import Code


class EndedJob(BaseModel):
    """What the bodies of all callbacks have."""

    type: Literal["postprocess"] = Field(description="The kind of callback: there is one")
    operation: str = Field(description="Name of the operation, such as `upscale`")
    job_id: str = Field(description="Id of the job; RunPod's id if it ran there")
    success: bool = Field(description="Whether the job has succeeded")
    timestamp: str = Field(description="When the job ended: ISO 8601, UTC without a time zone")

    def body(self) -> dict[str, Any]:
        """The fields that were given."""
        return self.model_dump(exclude_unset=True)


class SucceededJob(EndedJob):
    """The callback of a job that has succeeded. Only operations that make a file have the fields of one."""

    success: Literal[True] = Field(description="Distinguishes it from a failure")
    output_path: str | None = Field(None, description="Path of the output in the store")
    output_filename: str | None = Field(None, description="Output filename")
    output_url: str | None = Field(None, description="URL to download the output file")
    output_file_size: int | None = Field(None, description="Output file size in bytes")
    output_base64: str | None = Field(None, repr=False, description="The output, if it is small")
    metadata: dict[str, Any] = Field(
        description="Parameters of the request, without its source, and results that have no other field"
    )


class FailedJob(EndedJob):
    """The callback of a job that has failed or was cancelled."""

    success: Literal[False] = Field(description="Distinguishes it from a success")
    error: str = Field(description="One sentence: what was wrong")
    code: Code | None = Field(None, description="Stable code of the error; missing if only videos of a batch failed")
    metadata: dict[str, Any] | None = Field(
        description="Parameters and results, as of a job that has succeeded, if only videos of a batch failed"
    )
