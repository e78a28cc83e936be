"""From a job's input to its answer: find the operation, check the fields once, run, answer or explain.

The only place that catches everything: whatever goes wrong becomes an answer with a sentence, a status and a code.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from framepack.answer import Answer, failure
from framepack.errors import FramepackError, InvalidField, public

if TYPE_CHECKING:
    from framepack.callback import Callbacks
    from framepack.job import Job
    from framepack.processing.context import Context
    from framepack.registry import AnyOperation, Registry

log = logging.getLogger("framepack.dispatch")


@dataclass(frozen=True, slots=True)
class JobInput:
    """The input of a job.

    Attributes:
        fields: The endpoint and its fields, not yet parsed.
        s3_config: The job's own S3 store, if it has one (RunPod's ``s3Config``).
        is_callback_checked: Whether the server that accepted the job has already checked the callback URL.
    """

    fields: object
    s3_config: Mapping[str, Any] | None = None
    is_callback_checked: bool = False


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Runs calls.

    Attributes:
        registry: The operations there are.
        job_context: Makes the context of one call and cleans up behind it.
        callbacks: Tells the client's receiver how a call ended.
    """

    registry: Registry
    job_context: Callable[[Job, JobInput], AbstractContextManager[Context]]
    callbacks: Callbacks

    def run(self, call: JobInput, job: Job) -> Answer:
        """Carry out a call.

        Returns:
            The documented answer, or ``{"error": sentence, "code": ..., "status": ...}``. Never raises for what a
            client or the world did; the callback, if one was asked for, has been delivered or given up on.
        """
        try:
            operation, fields = self._resolve(call)
        except FramepackError as error:
            return failure(error)
        try:
            answer = self._carry_out(operation, fields, call, job)
        except Exception as error:  # noqa: BLE001 - the one place that catches everything
            known = _logged(error, job)
            self.callbacks.failed(operation, fields, known, job)
            return failure(known)
        return answer

    def operation_of(self, call: JobInput) -> str:
        """Name of the operation that a call asks for; "unknown" if there is none."""
        try:
            return self._resolve(call)[0].name
        except FramepackError:
            return "unknown"

    def _resolve(self, call: JobInput) -> tuple[AnyOperation, dict[str, Any]]:
        if not isinstance(call.fields, dict):
            raise InvalidField("input must be an object with an endpoint and its fields.")
        fields = dict(call.fields)
        endpoint, method = fields.pop("endpoint", None), fields.pop("method", None)
        if not isinstance(endpoint, str) or not endpoint:
            raise InvalidField('endpoint is required, such as "upscale" or "/postprocess/upscale".')
        if method is not None and not isinstance(method, str):
            raise InvalidField("method must be GET, POST or DELETE.")
        return self.registry.find(endpoint, method), fields

    def _carry_out(self, operation: AnyOperation, fields: dict[str, Any], call: JobInput, job: Job) -> Answer:
        request = operation.request.parse(fields)
        if not call.is_callback_checked:
            self.callbacks.check(request)
        with self.job_context(job, call) as context:
            response = operation.run(request, context)
        payload: Answer = response.payload()
        self.callbacks.succeeded(operation, request, payload, job)
        return payload


def _logged(error: Exception, job: Job) -> FramepackError:
    """What a client may know of ``error``; the rest goes to the log."""
    known = public(error)
    if known is not error:
        log.error("job %s failed unexpectedly", job.id, exc_info=error, extra={"job_id": job.id})
    return known
