"""Errors in answers: the fields of an error, and the codes there are."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import BaseModel, Field

from framepack.api.schemas import DocumentedAs
from framepack.errors import published

ErrorCode: Final = StrEnum(  # type: ignore[misc]
    "ErrorCode", {error.code.upper(): error.code for error in published()}, module=__name__
)
ErrorCode.__doc__ = "\n".join(
    [
        "The codes of errors. Versions to come may add others.",
        "",
        *(f"* `{error.code}`: {(error.__doc__ or '').splitlines()[0]}" for error in published()),
    ]
)

Code = Annotated[str, DocumentedAs(ErrorCode | str)]
"""The stable code of an error. Documents list the known ones."""


class Failure(BaseModel):
    """The error of a job, in place of its answer."""

    error: str = Field(description="One sentence: what was wrong and what is allowed")
    code: Code = Field(description="Stable code of the error")
    status: int = Field(description="HTTP status of a request that waits for the job")


class Problem(BaseModel):
    """An error, as the REST server responds with it."""

    detail: str = Field(description="One sentence: what was wrong and what is allowed")
    code: Code = Field(description="Stable code of the error")
