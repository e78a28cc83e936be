"""Signatures of webhooks, following the Standard Webhooks specification (HMAC-SHA256)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable

from framepack.setting_checks import signing_key


class Signer:
    """Signs messages with one secret.

    Args:
        secret: ``whsec_`` and base64, or any other text, whose UTF-8 bytes are the key.
        clock: Returns the time in seconds since 1970.

    Raises:
        ValueError: The secret is empty, or what follows ``whsec_`` is not base64.
    """

    def __init__(self, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._key = signing_key(secret)
        self._clock = clock

    def sign(self, message_id: str, body: bytes) -> dict[str, str]:
        """Return the three headers of one attempt; all attempts have the same id, each has its own time."""
        timestamp = str(int(self._clock()))
        signed = b".".join((message_id.encode(), timestamp.encode(), body))
        signature = base64.b64encode(hmac.digest(self._key, signed, hashlib.sha256)).decode()
        return {
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{signature}",
        }
