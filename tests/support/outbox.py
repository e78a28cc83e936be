"""An outbox on a simulated clock and store, with a receiver that does what a test says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from framepack.net.delivery import Delivery
from framepack.outbox.claims import Claims
from framepack.outbox.message import CallbackRecord, CallbackState, Message, message_id
from framepack.outbox.outbox import Event, Outbox
from framepack.storage.patience import Patience
from tests.support.simulated_store import Clock, SimulatedStore


def message(job_id: str, clock: Clock, **outcome: Any) -> Message:
    """A message about the end of a job."""
    outcome = {"success": True, **outcome}
    record = CallbackRecord(
        id=message_id(job_id, outcome),
        job_id=job_id,
        operation="loop",
        receiver="https://example.com:443",
        created=clock(),
    )
    return Message(
        record=record,
        url="https://example.com/hook?key=secret",
        token="secret-token",
        body=f'{{"job_id": "{job_id}"}}',
        headers={"Content-Type": "application/json"},
        answer={"success": True, "message": job_id},
    )


@dataclass
class Simulated:
    """A store, a clock, and what a receiver got.

    Attributes:
        answer: How the receiver answers an attempt, whose number per message it is given.
        sent: Time, message id, body and headers of every attempt.
        counted: The events that were counted.
        slept: How long the outbox has waited for the store.
    """

    clock: Clock = field(default_factory=Clock)
    answer: Callable[[int], Delivery] = lambda _number: Delivery(200)
    sent: list[tuple[float, str, bytes, dict[str, str]]] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    slept: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the store and an outbox in it."""
        self.store = SimulatedStore(self.clock)
        self.outbox = self.outbox_in(self.store)

    def outbox_in(self, store: Any) -> Outbox:
        """Another process's view of the outbox."""
        patience = Patience(300, clock=self.clock.monotonic, sleep=self.sleep)
        outbox = Outbox(lambda: store, self.send, count=self.count, now=self.clock, patience=patience)
        outbox.claims = Claims(store, self.clock.monotonic)
        return outbox

    def send(self, url: str, name: str, body: bytes, headers: Mapping[str, str], limit: float) -> Delivery:
        """Receive an attempt."""
        assert (url, limit <= 20) == ("https://example.com/hook?key=secret", True)
        self.sent.append((self.clock.monotonic(), name, body, dict(headers)))
        return self.answer(self.sends(name))

    def sends(self, name: str) -> int:
        """How often a message was sent."""
        return sum(each == name for _, each, _, _ in self.sent)

    def count(self, event: Event) -> None:
        """Count an event."""
        self.counted[event.value] += 1

    def sleep(self, seconds: float) -> None:
        """Wait, in name; at least a microsecond, below which the clock stands still."""
        self.slept.append(seconds)
        self.clock.advance(max(seconds, 1e-6))

    def deliver_due(self) -> int:
        """Attempt everything that is due, like a deliverer; return the number of attempts."""
        due = [
            record
            for record in self.outbox.index.pending()
            if record.next_attempt is None or record.next_attempt <= self.clock()
        ]
        return sum(self.outbox.deliver(record.id) is not None for record in due)

    def states(self) -> Counter[CallbackState]:
        """How many messages are in each state."""
        records, _ = self.outbox.list(None, 100_000)
        return Counter(record.state for record in records)


@pytest.fixture
def simulated() -> Simulated:
    """An outbox that a test can take through days."""
    return Simulated()
