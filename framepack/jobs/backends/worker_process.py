"""The worker process of the local backend. It reads messages as lines of JSON from stdin and answers on stdout.

Run as ``python -m framepack.jobs.backends.worker_process``; with the argument ``light`` it is a worker of the light
lane, which never loads torch. It ends immediately when stdin is closed, so it never
outlives the server, and never reports a job that another server resumes. Anything else that is written to stdout goes
to stderr.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from framepack.answer import failure, without_inline
from framepack.checks.fitness import check_fitness, check_light_fitness
from framepack.errors import FramepackError, NotFound, public
from framepack.job import Job, JobInput, Progress, update_of
from framepack.jobs.backends.base import LARGEST_ANSWER_BYTES
from framepack.jobs.records import JobRecords
from framepack.logs import JOB_THREAD, start_logging
from framepack.runtime import Runtime
from framepack.settings import settings_or_exit
from framepack.units import GIB

if TYPE_CHECKING:
    from framepack.answer import Answer
    from framepack.models.device_check import DeviceReport

log = logging.getLogger("framepack.worker")

_INTERVAL_SECONDS: Final = 0.25
_NICENESS: Final = 5  # the web server comes first on a machine with busy processors


class _InputUnreadable(FramepackError):
    """The job's fields cannot be read from the store now. The job has not started."""


class WorkerProcess:
    """Runs the jobs that the server sends, each in its own thread.

    Args:
        runtime: The worker's runtime.
        out: Stream for messages to the server.
        is_light: Whether it is a worker of the light lane.
    """

    def __init__(self, runtime: Runtime, out: BinaryIO, *, is_light: bool = False) -> None:
        self._runtime = runtime
        self._out = out
        self._is_light = is_light
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._gpu: str | None = None

    def report_readiness(self) -> bool:
        """Check what jobs need, tell the server the outcome, and return whether the worker can run jobs."""
        try:
            if self._is_light:
                check_light_fitness(self._runtime)
            device = None if self._is_light else check_fitness(self._runtime)
        except FramepackError as error:
            log.error("the worker cannot run jobs: %s", error.message)  # noqa: TRY400 - the sentence says it
            self._send({"ready": False, "problem": error.message})
            return False
        fields = None if device is None else device_fields(device)
        self._gpu = device.device if device is not None and device.memory_bytes is not None else None
        self._send({"ready": True, "device": fields, "statistics": self._statistics()})
        return True

    def handle(self, message: dict[str, Any]) -> None:
        """Start or cancel a job."""
        if "cancel" in message:
            if (job := self._jobs.get(message["cancel"])) is not None:
                job.cancel()
            return
        job_id = message["id"]
        reporter = ProgressThrottle(partial(self._send_progress, job_id))
        job = self._jobs[job_id] = Job(job_id, reporter.report, on_waiting=reporter.waiting)
        job.on_device_lost = _end_unfit
        arguments = (message, job, reporter)
        threading.Thread(target=self._run, args=arguments, name=JOB_THREAD + job_id, daemon=True).start()

    def _run(self, message: dict[str, Any], job: Job, reporter: ProgressThrottle) -> None:
        """Run a job and send its answer."""
        outcome: dict[str, Any]
        try:
            outcome = {"answer": self._answer(message, job)}
        except _InputUnreadable as error:
            outcome = {"not_ready": error.message}
        except Exception as error:  # without an answer, the server would wait forever
            log.exception("the job failed unexpectedly")
            outcome = {"answer": failure(public(error))}
        del self._jobs[job.id]
        reporter.flush()
        self._send({"id": job.id, **outcome, "statistics": self._statistics()})

    def _answer(self, message: dict[str, Any], job: Job) -> Answer:
        fields = message.get("fields")
        if fields is None:  # those of a job may hold a whole video: they are in the store
            fields = self._stored_fields(job.id)
        job_input = JobInput({"endpoint": message["operation"], **fields}, is_callback_checked=True)
        answer = self._runtime.run(job_input, job)
        is_large = len(json.dumps(answer)) > LARGEST_ANSWER_BYTES
        return without_inline(answer) if is_large else answer

    def _stored_fields(self, job_id: str) -> dict[str, Any]:
        try:
            return JobRecords(self._runtime.storage).read_input(job_id)
        except NotFound:
            raise
        except FramepackError as error:  # the store may be unavailable for a while
            raise _InputUnreadable(error.message) from error

    def _send_progress(self, job_id: str, update: dict[str, Any]) -> None:
        self._send({"id": job_id, "progress": update, "statistics": self._statistics()})

    def _statistics(self) -> dict[str, Any]:
        import psutil

        cache = self._runtime.models.cache
        return {
            "model_loads": cache.loads,
            "models_loaded": len(cache.status()),
            "memory_bytes": psutil.Process().memory_info().rss,
            **_gpu_memory(self._gpu),
        }

    def _send(self, message: dict[str, Any]) -> None:
        line = json.dumps(message).encode() + b"\n"
        with self._lock:
            self._out.write(line)
            self._out.flush()


