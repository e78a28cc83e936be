"""Delivery of webhooks: one POST to an address that the client chose."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from framepack.errors import FramepackError, SourceFailed, SourceNotAllowed, SourceTooSlow
from framepack.net.addresses import Policy, check_url
from framepack.net.session import Outgoing, exchange
from framepack.net.watchdog import Watchdog

logger = logging.getLogger("framepack.net")


@dataclass(frozen=True, slots=True)
class Delivery:
    """The outcome of one attempt.

    Attributes:
        status: HTTP status of the answer; None if there was none.
        reason: Why the attempt failed, in a few words without secrets; None if it succeeded.
        retry_after_seconds: The pause that the receiver asked for; None if it did not.
    """

    status: int | None
    reason: str | None = None
    retry_after_seconds: float | None = None

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver has accepted the message."""
        return self.reason is None

    @property
    def is_refused(self) -> bool:
        """Whether the receiver has asked for no further attempts: it answered 410."""
        return self.status == HTTPStatus.GONE


@dataclass(frozen=True, slots=True)
class Courier:
    """Delivers messages.

    Attributes:
        policy: Which addresses may be reached.
    """

    policy: Policy

    def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float) -> Delivery:
        """POST ``body`` once. Never raises because of the receiver.

        Only 2xx is a success. Redirects are not followed, and the body of the answer is not read.

        Args:
            url: The receiver.
            body: The body of the request.
            headers: The headers of the request.
            timeout_seconds: Time limit of the whole exchange, from the lookup of the host's name on.
        """
        try:
            target = check_url(url, self.policy)
            with (
                Watchdog(timeout_seconds, _never_cancelled) as watchdog,
                exchange(Outgoing("POST", target, headers, body), self.policy, watchdog) as response,
            ):
                status, asked = response.status_code, response.headers.get("Retry-After", "")
        except (SourceFailed, SourceNotAllowed, SourceTooSlow) as error:
            return Delivery(None, _reason(error))
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return Delivery(status)
        return Delivery(status, f"HTTP {status}", _asked_seconds(asked))


def _reason(error: FramepackError) -> str:
    """Why there was no answer: the system's words for it if it has any, such as "connection refused"."""
    if isinstance(error, SourceTooSlow):
        return "timed out"
    if isinstance(error, SourceNotAllowed):
        return "address not allowed"
    cause = error.__cause__
    seen = 0
    while cause is not None and seen < 10:  # noqa: PLR2004 - an end, should causes form a circle
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            return cause.strerror.lower()
        cause, seen = cause.__cause__ or cause.__context__, seen + 1
    return error.message.rstrip(".").lower()


def _asked_seconds(retry_after: str) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, as a number or a date; None if it says nothing."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _never_cancelled() -> None:
    """An attempt is not cancelled; only its deadline ends it."""
