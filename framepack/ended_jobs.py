"""The ends of jobs with a callback: kept in the outbox, so that a job that is given out again is not run again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from framepack.errors import FramepackError
from framepack.storage.answers import attached, with_new_links

if TYPE_CHECKING:
    from framepack.answer import Answer
    from framepack.dispatch import JobInput
    from framepack.job import Job
    from framepack.outbox.message import CallbackRecord, Message
    from framepack.outbox.outbox import Outbox
    from framepack.storage.base import Storage

log = logging.getLogger("framepack.callback")


@dataclass(frozen=True, slots=True)
class EndsInOutbox:
    """Ends jobs by writing to the outbox; see `framepack.dispatch.EndedJobs`.

    Attributes:
        outbox: The outbox.
        storage_of: Opens the store that a job writes its outputs to.
        deliver: Sees to the first attempt to deliver a message that was stored.
    """

    outbox: Outbox
    storage_of: Callable[[JobInput], Storage]
    deliver: Callable[[CallbackRecord], None]

    def answer(self, job_input: JobInput, job: Job) -> Answer | None:
        """The answer of a job that has ended before; None if it has not, or nobody can tell."""
        try:
            known = self.outbox.answer_of(job.id)
            if known is None:
                return None
            storage = self.storage_of(job_input)
            answer: Answer = with_new_links(attached(known, storage), storage)
        except FramepackError as error:
            log.warning("job %s: cannot tell whether it has ended before: %s", job.id, error.message)
            return None
        log.info("job %s: it has ended before, so its answer is returned", job.id, extra={"job_id": job.id})
        return answer

    def end(self, message: Message, answer: Answer, job_input: JobInput, job: Job) -> Answer:
        """Store the message about a job, then see to its delivery; see `framepack.dispatch.EndedJobs`."""
        known = self.answer(job_input, job)
        if known is not None:
            return known
        if self.outbox.add(message, job.on_waiting):
            self.deliver(message.record)
        return answer
