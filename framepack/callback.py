"""Callbacks: what the receiver that a client chose is told about the end of its job."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from framepack.answer import Answer, is_failure
from framepack.api.ended_job import EndedJob, FailedJob, SucceededJob
from framepack.api.schemas import CallbackRequest, Request
from framepack.errors import FramepackError, InvalidField, SourceNotAllowed
from framepack.outbox.message import CallbackRecord, CallbackState, Message, message_id
from framepack.storage.answers import detached

if TYPE_CHECKING:
    from framepack.job import Job
    from framepack.processing.operation import AnyOperation

log = logging.getLogger("framepack.callback")

_OUTPUT_FIELDS: Final = {
    "output_path": "output_path",
    "output_filename": "output_filename",
    "output_url": "output_url",
    "output_file_size": "output_file_size",
    "output_video_base64": "output_base64",
}
_PASSING: Final = ("timestamp", "output_url", "output_base64")
"""Fields of the body that do not tell one outcome from another."""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Writes the messages about ended jobs.

    Attributes:
        check_address: Raises SourceNotAllowed for an address that is not allowed.
        origin: Scheme, host and port of an address.
        now: Returns the present time, UTC.
    """

    check_address: Callable[[str], None]
    origin: Callable[[str], str]
    now: Callable[[], datetime] = _now

    def check(self, request: Request) -> None:
        """Check the callback address of a request, before any work is done.

        Raises:
            SourceNotAllowed: The address is not allowed.
        """
        if isinstance(request, CallbackRequest) and request.callback_url:
            try:
                self.check_address(request.callback_url)
            except SourceNotAllowed as error:
                raise SourceNotAllowed(f"callback_url: {error.message}") from error

    def about_answer(
        self, operation: AnyOperation, request: Request, answer: Answer, job: Job, *, has_own_store: bool = False
    ) -> Message | None:
        """The message about an answer; None if the request has no callback address.

        An answer with ``success`` false is reported as a failure, with its message as the error.

        Args:
            operation: The operation.
            request: Its request.
            answer: What it answers.
            job: The job.
            has_own_store: Whether the files are in a store that the job has brought.
        """
        if not isinstance(request, CallbackRequest) or not request.callback_url:
            return None
        outputs = {shown: answer[name] for name, shown in _OUTPUT_FIELDS.items() if name in answer}
        metadata = {**request.callback_metadata(), **request.callback_results(answer)}
        head = self._head(operation, job.id)
        ended: EndedJob = (
            FailedJob(**head, success=False, error=answer.get("message") or "", metadata=metadata)
            if answer.get("success") is False
            else SucceededJob(**head, success=True, **outputs, metadata=metadata)
        )
        message = self._message(request, operation, ended, answer)
        return message.model_copy(update={"renews_links": not has_own_store})

    def about_failure(
        self, operation: AnyOperation, fields: Mapping[str, Any], failed: Answer, job_id: str, *, is_checked: bool
    ) -> Message | None:
        """The message about a failure, even of a request whose fields are invalid; None if nobody is to be told.

        Args:
            operation: The operation.
            fields: The fields of the request.
            failed: The error envelope.
            job_id: The job's id.
            is_checked: Whether the callback address is known to be allowed.
        """
        names = ("callback_url", "callback_token")
        given = {name: fields[name] for name in names if fields.get(name) is not None}
        if not operation.supports_callback or "callback_url" not in given:
            return None
        try:
            request = CallbackRequest.parse(given)
            if not is_checked:
                self.check(request)
        except (InvalidField, SourceNotAllowed) as error:
            extra = {"job_id": job_id, "operation": operation.name}
            log.warning("job %s: callback not delivered: %s", job_id, error.message, extra=extra)
            return None
        head, why = self._head(operation, job_id), {name: failed[name] for name in ("error", "code")}
        return self._message(request, operation, FailedJob(**head, success=False, **why, metadata=None), failed)

    def _head(self, operation: AnyOperation, job_id: str) -> dict[str, Any]:
        timestamp = self.now().replace(tzinfo=None).isoformat(timespec="microseconds")
        return {"type": "postprocess", "operation": operation.name, "job_id": job_id, "timestamp": timestamp}

    def _message(self, request: CallbackRequest, operation: AnyOperation, ended: EndedJob, answer: Answer) -> Message:
        url, body = request.callback_url or "", ended.body()
        outcome = {name: value for name, value in body.items() if name not in _PASSING}
        record = CallbackRecord(
            id=message_id(ended.job_id, outcome),
            job_id=ended.job_id,
            operation=operation.name,
            receiver=self._origin(url),
            created=self.now(),
            state=CallbackState.PENDING,
        )
        headers = {"Content-Type": "application/json", "X-Operation-Type": operation.name}
        token = None if request.callback_token is None else request.callback_token.get_secret_value()
        return Message(
            record=record,
            url=url,
            token=token,
            body=json.dumps(body),
            headers=headers,
            answer=answer if is_failure(answer) else detached(answer),
        )

    def _origin(self, url: str) -> str:
        try:
            return self.origin(url)
        except FramepackError:
            return "an address that is not allowed"
