"""The ends of jobs with a callback: kept in the outbox, so that a job that is given out again is not run again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from framepack.answer import is_cancelled
from framepack.cancellation import stoppable
from framepack.errors import FramepackError
from framepack.storage.answers import attached, with_new_links
from framepack.storage.patience import briefly

if TYPE_CHECKING:
    from framepack.answer import Answer
    from framepack.job import Job, JobInput
    from framepack.outbox.message import CallbackRecord, Message
    from framepack.outbox.outbox import Outbox
    from framepack.storage.base import Storage

log = logging.getLogger("framepack.callback")

_CANCELLED_SECONDS: Final = 3.0  # for each of two calls of the store


@dataclass(frozen=True, slots=True)
class EndsInOutbox:
    """Ends jobs by writing to the outbox; see `framepack.dispatch.EndedJobs`.

    Attributes:
        outbox: The outbox.
        storage_of: Opens the store that a job writes its outputs to.
        deliver: Sees to the first attempt to deliver a message that was stored.
        is_reported: Whether a server reports the end of a cancelled job whose message could not be stored.
    """

    outbox: Outbox
    storage_of: Callable[[JobInput], Storage]
    deliver: Callable[[CallbackRecord], None]
    is_reported: bool = False

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
        if is_cancelled(answer):
            return self._end_cancelled(message, answer, job_input, job)
        with stoppable(job.check):
            known = self.answer(job_input, job)
        if known is not None:
            return known
        if self.outbox.add(message, job.check, job.on_waiting):
            self.deliver(message.record)
        return answer

    def _end_cancelled(self, message: Message, answer: Answer, job_input: JobInput, job: Job) -> Answer:
        """End a cancelled job. It must not hold the worker, so its end is stored within seconds or not at all."""
        known = briefly(lambda: self.answer(job_input, job), _CANCELLED_SECONDS)
        if known is not None:
            return known
        try:
            briefly(lambda: self.outbox.messages.save(message), _CANCELLED_SECONDS)
        except FramepackError as error:
            if not self.is_reported:
                self.outbox.deliver_unstored(message, error)
        else:
            self.deliver(message.record)
        return answer
