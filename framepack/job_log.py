"""The two log lines of every job, at its start and at its end, the same for every kind of worker."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from framepack.answer import Answer, is_cancelled, is_failure, output_bytes
from framepack.units import MB

log = logging.getLogger("framepack.jobs")

_SERVER_ERROR: Final = 500  # from this status on, it is not the client's fault
_LONGEST_MESSAGE: Final = 300  # a message may list everything that is allowed


@dataclass(frozen=True, slots=True)
class JobEnd:
    """The end of a job.

    Attributes:
        job_id: Its id.
        operation: Name of its operation.
        answer: The answer to the client.
        run_seconds: From start to end; None if it never started.
        queued_seconds: From acceptance to start; None if unknown.
        frames: Number of output frames; None if unknown.
        attempts: How often it was started; None if unknown.
        device: Device of inference, such as "cuda:0"; None if unknown.
    """

    job_id: str
    operation: str
    answer: Answer
    run_seconds: float | None = None
    queued_seconds: float | None = None
    frames: int | None = None
    attempts: int | None = None
    device: str | None = None


def log_job_start(job_id: str, operation: str, attempts: int | None = None) -> None:
    """Log that a job starts."""
    again = f" (attempt {attempts})" if attempts is not None and attempts > 1 else ""
    extra = {"job_id": job_id, "operation": operation, "state": "running", "attempts": attempts}
    log.info("job %s: %s started%s", job_id, operation, again, extra=extra)


def log_job_end(end: JobEnd) -> None:
    """Log how a job ended; as a warning if it failed through no fault of the client."""
    answer = end.answer
    has_failed = is_failure(answer)
    size = output_bytes(answer)
    extra = {
        "job_id": end.job_id,
        "operation": end.operation,
        "state": _state(answer),
        "code": answer["code"] if has_failed else None,
        "error": answer["error"] if has_failed else None,
        "queued_seconds": _rounded(end.queued_seconds),
        "run_seconds": _rounded(end.run_seconds),
        "frames": end.frames,
        "output_bytes": size or None,
        "attempts": end.attempts,
        "device": end.device,
    }
    is_ours = has_failed and answer["status"] >= _SERVER_ERROR
    figures = ", ".join(_figures(end, size))
    reason = f": {answer['error'][:_LONGEST_MESSAGE]} ({answer['code']})" if has_failed else ""
    line = f"{end.operation} {_state(answer)}{f' ({figures})' if figures else ''}{reason}"
    log.log(logging.WARNING if is_ours else logging.INFO, "job %s: %s", end.job_id, line, extra=extra)


def _state(answer: Answer) -> str:
    if not is_failure(answer):
        return "completed"
    return "cancelled" if is_cancelled(answer) else "failed"


def _figures(end: JobEnd, size: int) -> Iterator[str]:
    if end.run_seconds is not None:
        yield f"{end.run_seconds:.1f} s"
    if end.queued_seconds is not None:
        yield f"queued {end.queued_seconds:.1f} s"
    if end.frames:
        yield f"{end.frames} frames"
    if size:
        yield f"{size / MB:.2f} MB"
    if end.attempts is not None and end.attempts > 1:
        yield f"{end.attempts} attempts"
    if end.device is not None:
        yield end.device


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
