"""Checks whether the store works, and how to fix it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from framepack.checks.finding import Finding
from framepack.checks.folders import folder_problem, this_user
from framepack.errors import DiskFull, FramepackError
from framepack.storage.keys import Key
from framepack.storage.open import has_own_links
from framepack.storage.trial import try_out

if TYPE_CHECKING:
    from framepack.runtime import Runtime
    from framepack.settings import Settings

_NAME: Final = "store"
_LINKS: Final = "links"
_CONTAINER_MARKS: Final = (Path("/.dockerenv"), Path("/run/.containerenv"))  # made by Docker and by Podman
_LINK_SECONDS: Final = 15.0
_PROBE: Final = b"fit"
# By the code of the S3 server's error, or the name of botocore's exception.
_S3_REMEDIES: Final = {
    "SignatureDoesNotMatch": "Check BUCKET_SECRET_ACCESS_KEY; set FRAMEPACK_S3_REGION if the provider has regions.",
    "AuthorizationHeaderMalformed": "Set FRAMEPACK_S3_REGION to the bucket's region.",
    "InvalidAccessKeyId": "Check BUCKET_ACCESS_KEY_ID.",
    "NoCredentialsError": "Set BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY.",
    "NoSuchBucket": "Create the bucket, or set FRAMEPACK_STORAGE to another one.",
    "AccessDenied": "Let this key put, get, list and delete objects of the bucket.",
    "EndpointConnectionError": "Check BUCKET_ENDPOINT_URL, and that the store is running.",
}
_S3_REMEDY: Final = "Check FRAMEPACK_STORAGE, BUCKET_ENDPOINT_URL and the two keys BUCKET_..."


def check_store(runtime: Runtime) -> Finding:
    """Check whether objects can be written, read and deleted."""
    try:
        try_store(runtime)
    except FramepackError as error:
        return store_error(runtime.settings, error)
    return Finding(_NAME, "ok", f"The store {runtime.settings.storage} can be written, read and deleted from.")


def try_store(runtime: Runtime) -> None:
    """Write a small object, read it back and delete it.

    Raises:
        FramepackError: This failed; see `store_error`.
    """
    try_out(runtime.storage)


def store_error(settings: Settings, error: FramepackError) -> Finding:
    """The finding for an error of the store: which store, which user, and a remedy."""
    store = f"The store {settings.storage} (FRAMEPACK_STORAGE)"
    if not settings.storage.startswith("file:"):
        remedy = next((each for code, each in _S3_REMEDIES.items() if f"({code})" in error.message), _S3_REMEDY)
        return Finding(_NAME, "error", f"{store} cannot be used: {error.message}", remedy)
    if not isinstance(error.__cause__, OSError):
        return Finding(_NAME, "error", f"{store} cannot be used: {error.message}", "Correct FRAMEPACK_STORAGE.")
    problem = folder_problem(_folder(settings), error.__cause__)
    verb = "Free some space, or set" if isinstance(error, DiskFull) else "Set"
    remedy = f"{verb} FRAMEPACK_STORAGE to a folder that {this_user()} may write, or to s3://BUCKET/PREFIX"
    remedy += f"; or run, as root: {problem.command}" if problem.command else "."
    return Finding(_NAME, "error", f"{store} cannot be written: {problem.reason}.", remedy)


def lost_with_container(settings: Settings) -> str | None:
    """The warning for a store whose folder is part of this process's container; None if the store outlives it."""
    if not settings.storage.startswith("file:") or not any(mark.exists() for mark in _CONTAINER_MARKS):
        return None
    folder = _folder(settings).absolute()
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    if existing.stat().st_dev != Path("/").stat().st_dev:
        return None
    return (
        f"The store {settings.storage} is inside this container: outputs, and callbacks that are not delivered yet, "
        "are lost with it. Set FRAMEPACK_STORAGE to a folder of a volume, or to s3://BUCKET/PREFIX."
    )


def _folder(settings: Settings) -> Path:
    return Path(settings.storage.removeprefix("file:"))


def check_links(runtime: Runtime) -> Finding:
    """Check whether clients can download outputs. For a bucket, this tries a presigned link."""
    settings = runtime.settings
    if not has_own_links(settings):
        return _bucket_link(runtime)
    if settings.public_url is None:
        limit = f"FRAMEPACK_INLINE_LIMIT_MB={settings.inline_limit_mb:g}"
        sentence = (
            f"`framepack serve` gives links to outputs; a RunPod worker gives outputs inline only, up to {limit}."
        )
        return Finding(
            _LINKS, "ok", sentence, "For larger outputs on RunPod, set FRAMEPACK_STORAGE=s3://BUCKET/PREFIX."
        )
    return Finding(_LINKS, "ok", f"Links start with {settings.public_url}.")


def _bucket_link(runtime: Runtime) -> Finding:
    """Try a presigned link. Not all S3 stores support them."""
    import requests

    key = Key(f"fitness-{uuid4().hex}")
    try:
        runtime.storage.put_bytes(key, _PROBE)
        try:
            answer = requests.get(str(runtime.storage.url(key)), timeout=_LINK_SECONDS)
            works, reason = answer.content == _PROBE, f"HTTP {answer.status_code}"
        except requests.RequestException as error:
            works, reason = False, type(error).__name__
        runtime.storage.delete(key)
    except FramepackError:
        return Finding(_LINKS, "warning", "Links could not be tested: the store is not writable.")
    if works:
        return Finding(_LINKS, "ok", "A presigned link to an object of the bucket works.")
    sentence = f"Presigned links of this store do not work ({reason}): clients cannot download from output_url."
    return Finding(_LINKS, "warning", sentence, "Use a store that supports them, or check BUCKET_ENDPOINT_URL.")
