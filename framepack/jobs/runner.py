"""Runs queued jobs: passes them to the backend, retries jobs whose worker died, and records how they ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from framepack.answer import Answer, failure, is_cancelled, is_failure
from framepack.errors import Cancelled, FramepackError, NotFound, Unavailable, public
from framepack.job_log import JobEnd, log_job_end, log_job_start
from framepack.jobs.active import ActiveJob, ActiveJobs
from framepack.jobs.backends.base import STOPPING, Backend, WorkerLost, WorkItem
from framepack.jobs.records import JobRecord, State, now

if TYPE_CHECKING:
    from framepack.jobs.callbacks import JobCallbacks

log = logging.getLogger("framepack.rest")

CANCELLED: Final = "The job was cancelled."

_MAX_ATTEMPTS: Final = 2
_CLEAN_UP_SECONDS: Final = 5.0
_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0


class Runner:
    """Runs as many jobs at once as the backend has slots, in the order in which they were added.

    Args:
        jobs: The active jobs of this server.
        backend: Runs the jobs.
        callbacks: Keeps the callbacks of failed jobs that no worker has reported.
        on_ended: Called with the record of every job that has ended.
    """

    def __init__(
        self,
        jobs: ActiveJobs,
        backend: Backend,
        callbacks: JobCallbacks,
        on_ended: Callable[[JobRecord], None],
    ) -> None:
        self._jobs = jobs
        self._backend = backend
        self._callbacks = callbacks
        self._on_ended = on_ended
        self._queue: asyncio.Queue[ActiveJob | None] = asyncio.Queue()
        self._slots: list[asyncio.Task[None]] = []
        self._clean_ups: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    def start(self) -> None:
        """Start to run jobs."""
        self._slots = [asyncio.create_task(self._run_slot()) for _ in range(self._backend.slots)]

    def add(self, job: ActiveJob) -> None:
        """Append a job to the queue."""
        self._queue.put_nowait(job)

    async def stop(self, grace_seconds: float) -> None:
        """Start no more jobs, let running jobs end for a while, and leave unfinished jobs to the next server."""
        self._is_stopping = True
        for _ in self._slots:
            self._queue.put_nowait(None)
        attempts = [job.attempt for job in self._jobs.all() if job.attempt is not None]
        if attempts:
            await asyncio.wait(attempts, timeout=grace_seconds)
        for attempt in attempts:
            attempt.cancel(STOPPING)
        await asyncio.gather(*self._slots)
        await self._backend.stop()  # before the jobs are released: no job may run on two servers
        for job in self._jobs.all():
            if not job.record.state.is_final:
                await self._release(job)
        if self._clean_ups:
            _, unfinished = await asyncio.wait(self._clean_ups, timeout=_CLEAN_UP_SECONDS)
            for each in unfinished:  # the next server does it
                each.cancel()

    async def cancel(self, job: ActiveJob) -> None:
        """Cancel a job, and wait until it has ended in any way or the server stops."""
        if not job.is_cancelled and not job.record.state.is_final:
            job.is_cancelled = True
            if job.attempt is None:
                await self._end(job, failure(Cancelled(CANCELLED)), callback_pending=True)
            else:
                job.attempt.cancel()
        while not (job.record.state.is_final or self._jobs.closed.is_set()):
            await job.changed.wait()

    async def save_end(self, job: ActiveJob, record: JobRecord) -> None:
        """Write the end of a job to the store. If that fails, the job stays unsaved and is written later."""
        try:
            await self._jobs.save(job, record, answer=job.answer)
        except FramepackError as error:
            log.warning(
                "the end of a job could not be stored yet: %s",
                error.message,
                extra={"job_id": record.id, "code": error.code},
            )
            job.is_saved = False
            job.update(record)
        else:
            job.is_saved = True
            self.clean_up(record)

    def clean_up(self, record: JobRecord) -> None:
        """Put the pending callback of an ended job into the outbox and delete its input, in the background."""
        task = asyncio.create_task(self._clean_up(record))
        self._clean_ups.add(task)
        task.add_done_callback(self._clean_ups.discard)

    async def _run_slot(self) -> None:
        """Run one job after another."""
        while not self._is_stopping:
            job = await self._queue.get()
            if job is None or self._is_stopping:
                return
            if not job.is_cancelled:
                await self._run_job(job)

    async def _run_job(self, job: ActiveJob) -> None:
        """Run a job to its end, whatever that is. Raises nothing."""
        attempt = job.attempt = asyncio.create_task(self._run_attempts(job))
        await asyncio.wait([attempt])
        if attempt.cancelled():
            if job.is_cancelled:
                await self._end_unreported(job, Cancelled(CANCELLED))
        elif (error := attempt.exception()) is None:
            await self._end(job, attempt.result(), callback_pending=False)
        else:
            if not isinstance(error, FramepackError):
                log.error("a job failed unexpectedly", exc_info=error, extra={"job_id": job.record.id})
            known = public(error) if isinstance(error, Exception) else FramepackError()
            await self._end_unreported(job, known)

    async def _end_unreported(self, job: ActiveJob, error: FramepackError) -> None:
        """Record the end of a job whose worker did not answer, unless it has put an answer into the outbox before."""
        answer = await asyncio.to_thread(self._callbacks.answer_of, job.record)
        is_failed = answer is None
        await self._end(job, failure(error) if answer is None else answer, callback_pending=is_failed)

    async def _run_attempts(self, job: ActiveJob) -> Answer:
        """Pass a job to the backend, again if its worker dies, and return the answer.

        Raises:
            FramepackError: no worker could answer, or every worker died.
            asyncio.CancelledError: the job was cancelled, or the server stops.
        """
        while job.record.attempts < _MAX_ATTEMPTS or job.record.remote_id is not None:
            attempts = job.record.attempts + 1
            await self._jobs.save(job, job.record.with_state(State.RUNNING, attempts=attempts, progress=None))
            log_job_start(job.record.id, job.record.operation, attempts)
            try:
                return await self._backend.run(self._work_item(job))
            except WorkerLost:
                if self._is_stopping or job.is_cancelled:
                    raise asyncio.CancelledError from None
                log.warning("the worker of a job died", extra={"job_id": job.record.id})
                job.update(job.record.with_changes(remote_id=None))
        raise Unavailable("The worker died twice while it was running this job.")

    def _work_item(self, job: ActiveJob) -> WorkItem:
        record = job.record

        async def on_sent(remote_id: str) -> None:
            await self._jobs.save(job, job.record.with_changes(remote_id=remote_id))

        def on_progress(update: dict[str, Any]) -> None:
            if job.record.state is State.RUNNING:
                job.update(job.record.with_changes(progress=update))

        def read_fields() -> dict[str, Any]:
            return self._jobs.records.read_input(record.id)

        return WorkItem(record.id, record.operation, read_fields, record.remote_id, on_progress, on_sent)

    async def _end(self, job: ActiveJob, answer: Answer, *, callback_pending: bool) -> None:
        """Record how a job ended, before anybody is notified."""
        job.answer = answer
        record = job.record.with_state(_final_state(answer), callback_pending=callback_pending)
        log_job_end(self._job_end(record, answer))
        await self.save_end(job, record)
        self._on_ended(record)
        self._jobs.drop_ended()

    def _job_end(self, record: JobRecord, answer: Answer) -> JobEnd:
        started, ended = record.started, record.ended or now()
        return JobEnd(
            record.id,
            record.operation,
            answer,
            run_seconds=None if started is None else (ended - started).total_seconds(),
            queued_seconds=((started or ended) - record.created).total_seconds(),
            frames=(record.progress or {}).get("frames_done"),
            attempts=record.attempts,
            device=(self._backend.device or {}).get("device"),
        )

    async def _release(self, job: ActiveJob) -> None:
        """Let another server resume a job immediately. The interrupted attempt does not count."""
        was_started = job.record.state is State.RUNNING and job.record.remote_id is None
        attempts = job.record.attempts - int(was_started)
        record = job.record.with_changes(state=State.QUEUED, owner=None, attempts=attempts, progress=None)
        with contextlib.suppress(FramepackError):  # other servers notice the missing heartbeat
            await self._jobs.save(job, record)

    async def _clean_up(self, record: JobRecord) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await asyncio.to_thread(self._clean_up_now, record)
            except NotFound:  # another server has done it
                return
            except FramepackError as error:
                log.warning("the end of a job is not cleaned up yet: %s", error.message, extra={"job_id": record.id})
            else:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _clean_up_now(self, record: JobRecord) -> None:
        records = self._jobs.records
        if record.callback_pending:
            self._callbacks.add(record, records.read_input(record.id), records.read_result(record.id))
            records.save(record.with_changes(callback_pending=False))
        records.delete_input(record.id)


def _final_state(answer: Answer) -> State:
    if not is_failure(answer):
        return State.COMPLETED
    return State.CANCELLED if is_cancelled(answer) else State.FAILED
