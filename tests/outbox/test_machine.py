"""The outbox as a state machine: processes that deliver step by step are killed between any two writes to the store.

Whatever happens, what was promised is in the store or delivered, no attempt is made twice, and an id has one outcome.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from framepack.errors import Conflict, NotFound
from framepack.net.delivery import Delivery
from framepack.outbox.claims import LEASE
from framepack.outbox.message import CallbackState
from framepack.outbox.outbox import Outbox
from tests.support.outbox import Simulated, message
from tests.support.simulated_store import Process

JOBS = ("a", "b", "c")
DELIVERERS = 3
LIFE = LEASE.total_seconds()


class OutboxMachine(RuleBasedStateMachine):
    """Three processes that deliver, one that ends jobs, a receiver, and a clock."""

    @initialize()
    def begin(self) -> None:
        """An empty store."""
        self.world = Simulated()
        self.world.answer = lambda _: self.reply
        self.reply = Delivery(200)
        self.processes: dict[int, Process] = {}
        self.begun: dict[int, float] = {}
        self.ended: set[str] = set()
        for job in JOBS[:2]:
            self.end_job(job, 0, dies=False)

    def process(self, number: int) -> tuple[Process, Outbox]:
        """A process that is not in the middle of something: a new one in place of a dead or idle one."""
        process = self.processes[number] = Process(self.world.store)
        return process, self.world.outbox_in(process.store)

    def is_idle(self, number: int) -> bool:
        """Whether a process is not in the middle of something."""
        return number not in self.processes or not self.processes[number].is_running

    @rule(job=st.sampled_from(JOBS), outcome=st.integers(0, 1), dies=st.booleans())
    def end_job(self, job: str, outcome: int, dies: bool) -> None:  # noqa: FBT001 - hypothesis calls it by name
        """A worker ends a job, or is killed before the write that does it."""
        sent = message(job, self.world.clock, outcome=outcome)
        if sent.id in self.ended:
            return
        process = Process(self.world.store)
        outbox = self.world.outbox_in(process.store)
        process.start(lambda: outbox.add(sent))
        if dies:
            process.kill()
            assert sent.id not in self.stored()
            return
        process.finish()
        self.ended.add(sent.id)

    @rule(
        number=st.integers(0, DELIVERERS - 1),
        job=st.integers(0, 1),
        steps=st.integers(1, 5),
        dies=st.sampled_from([False, False, False, False, True]),
    )
    def deliver(self, number: int, job: int, steps: int, dies: bool) -> None:  # noqa: FBT001 - likewise
        """A process goes on with its delivery, or begins another one, for a few operations; it may be killed then."""
        if self.is_idle(number):
            name = sorted(self.ended)[job]
            process, outbox = self.process(number)
            self.begun[number] = self.world.clock.monotonic()
            process.start(lambda: outbox.deliver(name))
        for _ in range(steps):
            if not self.is_idle(number):
                self.processes[number].step()
        if dies and not self.is_idle(number):
            self.processes[number].kill()

    @rule(
        reply=st.sampled_from(
            [Delivery(200), Delivery(500, "HTTP 500"), Delivery(None, "timed out"), Delivery(410, "HTTP 410")]
        )
    )
    def change_receiver(self, reply: Delivery) -> None:
        """The receiver answers differently from now on."""
        self.reply = reply

    @rule(seconds=st.sampled_from([1.0, 6.0, LIFE + 1, 40_000.0, 100_000.0]))
    def wait(self, seconds: float) -> None:
        """Time passes. No process takes longer for an attempt than its claim lives."""
        for number, process in self.processes.items():
            if self.world.clock.monotonic() + seconds - self.begun[number] >= LIFE:
                process.finish()
        self.world.clock.advance(seconds)

    @rule(data=st.data(), dies_after=st.integers(0, 8))
    def redeliver(self, data: Any, dies_after: int) -> None:
        """Somebody has a callback delivered again; that process may be killed, too."""
        if not self.ended or not all(self.is_idle(number) for number in self.processes):
            return
        name = data.draw(st.sampled_from(sorted(self.ended)))
        process = Process(self.world.store)
        outbox = self.world.outbox_in(process.store)

        def act() -> None:
            with suppress(Conflict, NotFound):
                outbox.redeliver(name)

        process.start(act)
        for _ in range(dies_after):
            if process.is_running:
                process.step()
        if process.is_running:
            process.kill()

    def stored(self) -> dict[str, set[CallbackState]]:
        """The states in which each message is stored."""
        found: dict[str, set[CallbackState]] = {}
        for state in CallbackState:
            for name, _ in self.world.outbox.messages.stored(state):
                found.setdefault(name, set()).add(state)
        return found

    @invariant()
    def nothing_is_lost(self) -> None:
        """Each job that has ended has a message; none is given up, or counts as delivered, before an attempt."""
        stored = self.stored()
        assert self.ended <= stored.keys()
        for name, states in stored.items():
            if states & {CallbackState.DELIVERED, CallbackState.EXHAUSTED}:
                assert self.world.sends(name) > 0

    @invariant()
    def no_attempt_is_made_twice(self) -> None:
        """There were never more attempts than are recorded or claimed."""
        claims = Counter(
            f"msg_{key.segments[3]}_{key.name.split('.')[0]}"
            for key in self.world.store.objects
            if key.segments[2] == "claims"
        )
        for name in self.ended:
            recorded = max(
                [
                    record.attempts
                    for state in CallbackState
                    if (found := self.world.outbox.messages.read(state, name)) is not None
                    for record in (found.record, self.world.outbox.messages.read_attempts(name) or found.record)
                ]
            )
            assert self.world.sends(name) <= recorded + claims[name], name

    @invariant()
    def an_id_has_one_outcome(self) -> None:
        """All attempts under one id have the same body."""
        bodies: dict[str, set[bytes]] = {}
        for _, name, body, _ in self.world.sent:
            bodies.setdefault(name, set()).add(body)
        assert all(len(each) == 1 for each in bodies.values())

    def teardown(self) -> None:
        """Once the receiver is up and one process goes on, everything pending is delivered and nothing is left."""
        for process in self.processes.values():
            process.kill()
        self.reply = Delivery(200)
        for _ in range(3):
            self.world.clock.advance(200_000)
            self.world.deliver_due()
            self.world.outbox.expire()
        assert self.world.states()[CallbackState.PENDING] == 0
        assert not [key for key in self.world.store.objects if key.segments[2] not in {"exhausted", "claims"}]


def test_whatever_happens_nothing_is_lost_and_no_attempt_is_made_twice() -> None:
    """Random walks over ends, attempts, kills, failures and time."""
    run_state_machine_as_test(OutboxMachine, settings=settings(max_examples=100, stateful_step_count=50))
