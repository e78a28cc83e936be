"""Keeps answers within what the platform can carry: a result over the limit would be lost without a word.

Also says of an output that comes neither inline nor with an address how the deployment can be set to give one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from framepack.answer import Answer, failure, is_inline, without_inline
from framepack.errors import TooLarge

if TYPE_CHECKING:
    from framepack.settings import Settings

_LIMIT_BYTES: Final = 10_000_000  # results of /run
_SYNC_LIMIT_BYTES: Final = 20_000_000  # results of /runsync, whose job ids start with "sync-"
_ENVELOPE_BYTES: Final = 1_000  # what the SDK puts around the answer, generously
_REST_BYTES: Final = 100_000  # what an answer holds beside its file, generously
# The largest file that each carries: base64 makes 4 bytes of 3.
_CARRIED_MB: Final = tuple((limit - _REST_BYTES) * 0.75 / 1e6 for limit in (_LIMIT_BYTES, _SYNC_LIMIT_BYTES))
_PATHS: Final = ("output_path", "saved_path")
_ADDRESSES: Final = ("output_url", "url")
_REMEDY: Final = (
    "Set FRAMEPACK_STORAGE=s3://BUCKET/PREFIX for outputs of any size (or FRAMEPACK_PUBLIC_URL, if a REST server "
    f"shares the folder); FRAMEPACK_INLINE_LIMIT_MB may be raised up to {_CARRIED_MB[0]:.1f}."
)
_OUT_OF_REACH: Final = (
    "This file cannot be downloaded: it does not come inline, and the worker's store is a folder without an address. "
    f"{_REMEDY}"
)


def limit_bytes(job_id: str) -> int:
    """Largest serialized answer of this job in bytes."""
    limit = _SYNC_LIMIT_BYTES if job_id.startswith("sync-") else _LIMIT_BYTES
    return limit - _ENVELOPE_BYTES


def within_limit(answer: Answer, limit: int) -> Answer:
    """``answer`` if its JSON has at most ``limit`` bytes, else without inline files, else a sentence instead.

    The files themselves are in the store, so nothing is lost with their inline copies. A file that nobody can
    download from there gets a sentence among its ``warnings``.
    """
    told: Answer = _with_warnings(answer)
    if _size_bytes(told) <= limit:
        return told
    lighter: Answer = _with_warnings(without_inline(answer))
    if _size_bytes(lighter) <= limit:
        return lighter
    return failure(
        TooLarge(f"The answer is over the platform's limit of {limit / 1e6:.0f} MB; ask for less at a time.")
    )


def limit_warnings(settings: Settings) -> Iterator[str]:
    """What an operator should know of the limits that the platform and the settings put on answers."""
    limit_mb = settings.inline_limit_mb
    if limit_mb > _CARRIED_MB[0]:
        yield (
            f"FRAMEPACK_INLINE_LIMIT_MB={limit_mb:g} is more than RunPod carries: answers of /run hold files up to "
            f"{_CARRIED_MB[0]:.1f} MB, those of /runsync {_CARRIED_MB[1]:.1f} MB; larger inline copies are left out."
        )
    if settings.storage.startswith("file:") and settings.public_url is None:
        yield (
            f"Outputs of more than {min(limit_mb, _CARRIED_MB[0]):.3g} MB cannot be downloaded: they do not come "
            f"inline, and the store is a folder without an address. {_REMEDY}"
        )


def _with_warnings(value: Any) -> Any:
    """``value`` with a warning beside every file that comes neither inline nor with an address, at any depth."""
    if isinstance(value, list):
        return [_with_warnings(each) for each in value]
    if not isinstance(value, dict):
        return value
    told = {key: _with_warnings(each) for key, each in value.items()}
    is_file = any(told.get(name) for name in _PATHS) or {"path", "mime_type"} <= told.keys()
    if is_file and not any(told.get(name) for name in _ADDRESSES) and not any(map(is_inline, told)):
        told["warnings"] = [*(told.get("warnings") or ()), _OUT_OF_REACH]
    return told


def _size_bytes(answer: Answer) -> int:
    return len(json.dumps(answer, ensure_ascii=False).encode())
