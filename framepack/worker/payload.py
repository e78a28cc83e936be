"""Keeps answers within RunPod's size limits, because it silently drops larger ones.

Also adds a warning to outputs that clients cannot download, with the settings that change it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from framepack.answer import Answer, failure, is_inline, without_inline
from framepack.errors import TooLarge
from framepack.storage.open import has_own_links
from framepack.units import MB

if TYPE_CHECKING:
    from framepack.settings import Settings

_LIMIT_BYTES: Final = 10_000_000  # results of /run
_SYNC_LIMIT_BYTES: Final = 20_000_000  # results of /runsync, whose job ids start with "sync-"
_ENVELOPE_BYTES: Final = 1_000  # upper limit of what the SDK adds to an answer
_REST_BYTES: Final = 100_000  # upper limit of an answer without its file
# The largest file in each: base64 encodes 3 bytes as 4.
_LARGEST_FILE_MB: Final = tuple((limit - _REST_BYTES) * 0.75 / MB for limit in (_LIMIT_BYTES, _SYNC_LIMIT_BYTES))
_PATHS: Final = ("output_path", "saved_path")
_ADDRESSES: Final = ("output_url", "url")
_REMEDY: Final = (
    "Set FRAMEPACK_STORAGE=s3://BUCKET/PREFIX for outputs of any size (or FRAMEPACK_PUBLIC_URL, if a REST server "
    f"shares the folder); FRAMEPACK_INLINE_LIMIT_MB may be raised up to {_LARGEST_FILE_MB[0]:.1f}."
)
_NO_DOWNLOAD: Final = (
    "This file cannot be downloaded: it is not inline, and the worker's store is a folder without a public URL, or a "
    "bucket that cannot presign links. "
    f"{_REMEDY}"
)


def limit_bytes(job_id: str) -> int:
    """Maximum size of the job's answer as JSON, in bytes."""
    limit = _SYNC_LIMIT_BYTES if job_id.startswith("sync-") else _LIMIT_BYTES
    return limit - _ENVELOPE_BYTES


def within_limit(answer: Answer, limit: int) -> Answer:
    """The answer if it has at most ``limit`` bytes as JSON; else without inline files; else an error envelope.

    Inline files are copies of files in the store, so nothing is lost. Files that cannot be downloaded from
    there get a warning.
    """
    complete: Answer = _with_warnings(answer)
    if _size_bytes(complete) <= limit:
        return complete
    lighter: Answer = _with_warnings(without_inline(answer))
    if _size_bytes(lighter) <= limit:
        return lighter
    return failure(TooLarge(f"The answer exceeds RunPod's limit of {limit / MB:.0f} MB; request less at a time."))


def limit_warnings(settings: Settings) -> Iterator[str]:
    """Warnings for operators about size limits of answers, from the platform and from settings."""
    limit_mb = settings.inline_limit_mb
    if limit_mb > _LARGEST_FILE_MB[0]:
        yield (
            f"FRAMEPACK_INLINE_LIMIT_MB={limit_mb:g} exceeds RunPod's limits: files in answers of /run may have "
            f"{_LARGEST_FILE_MB[0]:.1f} MB, of /runsync {_LARGEST_FILE_MB[1]:.1f} MB; larger ones are left out."
        )
    if has_own_links(settings) and settings.public_url is None:
        is_folder = settings.storage.startswith("file:")
        kind = "a folder without a public URL" if is_folder else "a bucket without presigned links and a public URL"
        yield (
            f"Outputs of more than {min(limit_mb, _LARGEST_FILE_MB[0]):.3g} MB cannot be downloaded: they are not "
            f"inline, and the store is {kind}. {_REMEDY}"
        )


def _with_warnings(value: Any) -> Any:
    """``value`` with a warning for every file that is neither inline nor has a URL, at any depth."""
    if isinstance(value, list):
        return [_with_warnings(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {key: _with_warnings(each) for key, each in value.items()}
    is_file = any(found.get(name) for name in _PATHS) or {"path", "mime_type"} <= found.keys()
    if is_file and not any(found.get(name) for name in _ADDRESSES) and not any(map(is_inline, found)):
        found["warnings"] = [*(found.get("warnings") or ()), _NO_DOWNLOAD]
    return found


def _size_bytes(answer: Answer) -> int:
    return len(json.dumps(answer, ensure_ascii=False).encode())
