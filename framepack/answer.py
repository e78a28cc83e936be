"""What a job gives back: the documented answer, or an error envelope in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from framepack.errors import Cancelled, FramepackError

Answer = dict[str, Any]
"""The fields of an operation's response, or ``{"error": sentence, "code": ..., "status": ...}``."""


def failure(error: FramepackError) -> Answer:
    """The error envelope of ``error``. Characters that UTF-8 cannot encode become question marks."""
    sentence = error.message.encode("utf-8", "replace").decode()
    return {"error": sentence, "code": error.code, "status": error.status}


def is_failure(answer: Answer) -> bool:
    """Whether an answer is an error envelope, as `failure` makes them."""
    return "error" in answer and "status" in answer


def is_cancelled(answer: Answer) -> bool:
    """Whether an answer is the error envelope of a cancelled job."""
    return is_failure(answer) and answer.get("code") == Cancelled.code


def is_inline(name: str) -> bool:
    """Whether a field of an answer holds a file as base64."""
    return name == "base64" or name.endswith("_base64")


def without_inline(value: Any) -> Any:
    """``value`` without its inline files, at any depth."""
    if isinstance(value, dict):
        return {name: without_inline(each) for name, each in value.items() if not is_inline(name)}
    if isinstance(value, list):
        return [without_inline(each) for each in value]
    return value


def output_bytes(value: Any) -> int:
    """Total size of the output files that an answer names, at any depth."""
    if isinstance(value, list):
        return sum(map(output_bytes, value))
    if not isinstance(value, Mapping):
        return 0
    size = value.get("output_file_size")
    return (size if isinstance(size, int) else 0) + sum(map(output_bytes, value.values()))
