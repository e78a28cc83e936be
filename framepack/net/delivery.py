"""Delivery of webhooks: a POST to an address that the client chose, with retries."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from framepack.errors import SourceFailed, SourceTooSlow
from framepack.net.addresses import Policy, check_url
from framepack.net.session import Outgoing, exchange
from framepack.net.watchdog import Watchdog

logger = logging.getLogger("framepack.net")

Sign = Callable[[bytes], Mapping[str, str]]

_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 30.0
_LONGEST_RETRY_AFTER_SECONDS = 60.0
_JITTER = 0.2
_WORTH_RETRYING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


@dataclass(frozen=True, slots=True)
class Delivery:
    """The outcome of a delivery: number of attempts, and HTTP status of the last answer (None: no answer)."""

    delivered: bool
    attempts: int
    status: int | None


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    retry_after: str


@dataclass(frozen=True, slots=True)
class Courier:
    """Delivers messages.

    Attributes:
        policy: Which addresses may be reached.
        attempts: Maximum attempts per message.
        timeout_seconds: Time limit of one attempt.
        sleep: Waits the given number of seconds between attempts.
    """

    policy: Policy
    attempts: int = 4
    timeout_seconds: float = 20.0
    sleep: Callable[[float], object] = time.sleep

    def deliver(self, url: str, body: bytes, headers: Mapping[str, str], sign: Sign | None = None) -> Delivery:
        """POST ``body`` until the receiver answers 2xx, rejects it for good, or all attempts are used.

        Redirects count as failures, and the body of the answer is not read. A 4xx ends the delivery, except for the
        three that ask for another attempt (408, 425, 429).

        Args:
            url: The receiver.
            body: The body of the request.
            headers: Sent with every attempt.
            sign: Returns more headers; called for each attempt.

        Raises:
            SourceNotAllowed: the address is not allowed; nothing was sent.
        """
        target = check_url(url, self.policy)
        answer: _Answer | None = None
        for attempt in range(1, self.attempts + 1):
            signature = sign(body) if sign is not None else {}
            answer = self._post(Outgoing("POST", target, {**headers, **signature}, body))
            if answer is not None and _is_final(answer.status):
                return Delivery(_is_success(answer.status), attempt, answer.status)
            if attempt < self.attempts:
                self.sleep(_wait_seconds(attempt, answer))
        return Delivery(delivered=False, attempts=self.attempts, status=answer.status if answer else None)

    def _post(self, outgoing: Outgoing) -> _Answer | None:
        try:
            with (
                Watchdog(self.timeout_seconds, _never_cancelled) as watchdog,
                exchange(outgoing, self.policy, watchdog) as response,
            ):
                return _Answer(response.status_code, response.headers.get("Retry-After", ""))
        except (SourceFailed, SourceTooSlow) as error:
            logger.info("Delivery to %s failed: %s", outgoing.target.origin, error.message)
            return None


def _is_success(status: int) -> bool:
    return HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


def _is_final(status: int) -> bool:
    is_refusal = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    return _is_success(status) or (is_refusal and status not in _WORTH_RETRYING)


def _wait_seconds(attempt: int, answer: _Answer | None) -> float:
    """Time until the next attempt: what the receiver asked for, or else 1 s doubling each time, ± 20 %."""
    asked = _asked_seconds(answer.retry_after) if answer is not None else None
    if asked is not None:
        return min(asked, _LONGEST_RETRY_AFTER_SECONDS)
    wait: float = min(_FIRST_WAIT_SECONDS * 2 ** (attempt - 1), _LONGEST_WAIT_SECONDS)
    return wait * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load; not for security


def _asked_seconds(retry_after: str) -> float | None:
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