def _gpu_memory(device: str | None) -> dict[str, int]:
    """Used and total memory of the GPU; empty without one."""
    if device is None:
        return {}
    from framepack.models.memory.gpu_status import read_memory

    memory = read_memory(device)
    return {} if memory is None else dict(zip(("gpu_used_bytes", "gpu_total_bytes"), memory, strict=True))


def _end_unfit() -> None:
    """End this process, which cannot use the GPU any more. The server starts another one and runs the job there."""
    log.error("the worker ends, because its GPU failed")
    logging.shutdown()
    os._exit(1)


def device_fields(device: DeviceReport) -> dict[str, Any]:
    """The device as in the answer of ``GET /health``."""
    memory_gb = None if device.memory_bytes is None else round(device.memory_bytes / GIB, 1)
    return {
        "device": device.device,
        "name": device.name,
        "capability": device.capability,
        "memory_gb": memory_gb,
        "driver": device.driver,
    }


@dataclass(slots=True)
class ProgressThrottle:
    """Sends progress at most every 0.25 seconds, and the last progress when it is flushed.

    Attributes:
        send: Sends a progress update.
    """

    send: Callable[[dict[str, Any]], None]
    _latest: Progress | None = None
    _waiting_for: str | None = None
    _is_sent: bool = True
    _sent_at: float = 0.0

    def report(self, progress: Progress) -> None:
        """Store progress, and send it unless the last update was sent just before."""
        self._latest, self._is_sent = progress, False
        if time.monotonic() - self._sent_at >= _INTERVAL_SECONDS:
            self.flush()

    def waiting(self, what: str | None) -> None:
        """Store what the job waits for, and send it immediately."""
        self._waiting_for, self._is_sent = what, False
        self.flush()

    def flush(self) -> None:
        """Send the last progress, unless it was already sent."""
        if not self._is_sent:
            self._is_sent, self._sent_at = True, time.monotonic()
            self.send(update_of(self._latest, self._waiting_for))


def main() -> None:
    """Run the jobs of the server that started this process."""
    settings = settings_or_exit()
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # Ctrl-C reaches it too; the server decides
        signal.signal(number, signal.SIG_IGN)
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read_lines, args=(sys.stdin.buffer, lines), daemon=True).start()
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # keeps the output of libraries out of the messages
    os.nice(_NICENESS)
    start_logging(settings, is_first=False)  # the server has already warned about unknown variables
    runtime = Runtime(settings, is_delivering=False)  # the server delivers callbacks
    worker = WorkerProcess(runtime, out, is_light="light" in sys.argv[1:])
    if not worker.report_readiness():
        os._exit(1)
    while True:
        worker.handle(json.loads(lines.get()))


def _read_lines(stdin: BinaryIO, lines: queue.SimpleQueue[bytes]) -> None:
    """Pass on the server's messages, and end this process when the server has closed stdin."""
    for line in stdin:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
