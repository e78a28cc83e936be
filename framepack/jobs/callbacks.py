"""The callbacks of jobs that no worker has reported, and what the outbox says about a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from framepack.job import Job, JobInput

if TYPE_CHECKING:
    from framepack.answer import Answer
    from framepack.jobs.records import JobRecord
    from framepack.outbox.message import CallbackRecord
    from framepack.runtime import Runtime


@dataclass(frozen=True, slots=True)
class JobCallbacks:
    """The callbacks of this server's jobs. Every method blocks.

    Attributes:
        runtime: Has the outbox.
    """

    runtime: Runtime

    def answer_of(self, record: JobRecord) -> Answer | None:
        """The answer of a job whose worker has ended it, but could not tell the server; None if there is none."""
        return self.runtime.dispatcher.ended_jobs.answer(JobInput({}), Job(_reported_id(record)))

    def add(self, record: JobRecord, fields: dict[str, Any], failed: Answer) -> None:
        """Put the callback of a failed job into the outbox, unless a worker elsewhere has reported it meanwhile.

        Raises:
            FramepackError: the store is away.
        """
        job_id = _reported_id(record)
        if record.remote_id is not None and self.runtime.outbox.of_job(job_id) is not None:
            return
        dispatcher = self.runtime.dispatcher
        operation = dispatcher.registry.find(record.operation)
        message = dispatcher.callbacks.about_failure(operation, fields, failed, job_id, is_checked=True)
        if message is not None:
            self.runtime.outbox.messages.save(message)
            self.runtime.deliverer.wake()

    def of(self, record: JobRecord) -> CallbackRecord | None:
        """The callback of a job; None if it has none, or has not ended.

        Raises:
            FramepackError: the store is away.
        """
        return self.runtime.outbox.of_job(_reported_id(record))


def _reported_id(record: JobRecord) -> str:
    """The id in a job's callbacks: that at RunPod if it is there, under which its worker reports the job as well."""
    return record.remote_id or record.id
