"""Checks the signature of webhooks, following the Standard Webhooks specification."""

from __future__ import annotations

import hmac
import json
import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from framepack.client.answer import Answer
from framepack.client.errors import InvalidWebhook
from framepack.net.signing import Signer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NAMES: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")


class Webhook(Answer):
    """What a webhook says of an ended job."""

    operation: str
    """Name of the operation, such as ``upscale``."""
    job_id: str
    """The job's id."""
    success: bool
    """Whether it has a result."""
    timestamp: datetime
    """When it ended, UTC."""
    output_path: str | None = None
    """Path of the output in the store, which clients accept as a source."""
    output_url: str | None = None
    """Link to download the output file."""
    output_filename: str | None = None
    """Name of the output file."""
    output_file_size: int | None = None
    """Size of the output file in bytes."""
    output_base64: str | None = None
    """The output, if it is small."""
    error: str | None = None
    """Why there is no result."""
    code: str | None = None
    """Stable code of the error."""
    metadata: dict[str, Any] | None = None
    """Parameters of the job."""


def verify_webhook(
    body: bytes | str,
    headers: Mapping[str, str],
    secret: str,
    *,
    tolerance_seconds: float = 300,
    clock: Callable[[], float] = time.time,
) -> Webhook:
    """Check who sent a webhook, and return what it says.

    Args:
        body: The body exactly as it was received.
        headers: The headers of the request, in any case of letters. ``webhook-id`` is the same in every attempt to
            deliver the same message, so it identifies duplicates.
        secret: FRAMEPACK_WEBHOOK_SECRET of the server.
        tolerance_seconds: How old the attempt may be, so that nobody can send a recorded one again.
        clock: Returns the time in seconds since 1970.

    Raises:
        InvalidWebhook: The message is not signed with the secret, is too old, or is none of this server.
        ValueError: The secret is empty, or what follows ``whsec_`` is not base64.
    """
    given = {name.lower(): value for name, value in headers.items()}
    missing = next((name for name in _NAMES if not given.get(name)), None)
    if missing is not None:
        raise InvalidWebhook(f"The header {missing} is missing.")
    identity, timestamp, signatures = (given[name].encode(errors="replace").decode() for name in _NAMES)
    content = body.encode(errors="replace") if isinstance(body, str) else body
    if not re.fullmatch("[0-9]{1,20}", timestamp):
        raise InvalidWebhook("The header webhook-timestamp is not a number.")
    expected = Signer(secret, clock=lambda: int(timestamp)).sign(identity, content)["webhook-signature"]
    is_signed = [hmac.compare_digest(each.encode(), expected.encode()) for each in signatures.split()]
    if not any(is_signed):
        raise InvalidWebhook("The message is not signed with this secret.")
    if abs(clock() - int(timestamp)) > tolerance_seconds:
        raise InvalidWebhook(f"The message is older than {tolerance_seconds:g} seconds, or from the future.")
    try:
        return Webhook.model_validate(json.loads(content))
    except (ValueError, RecursionError) as error:
        raise InvalidWebhook("The message is not about a job.") from error
