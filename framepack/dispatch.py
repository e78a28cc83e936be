"""Dispatch: finds the operation of a job's input, parses the fields, runs it and returns the answer.

Every exception ends here: it becomes an answer with a message, a status and a code.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from framepack.answer import Answer, failure
from framepack.cancellation import never_cancelled, stoppable
from framepack.errors import Cancelled, DeviceLost, FramepackError, InvalidField, public
from framepack.models.memory.device import is_device_lost
from framepack.processing.measuring import run_measured

if TYPE_CHECKING:
    from framepack.callback import Callbacks
    from framepack.job import Job, JobInput
    from framepack.outbox.message import Message
    from framepack.processing.context import Context
    from framepack.processing.operation import AnyOperation
    from framepack.registry import Registry

log = logging.getLogger("framepack.dispatch")


class EndedJobs(Protocol):
    """The ends of jobs that have a callback."""

    def answer(self, job_input: JobInput, job: Job) -> Answer | None:
        """The answer of a job that has ended before; None if it has not, or nobody can tell."""
        ...

    def end(self, message: Message, answer: Answer, job_input: JobInput, job: Job) -> Answer:
        """End a job: store the message about it, with its answer, and see to its delivery.

        Returns:
            The answer of the job: the given one, or that of another process which has ended the same job before.

        Raises:
            Cancelled: the job was cancelled before its end was stored. The end of a cancelled job raises nothing.
        """
        ...


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Runs jobs.

    Attributes:
        registry: The operations.
        job_context: Creates the context of a job, and cleans up when the job ends.
        callbacks: Writes the messages about ended jobs.
        ended_jobs: Keeps these messages, with the answers, and delivers them.
    """

    registry: Registry
    job_context: Callable[[Job, JobInput], AbstractContextManager[Context]]
    callbacks: Callbacks
    ended_jobs: EndedJobs

    def run(self, job_input: JobInput, job: Job) -> Answer:
        """Run a job. One that has ended before, with a callback, is not run again: its answer is returned.

        Returns:
            The documented answer, or ``{"error": sentence, "code": ..., "status": ...}``. Never raises. The
            callback, if the client asked for one, is in the outbox, so it will be delivered.
        """
        try:
            operation, fields = self._resolve(job_input)
        except FramepackError as error:
            return failure(error)
        has_callback = operation.supports_callback and bool(fields.get("callback_url"))
        if has_callback and (answer := self.ended_jobs.answer(job_input, job)) is not None:
            return answer
        try:
            answer, message = self._run_operation(operation, fields, job_input, job)
        except Exception as error:  # noqa: BLE001 - every exception ends here
            answer = failure(_logged(error, job))
            if job.is_interrupted:
                return answer
            message = self.callbacks.about_failure(
                operation, fields, answer, job.id, is_checked=job_input.is_callback_checked
            )
        try:
            return answer if message is None else self.ended_jobs.end(message, answer, job_input, job)
        except Cancelled as error:
            answer = failure(error)
            message = self.callbacks.about_failure(operation, fields, answer, job.id, is_checked=True)
            if message is not None and not job.is_interrupted:
                answer = self.ended_jobs.end(message, answer, job_input, job)
            return answer

    def operation_name(self, job_input: JobInput) -> str:
        """Name of the operation that a job asks for; "unknown" if there is no such operation."""
        try:
            return self._resolve(job_input)[0].name
        except FramepackError:
            return "unknown"

    def _resolve(self, job_input: JobInput) -> tuple[AnyOperation, dict[str, Any]]:
        if not isinstance(job_input.fields, dict):
            raise InvalidField("input must be an object with an endpoint and its fields.")
        fields = dict(job_input.fields)
        endpoint, method = fields.pop("endpoint", None), fields.pop("method", None)
        if not isinstance(endpoint, str) or not endpoint:
            raise InvalidField('endpoint is required, such as "upscale" or "/postprocess/upscale".')
        if method is not None and not isinstance(method, str):
            raise InvalidField("method must be GET, POST or DELETE.")
        return self.registry.find(endpoint, method), fields

    def _run_operation(
        self, operation: AnyOperation, fields: dict[str, Any], job_input: JobInput, job: Job
    ) -> tuple[Answer, Message | None]:
        request = operation.request.parse(fields)
        if not job_input.is_callback_checked:
            self.callbacks.check(request)
        # One that keeps partial results still finishes its file when it is cancelled; `Job.watch` stops its frames.
        check = never_cancelled if job.keeps_partial else job.check
        with (
            self.job_context(job, replace(job_input, is_short=operation.needs == "store")) as context,
            stoppable(check),
        ):
            response = run_measured(operation, request, context)
        payload: Answer = response.payload()
        has_own_store = job_input.s3_config is not None
        return payload, self.callbacks.about_answer(operation, request, payload, job, has_own_store=has_own_store)


def _logged(error: Exception, job: Job) -> FramepackError:
    """The error that the client sees; unexpected errors are logged with their details.

    If the GPU has failed, the process that runs the job is told, which may end now.
    """
    known = public(error)
    if is_device_lost(error):
        known = error if isinstance(error, DeviceLost) else DeviceLost()
        log.error("job %s: the GPU failed", job.id, exc_info=error, extra={"job_id": job.id})
        job.on_device_lost()
    elif known is not error:
        log.error("job %s failed unexpectedly", job.id, exc_info=error, extra={"job_id": job.id})
    return known
