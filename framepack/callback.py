"""Callbacks: report the end of a job to the client's receiver, with the documented payload."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from framepack.api.schemas import CallbackRequest, Request
from framepack.errors import FramepackError, SourceNotAllowed

if TYPE_CHECKING:
    from framepack.job import Job
    from framepack.net.delivery import Delivery
    from framepack.registry import AnyOperation

log = logging.getLogger("framepack.callback")

Send = Callable[[str, str, bytes, Mapping[str, str]], "Delivery"]
"""Delivers a message, signed and with retries: (address, message id, body, headers) -> outcome."""

_OUTPUT_FIELDS = {
    "output_path": "output_path",
    "output_filename": "output_filename",
    "output_url": "output_url",
    "output_file_size": "output_file_size",
    "output_video_base64": "output_base64",
}


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Sends callbacks.

    Attributes:
        send: Delivers one message.
        check_address: Raises SourceNotAllowed for an address that is not allowed.
        now: Returns the present time, UTC.
    """

    send: Send
    check_address: Callable[[str], None]
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

    def succeeded(self, operation: AnyOperation, request: Request, answer: Mapping[str, Any], job: Job) -> None:
        """Report an answer, if the request has a callback address. A failed delivery does not change the result.

        An answer with ``success`` false is reported as a failure, with its message as the error.
        """
        if not isinstance(request, CallbackRequest) or not request.callback_url:
            return
        outputs = {shown: answer[name] for name, shown in _OUTPUT_FIELDS.items() if name in answer}
        metadata = {**request.callback_metadata(), **request.callback_results(answer)}
        success = answer.get("success") is not False
        error = {} if success else {"error": answer.get("message")}
        body = {**self._head(operation, success=success), **outputs, **error, "metadata": metadata}
        self._deliver(request.callback_url, operation, body, job)

    def failed(self, operation: AnyOperation, fields: Mapping[str, Any], error: FramepackError, job: Job) -> None:
        """Report a failure, even of a request whose fields are invalid."""
        address = fields.get("callback_url")
        if not operation.supports_callback or not isinstance(address, str) or not address:
            return
        body = {**self._head(operation, success=False), "error": error.message, "metadata": None}
        self._deliver(address, operation, body, job)

    def _head(self, operation: AnyOperation, *, success: bool) -> dict[str, Any]:
        timestamp = self.now().replace(tzinfo=None).isoformat(timespec="microseconds")
        return {
            "type": "postprocess",
            "operation": operation.name,
            "success": success,
            "timestamp": timestamp,
        }

    def _deliver(self, address: str, operation: AnyOperation, body: dict[str, Any], job: Job) -> None:
        message_id = f"msg_{operation.name}_{job.id}"
        headers = {
            "Content-Type": "application/json",
            "X-Operation-Type": operation.name,
            "webhook-id": message_id,  # the same for every attempt, so that the receiver can recognize repeats
        }
        extra: dict[str, Any] = {"job_id": job.id, "operation": operation.name}
        try:
            delivery = self.send(address, message_id, json.dumps(body).encode(), headers)
        except SourceNotAllowed as error:
            log.warning("job %s: callback not delivered: %s", job.id, error.message, extra=extra)
            return
        extra |= {"attempts": delivery.attempts, "status": delivery.status}
        if delivery.delivered:
            log.info("job %s: callback delivered, attempts: %d", job.id, delivery.attempts, extra=extra)
        else:
            reason = "no answer" if delivery.status is None else f"last answer {delivery.status}"
            log.warning(
                "job %s: callback not delivered: %s, attempts: %d", job.id, reason, delivery.attempts, extra=extra
            )
