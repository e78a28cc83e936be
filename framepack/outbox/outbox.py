"""The outbox: what was promised to receivers, in the store until it is delivered."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

from framepack.cancellation import Check, never_cancelled
from framepack.errors import Cancelled, Conflict, FramepackError, NotFound
from framepack.outbox.claims import LEASE, Claim, Claims
from framepack.outbox.index import Index
from framepack.outbox.message import CallbackRecord, CallbackState, Message
from framepack.outbox.messages import Messages
from framepack.outbox.schedule import pause_after
from framepack.spelling import shortened
from framepack.storage.answers import with_new_links
from framepack.storage.patience import Patience, patiently

if TYPE_CHECKING:
    from framepack.net.delivery import Delivery
    from framepack.storage.base import Storage

log = logging.getLogger("framepack.callback")

Send = Callable[[str, str, bytes, Mapping[str, str], float], "Delivery"]
"""Makes one attempt: (address, message id, body, headers, time limit in seconds) -> outcome."""

FIRST_SECONDS: Final = 10.0
"""Time limit of the first attempt, which the end of a job may wait for."""

_LATER_SECONDS: Final = 20.0
_PATIENCE: Final = Patience(300)
_RECORD_SECONDS: Final = 60.0  # for the outcome of an attempt; after that, its claim expires


class Event(StrEnum):
    """What is counted."""

    DELIVERED = "delivered"
    FAILED_ATTEMPT = "failed_attempt"
    EXHAUSTED = "exhausted"


@dataclass
class Outbox:
    """The callbacks of a deployment. Safe to use from many threads and processes.

    Attributes:
        open_storage: Opens the deployment's store.
        send: Makes one attempt.
        retention: How long a delivered callback, and the answer of its job, are remembered.
        count: Called with every event.
        now: Returns the time, UTC.
        patience: How long the write that ends a job is tried.
    """

    open_storage: Callable[[], Storage]
    send: Send
    retention: timedelta = timedelta(days=1)
    count: Callable[[Event], None] = lambda _event: None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    patience: Patience = _PATIENCE

    @cached_property
    def claims(self) -> Claims:
        """The claims on attempts."""
        return Claims(self.open_storage())

    @cached_property
    def messages(self) -> Messages:
        """The messages in the store."""
        return Messages(self.open_storage())

    @cached_property
    def index(self) -> Index:
        """What is known of the messages without reading them again."""
        return Index(self.messages)

    def add(
        self,
        message: Message,
        check: Check = never_cancelled,
        on_wait: Callable[[str | None], None] = lambda _what: None,
    ) -> bool:
        """Store a message; this ends its job. If the store is away, full or refuses it, try for minutes.

        Args:
            message: The message.
            check: Raises Cancelled to stop; then the message is neither stored, as far as is known, nor attempted.
            on_wait: Called with "the store" when the first try has failed, and with None at the end of the wait.

        Returns:
            Whether it was stored. If not, it was attempted once, for there is nothing else left to do for it.

        Raises:
            Cancelled: what ``check`` raises.
        """
        try:
            patiently(
                lambda: self.messages.save(message),
                check,
                patience=self.patience,
                on_wait=on_wait,
                passing=FramepackError,
            )
        except Cancelled:
            raise
        except FramepackError as error:
            self.deliver_unstored(message, error)
            return False
        return True

    def answer_of(self, job_id: str) -> dict[str, Any] | None:
        """The detached answer of a job that has ended with a callback; None if there is none, or it is too old."""
        for message in self.messages.of_job(job_id):
            if self.now() - message.record.created <= self.retention:
                return message.answer
        return None

    def expire(self) -> None:
        """Delete what is left of callbacks that were delivered long ago, and what dead processes have left."""
        before = self.now() - max(self.retention, LEASE)
        self.messages.expire(self.now() - self.retention)
        self.claims.expire(before, partial(self.messages.exists, CallbackState.PENDING))

    def of_job(self, job_id: str) -> CallbackRecord | None:
        """The record of a job's callback; None if it has none."""
        found = self.messages.of_job(job_id)
        return self._current(found[0]) if found else None

    def read(self, name: str) -> CallbackRecord:
        """The record of the callback with this id.

        Raises:
            NotFound: there is none.
        """
        for state in CallbackState:
            if (message := self.messages.read(state, name)) is not None:
                return self._current(message)
        raise NotFound(f"Callback '{shortened(name)}' not found")

    def list(self, state: CallbackState | None, limit: int) -> tuple[list[CallbackRecord], int]:
        """The newest callbacks in a state, or in any (None), and the number of all of them."""
        found: list[CallbackRecord] = []
        count = 0
        for each in CallbackState if state is None else (state,):
            if each is CallbackState.PENDING:
                records = self.index.pending()
                number = len(records)
            else:
                records, number = self.index.ended(each, limit)
            found, count = found + records, count + number
        return sorted(found, key=lambda record: record.created, reverse=True)[:limit], count

    def redeliver(self, name: str) -> CallbackRecord:
        """Make a callback due now, with a new schedule of attempts.

        Raises:
            NotFound: there is no such callback.
            Conflict: it was delivered.
        """
        record = self.read(name)
        if record.state is CallbackState.DELIVERED:
            raise Conflict("The callback was delivered.")
        due = record.with_changes(
            state=CallbackState.PENDING, first_attempts=record.attempts, next_attempt=self.now()
        )
        self.messages.save_attempts(due)
        self.index.forget(name)
        message = self.messages.read(CallbackState.EXHAUSTED, name)
        if message is not None:
            self.messages.save(message.with_record(due))
            self.messages.delete(CallbackState.EXHAUSTED, name)
        return due

    def delete(self, name: str) -> CallbackRecord:
        """Delete an exhausted callback, and return what its record was.

        Raises:
            NotFound: there is no such callback.
            Conflict: it is not exhausted.
        """
        record = self.read(name)
        if record.state is not CallbackState.EXHAUSTED:
            raise Conflict(f"Only an exhausted callback can be deleted; this one is {record.state}.")
        self.messages.delete(CallbackState.EXHAUSTED, name)
        return record

    def deliver(self, name: str) -> CallbackRecord | None:
        """Make the next attempt to deliver a message, if it is due and no other process is making one.

        Returns:
            The record after the attempt; None if no attempt was made.
        """
        claim = self.claims.claim(name)
        if claim is None:
            return None
        is_unknown = False
        try:
            message = self._to_deliver(name)
            if message is None:
                return None
            message = self._with_unknown_attempts(message, claim)
            if not self.claims.begin_to_send(claim):
                return None
            is_unknown = True
            record = self._attempted(message)
            self._save_outcome(message, record, claim)
            is_unknown = False
            return record
        finally:
            self.index.forget(name)
            if not is_unknown:  # otherwise, the claim stands for the attempt
                self.claims.release(claim)

    def _to_deliver(self, name: str) -> Message | None:
        """A pending message with its current record, if it is due. One that was delivered is removed."""
        message = self.messages.read(CallbackState.PENDING, name)
        if message is None:
            return None
        if self.messages.exists(CallbackState.DELIVERED, name):
            self._remove_pending(name)
            return None
        record = self._current(message)
        if record.next_attempt is not None and record.next_attempt > self.now():
            return None
        return message.with_record(record)

    def _with_unknown_attempts(self, message: Message, claim: Claim) -> Message:
        """Record the attempts of processes that died, or could not record them, before the next one is made.

        So attempts that cannot be recorded are not made again and again, and however many are unknown, a message is
        given up only after an attempt whose outcome is known.

        Raises:
            FramepackError: the store is away, so nothing may be sent.
        """
        if not claim.unknown:
            return message
        record = message.record.with_changes(attempts=message.record.attempts + len(claim.unknown))
        self.messages.save_attempts(record)
        self.claims.forget(claim.unknown)
        return message.with_record(record)

    def _attempted(self, message: Message) -> CallbackRecord:
        """The record after an attempt."""
        record = message.record
        delivery = self._post(message, _LATER_SECONDS if record.attempts else FIRST_SECONDS)
        done = record.with_changes(
            attempts=record.attempts + 1,
            last_attempt=self.now(),
            status=delivery.status,
            reason=delivery.reason,
            next_attempt=None,
        )
        if delivery.is_delivered:
            return done.with_changes(state=CallbackState.DELIVERED)
        pause = (
            None
            if delivery.is_refused
            else pause_after(done.attempts - done.first_attempts, delivery.retry_after_seconds)
        )
        if pause is None:
            return done.with_changes(state=CallbackState.EXHAUSTED)
        return done.with_changes(next_attempt=self.now() + pause)

    def _post(self, message: Message, limit_seconds: float) -> Delivery:
        headers = {**message.headers, "webhook-id": message.id}
        if message.token is not None:
            headers["Authorization"] = f"Bearer {message.token}"
        return self.send(message.url, message.id, self._body(message).encode(), headers, limit_seconds)

    def _body(self, message: Message) -> str:
        if message.renews_links and message.record.attempts:
            with suppress(FramepackError):  # while the store is away, the first links may still be valid
                return json.dumps(with_new_links(json.loads(message.body), self.open_storage()))
        return message.body

    def _save_outcome(self, message: Message, record: CallbackRecord, claim: Claim) -> None:
        """Record an attempt. If that is not possible before its claim expires, the next attempt is made.

        Raises:
            FramepackError: the store is away.
        """
        _log_attempt(record)
        patience = replace(self.patience, seconds=_RECORD_SECONDS)
        after = message.with_record(record)
        patiently(lambda: self._write_outcome(after), claim.check, patience=patience, passing=FramepackError)
        if record.reason is not None:
            self.count(Event.FAILED_ATTEMPT)
        if record.state is not CallbackState.PENDING:
            self.count(Event.DELIVERED if record.state is CallbackState.DELIVERED else Event.EXHAUSTED)

    def _write_outcome(self, message: Message) -> None:
        """Write the outcome of an attempt. In this order, a message is never in no folder."""
        if message.record.state is CallbackState.PENDING:
            self.messages.save_attempts(message.record)
            return
        is_delivered = message.record.state is CallbackState.DELIVERED
        self.messages.save(message.without_secrets() if is_delivered else message)
        self._remove_pending(message.id)
        if is_delivered:
            self.messages.delete(CallbackState.EXHAUSTED, message.id)  # of a redelivery that a dead process began

    def _remove_pending(self, name: str) -> None:
        self.messages.delete(CallbackState.PENDING, name)
        self.messages.delete_attempts(name)

    def _current(self, message: Message) -> CallbackRecord:
        if message.record.state is not CallbackState.PENDING:
            return message.record
        return self.messages.read_attempts(message.id) or message.record

    def deliver_unstored(self, message: Message, error: FramepackError) -> None:
        """The one attempt for a message that could not be stored."""
        delivery = self._post(message, FIRST_SECONDS)
        done = message.record.with_changes(attempts=1, status=delivery.status, reason=delivery.reason)
        log.warning(
            "job %s: the store does not accept its callback (%s); it was attempted once",
            done.job_id,
            error.message,
            extra={"job_id": done.job_id, "operation": done.operation, "code": error.code},
        )
        state = CallbackState.DELIVERED if delivery.is_delivered else CallbackState.EXHAUSTED
        _log_attempt(done.with_changes(state=state))
        self.count(Event.DELIVERED if delivery.is_delivered else Event.FAILED_ATTEMPT)


def _log_attempt(record: CallbackRecord) -> None:
    extra = {
        "job_id": record.job_id,
        "operation": record.operation,
        "attempts": record.attempts,
        "status": record.status,
        "state": record.state,
    }
    if record.state is CallbackState.DELIVERED:
        line = f"callback delivered to {record.receiver}, attempts: {record.attempts}"
        log.info("job %s: %s", record.job_id, line, extra=extra)
        return
    line = f"attempt {record.attempts} to deliver the callback to {record.receiver} failed: {record.reason}"
    then = (
        "no further attempts; see `framepack callbacks list`"
        if record.next_attempt is None
        else f"next attempt at {record.next_attempt:%Y-%m-%dT%H:%M:%SZ}"
    )
    log.warning("job %s: %s; %s", record.job_id, line, then, extra=extra)
