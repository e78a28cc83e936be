"""Keeps answers within what the platform can carry: a result over the limit would be lost without a word."""

from __future__ import annotations

import json
from typing import Any

from framepack.dispatch import Answer, failure
from framepack.errors import TooLarge

_LIMIT_BYTES = 10_000_000  # results of /run
_SYNC_LIMIT_BYTES = 20_000_000  # results of /runsync, whose job ids start with "sync-"
_ENVELOPE_BYTES = 1_000  # what the SDK puts around the answer, generously


def limit_bytes(job_id: str) -> int:
    """Largest serialised answer of this job in bytes."""
    limit = _SYNC_LIMIT_BYTES if job_id.startswith("sync-") else _LIMIT_BYTES
    return limit - _ENVELOPE_BYTES


def fitted(answer: Answer, limit: int) -> Answer:
    """``answer`` if its JSON has at most ``limit`` bytes, else without inline files, else a sentence instead.

    The files themselves are in the store, so nothing is lost with their inline copies.
    """
    if _size_bytes(answer) <= limit:
        return answer
    lighter: Answer = without_inline(answer)
    if _size_bytes(lighter) <= limit:
        return lighter
    return failure(
        TooLarge(f"The answer is over the platform's limit of {limit / 1e6:.0f} MB; ask for less at a time.")
    )


def _size_bytes(answer: Answer) -> int:
    return len(json.dumps(answer, ensure_ascii=False).encode())


def without_inline(value: Any) -> Any:
    """``value`` without the inline files that answers carry, at any depth."""
    if isinstance(value, dict):
        return {key: without_inline(each) for key, each in value.items() if not key.endswith("_base64")}
    if isinstance(value, list):
        return [without_inline(each) for each in value]
    return value
