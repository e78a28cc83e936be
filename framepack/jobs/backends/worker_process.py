"""The worker process behind the local backend: takes jobs as lines of JSON on stdin, answers on stdout.

Run as ``python -m framepack.jobs.backends.worker_process``. It ends at once when its stdin does, so it never outlives
the server, however that ended, and never reports on a job that the next server will carry out. Everything else that
is written to stdout goes to stderr.
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
from framepack.checks.fitness import check_fitness
from framepack.dispatch import JobInput
from framepack.errors import FramepackError, public
from framepack.job import Job, Progress
from framepack.jobs.backends.base import LARGEST_ANSWER_BYTES
from framepack.jobs.records import JobRecords
from framepack.logs import JOB_THREAD, start_logging
from framepack.models.memory.device import GB
from framepack.runtime import Runtime
from framepack.settings import settings_or_exit

if TYPE_CHECKING:
    from framepack.answer import Answer
    from framepack.models.device_check import DeviceReport

log = logging.getLogger("framepack.worker")

_INTERVAL_SECONDS: Final = 0.25
_NICENESS: Final = 5  # the server must stay quick on a machine whose processors compute


class WorkerProcess:
    """Carries out what the server asks for, each job in a thread of its own.

    Args:
        runtime: The worker.
        out: Where messages to the server go.
    """

    def __init__(self, runtime: Runtime, out: BinaryIO) -> None:
        self._runtime = runtime
        self._out = out
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}

    def get_ready(self) -> bool:
        """Tell the server whether this worker is fit for jobs; the log says what is missing."""
        try:
            device = check_fitness(self._runtime)
        except FramepackError as error:
            log.error("the worker is not fit for jobs: %s", error.message)  # noqa: TRY400 - the sentence says it
            self._send({"ready": False, "problem": error.message})
            return False
        self._send({"ready": True, "device": described(device), "statistics": self._statistics()})
        return True

    def obey(self, message: dict[str, Any]) -> None:
        """Begin or cancel a job."""
        if "cancel" in message:
            if (job := self._jobs.get(message["cancel"])) is not None:
                job.cancel()
            return
        job_id = message["id"]
        reporter = Reporter(partial(self._send_progress, job_id))
        job = self._jobs[job_id] = Job(job_id, reporter.report)
        arguments = (message, job, reporter)
        threading.Thread(target=self._run, args=arguments, name=JOB_THREAD + job_id, daemon=True).start()

    def _run(self, message: dict[str, Any], job: Job, reporter: Reporter) -> None:
        """Carry out one job and send its answer."""
        try:
            answer = self._answer(message, job)
        except Exception as error:  # a job without an answer would be waited for without end
            log.exception("the job failed unexpectedly")
            answer = failure(public(error))
        del self._jobs[job.id]
        reporter.flush()
        self._send({"id": job.id, "answer": answer, "statistics": self._statistics()})

    def _answer(self, message: dict[str, Any], job: Job) -> Answer:
        fields = message.get("fields")
        if fields is None:  # as large as a video perhaps: kept in the store, not sent through the pipe
            fields = JobRecords(self._runtime.storage).read_input(job.id)
        answer = self._runtime.run(JobInput({"endpoint": message["operation"], **fields}), job)
        is_large = len(json.dumps(answer)) > LARGEST_ANSWER_BYTES
        return without_inline(answer) if is_large else answer

    def _send_progress(self, job_id: str, progress: Progress) -> None:
        self._send({"id": job_id, "progress": progress.as_update(), "statistics": self._statistics()})

    def _statistics(self) -> dict[str, Any]:
        import psutil

        cache = self._runtime.models.cache
        return {
            "model_loads": cache.loads,
            "models_loaded": len(cache.status()),
            "memory_bytes": psutil.Process().memory_info().rss,
        }

    def _send(self, message: dict[str, Any]) -> None:
        line = json.dumps(message).encode() + b"\n"
        with self._lock:
            self._out.write(line)
            self._out.flush()


def described(device: DeviceReport) -> dict[str, Any]:
    """The device as ``GET /health`` shows it."""
    memory_gb = None if device.memory_bytes is None else round(device.memory_bytes / GB, 1)
    return {
        "device": device.device,
        "name": device.name,
        "capability": device.capability,
        "memory_gb": memory_gb,
        "driver": device.driver,
    }


@dataclass(slots=True)
class Reporter:
    """Sends progress now and then, and the newest one when it is flushed.

    Attributes:
        send: Sends one update.
    """

    send: Callable[[Progress], None]
    _unsent: Progress | None = None
    _sent_at: float = 0.0

    def report(self, progress: Progress) -> None:
        """Note progress, and send it if the last update was a while ago."""
        self._unsent = progress
        if time.monotonic() - self._sent_at >= _INTERVAL_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send the newest progress, if it has not been sent."""
        if (progress := self._unsent) is not None:
            self._unsent, self._sent_at = None, time.monotonic()
            self.send(progress)


def main() -> None:
    """Serve the process that started this one."""
    settings = settings_or_exit()
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group; the server decides what becomes of jobs
        signal.signal(number, signal.SIG_IGN)
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, lines), daemon=True).start()
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not come between the messages
    os.nice(_NICENESS)
    start_logging(settings, is_first=False)  # the server has warned of unknown variables
    worker = WorkerProcess(Runtime(settings), out)
    if not worker.get_ready():
        os._exit(1)
    while True:
        worker.obey(json.loads(lines.get()))


def _listen(stdin: BinaryIO, lines: queue.SimpleQueue[bytes]) -> None:
    """Take what the server says; when it says no more, this process has no reason to be."""
    for line in stdin:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
