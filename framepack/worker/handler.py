"""The handler for the RunPod SDK: a coroutine that runs each job in a thread, so that it can be cancelled."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from framepack.answer import Answer, failure, is_inline
from framepack.errors import InvalidField
from framepack.job import Job, JobInput, Progress
from framepack.job_log import JobEnd, log_job_end, log_job_start
from framepack.worker.payload import limit_bytes, within_limit
from framepack.worker.progress import ProgressSender

if TYPE_CHECKING:
    from framepack.runtime import Runtime
    from framepack.worker.shutdown import Shutdown

log = logging.getLogger("framepack.worker")

_LOCAL_IDS: Final = frozenset({"local", "local_test"})

Handler = Callable[[dict[str, Any]], Awaitable[Answer]]
SendUpdate = Callable[[dict[str, Any], dict[str, Any]], Awaitable[None]]
"""Sends (job, update) to the platform."""


def make_handler(runtime: Runtime, send_update: SendUpdate, shutdown: Shutdown | None = None) -> Handler:
    """The coroutine function for ``runpod.serverless.start``. ``shutdown`` interrupts its jobs."""

    async def handle(job: dict[str, Any]) -> Answer:
        job_id = _unique_id(str(job.get("id", "local")))
        s3_config = job.get("s3Config")
        if s3_config is not None and not isinstance(s3_config, dict):
            return failure(InvalidField("s3Config must be an object."))
        if shutdown is not None:
            await shutdown.hold_if_unfit()
        job_input = JobInput(job.get("input"), s3_config)
        async with ProgressSender(lambda update: send_update(job, update)) as sender:
            running = Job(job_id, sender.report, on_waiting=sender.waiting)
            if shutdown is not None:
                shutdown.add(running.interrupt)
                running.on_device_lost = partial(_call_soon, asyncio.get_running_loop(), shutdown.end_unfit)
            answer = await _run_in_thread(runtime, job_input, running)
        if shutdown is not None:
            shutdown.remove()
        return within_limit(answer, limit_bytes(job_id))

    return handle


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """Have a loop call something; safe from any thread."""
    loop.call_soon_threadsafe(callback)


def _unique_id(job_id: str) -> str:
    """The id of a job: the platform's, or a new one where the SDK gives every job the same."""
    return f"{job_id}-{uuid4().hex[:12]}" if job_id in _LOCAL_IDS else job_id


async def _run_in_thread(runtime: Runtime, job_input: JobInput, job: Job) -> Answer:
    """Run a job in a thread. If it is cancelled, wait until the thread has released everything."""
    work = asyncio.ensure_future(asyncio.to_thread(_run_logged, runtime, job_input, job))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        job.cancel()
        log.info("job %s: stopping", job.id)
        await asyncio.wait([work])
        raise


@dataclass(slots=True)
class _LatestProgress:
    """Passes progress on and keeps the latest."""

    report: Callable[[Progress], None]
    progress: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        self.progress = progress
        self.report(progress)


def _run_logged(runtime: Runtime, job_input: JobInput, job: Job) -> Answer:
    """Run a job and write its two log lines."""
    latest = job.report = _LatestProgress(job.report)
    operation = runtime.dispatcher.operation_name(job_input)
    log_job_start(job.id, operation)
    started = time.monotonic()
    answer = runtime.run(job_input, job)
    progress = latest.progress
    log_job_end(
        JobEnd(
            job.id,
            operation,
            answer,
            run_seconds=time.monotonic() - started,
            frames=progress.done if progress is not None and progress.unit == "frames" else None,
            device=runtime.models.device_in_use,
        )
    )
    return answer


def printable(answer: Answer) -> str:
    """The answer as indented JSON, with inline files shortened."""

    def shorten(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: _head(each) if is_inline(key) else shorten(each) for key, each in value.items()}
        return [shorten(each) for each in value] if isinstance(value, list) else value

    return json.dumps(shorten(answer), indent=2, ensure_ascii=False)


def _head(text: object) -> str:
    return f"{str(text)[:16]}... ({len(str(text)):,} characters)"
