"""Jobs with a callback that are cancelled while the store does not take their end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from framepack.answer import failure
from framepack.ended_jobs import EndsInOutbox
from framepack.errors import Cancelled
from framepack.job import Job, JobInput
from framepack.outbox.message import CallbackRecord, CallbackState
from tests.support.outbox import Simulated, message

ANSWER = failure(Cancelled("The job was cancelled."))


def test_the_wait_for_the_store_ends_when_the_job_is_cancelled(simulated: Simulated) -> None:
    """Nothing is sent, and the job no longer waits."""
    waits: list[str | None] = []
    job = Job("job", on_waiting=waits.append)

    def sleep(seconds: float) -> None:
        simulated.sleep(seconds)
        if sum(simulated.slept) > 5:
            job.cancel()

    simulated.store.is_away = True
    simulated.outbox.patience = replace(simulated.outbox.patience, sleep=sleep)
    with pytest.raises(Cancelled):
        simulated.outbox.add(message("job", simulated.clock), job.check, job.on_waiting)
    assert (simulated.sent, waits) == ([], ["the store", None])
    assert sum(simulated.slept) < 10


@pytest.mark.parametrize("is_reported", [True, False], ids=["server", "plain"])
def test_the_end_of_a_cancelled_job_waits_for_no_store(simulated: Simulated, *, is_reported: bool) -> None:
    """A server reports it later; a worker without one makes an attempt at once."""
    simulated.store.is_away = True
    ends, delivered = ends_in(simulated, is_reported=is_reported)
    job = Job("job")
    job.cancel()
    assert ends.end(message("job", simulated.clock), ANSWER, JobInput({}), job) == ANSWER
    assert (len(simulated.sent), simulated.slept, delivered) == (0 if is_reported else 1, [], [])


def test_the_end_of_a_cancelled_job_is_stored(simulated: Simulated) -> None:
    """The store is up, so it is delivered like every other."""
    ends, delivered = ends_in(simulated, is_reported=True)
    job = Job("job")
    job.cancel()
    sent = message("job", simulated.clock)
    assert ends.end(sent, ANSWER, JobInput({}), job) == ANSWER
    assert [record.id for record in delivered] == [sent.id]
    assert simulated.states() == {CallbackState.PENDING: 1}


def ends_in(simulated: Simulated, *, is_reported: bool) -> tuple[EndsInOutbox, list[CallbackRecord]]:
    """The ends of a process's jobs, and what it was given to deliver."""
    delivered: list[CallbackRecord] = []
    storage: Any = simulated.store
    return EndsInOutbox(simulated.outbox, lambda _: storage, delivered.append, is_reported), delivered
