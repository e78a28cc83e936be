"""The metrics in the answer of a job."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field


class StageSeconds(BaseModel):
    """Where the time of a job went. Stages do not overlap."""

    source: float = Field(description="Fetching or decoding the sources, and probing them")
    model: float = Field(description="Waiting for models, of which the first is loaded beside `source`")
    frames: float = Field(description="Decoding, processing and encoding frames, which overlap")
    publish: float = Field(description="Storing the results")
    total: float = Field(description="From the start of the job to this answer")


class Metrics(BaseModel):
    """How long a job took, and where."""

    seconds: StageSeconds = Field(description="Seconds by stage")
    frames: int = Field(
        description="Frames of all results, including repeated and copied ones, and those that a GIF leaves out"
    )
    frames_per_second: float | None = Field(
        None, description="`frames` by the seconds of the stage `frames`; missing if there are none"
    )
    device: str = Field(description='Where its networks ran, such as "cuda:0 NVIDIA H200"; "cpu" if it used none')
    cold: bool = Field(description="Whether a model was loaded during the job")


OptionalMetrics = Annotated[
    Metrics | None, Field(description="How long the job took, and where; only with `FRAMEPACK_METRICS=true`")
]
"""The field ``metrics`` of an answer, which `framepack.processing.measuring` fills in."""
