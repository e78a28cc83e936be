"""Runs queued jobs: passes them to a backend, runs them again if their worker dies, and records how they ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from framepack.answer import Answer, failure, is_cancelled, is_failure
from framepack.errors import Cancelled, FramepackError, NotFound, Unavailable, public
from framepack.job_log import JobEnd, log_job_end, log_job_start
from framepack.jobs.backends.base import STOPPING, NotReady, WorkerLost, WorkItem
from framepack.jobs.records import JobRecord, State, now

if TYPE_CHECKING:
    from framepack.jobs.active import ActiveJob, ActiveJobs
    from framepack.jobs.callbacks import JobCallbacks
    from framepack.jobs.lane import Lane

log = logging.getLogger("framepack.rest")
job_log = logging.getLogger("framepack.jobs")

CANCELLED: Final = "The job was cancelled."

_MAX_DEATHS: Final = 3
_DEATH_PAUSES: Final = (2.0, 15.0)  # before the second and the third attempt
_MAX_ATTEMPTS: Final = 25
_FREE_ATTEMPTS: Final = 2  # a server may die that often during a job before the job has to wait
_MAX_PAUSE_SECONDS: Final = 600.0
_MAX_POSTPONE_SECONDS: Final = 60.0
_JUDGE_SECONDS: Final = 1.0  # a server that dies together with its worker does so within this time
_CLEAN_UP_SECONDS: Final = 5.0
_REMOTE_REPORT_SECONDS: Final = 5.0  # for a worker that was just told to stop to report that itself
_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0


class Runner:
    """Runs the jobs of every lane.

    Args:
        jobs: The active jobs of this server.
        lanes: The lanes, by name.
        lane_name: The name of the lane for an operation.
        callbacks: Keeps the callbacks of failed jobs that no worker has reported.
        on_event: Called with the record of every job that has started for the first time, or has ended.
    """

    def __init__(
        self,
        jobs: ActiveJobs,
        lanes: Mapping[str, Lane],
        lane_name: Callable[[str], str],
        callbacks: JobCallbacks,
        on_event: Callable[[JobRecord], None],
    ) -> None:
        self._jobs = jobs
        self._lanes = lanes
        self._lane_name = lane_name
        self._callbacks = callbacks
        self._on_event = on_event
        self._starters: list[asyncio.Task[None]] = []
        self._running: set[asyncio.Task[None]] = set()
        self._clean_ups: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    def lane_of(self, record: JobRecord) -> Lane:
        """The lane in which a job waits and runs."""
        return self._lanes.get(record.lane or "") or self._lanes[self._lane_name(record.operation)]

    def count_queued(self, lane: Lane) -> int:
        """The number of jobs that wait in a lane."""
        return sum(self.lane_of(record) is lane for record in self._jobs.in_state(State.QUEUED))

    def delay_of(self, job: ActiveJob) -> str | None:
        """Why an unfinished job waits for anything but its turn, as a sentence; None if it does not."""
        return self.lane_of(job.record).delay_of(job)

    def start(self) -> None:
        """Start to run jobs."""
        self._starters = [asyncio.create_task(self._start_jobs(lane)) for lane in self._lanes.values()]

    def add(self, job: ActiveJob) -> None:
        """Let a job wait for its turn. One whose servers died again and again lets others go first."""
        server_deaths = job.record.attempts - job.record.worker_deaths
        pause = 0.0
        if server_deaths > _FREE_ATTEMPTS:
            pause = min(_MAX_PAUSE_SECONDS, 10 * 2.0 ** (server_deaths - _FREE_ATTEMPTS))
            job.pause = f"The server died {server_deaths} times during this job; it starts again in {pause:.0f} s."
        self.lane_of(job.record).add(job, pause)

    async def stop(self, grace_seconds: float) -> None:
        """Start no more jobs, let running jobs end for a while, and leave unfinished jobs to the next server."""
        self._is_stopping = True
        for starter in self._starters:
            starter.cancel()
        await asyncio.gather(*self._starters, return_exceptions=True)
        attempts = [job.attempt for job in self._jobs.all() if job.attempt is not None]
        if attempts:
            await asyncio.wait(attempts, timeout=grace_seconds)
        for attempt in attempts:
            attempt.cancel(STOPPING)
        await asyncio.gather(*self._running)
        for lane in self._lanes.values():
            await lane.backend.stop()  # before the jobs are released: no job may run on two servers
        for job in self._jobs.all():
            if not job.record.state.is_final and not job.record.is_here:
                await self._release(job)
        await self._finish_clean_ups()

    async def _finish_clean_ups(self) -> None:
        if self._clean_ups:
            _, unfinished = await asyncio.wait(self._clean_ups, timeout=_CLEAN_UP_SECONDS)
            for each in unfinished:  # the next server does it
                each.cancel()

    async def cancel(self, job: ActiveJob, reason: str = CANCELLED) -> None:
        """Cancel a job, and wait until it has ended in any way or the server stops."""
        if not job.is_cancelled and not job.record.state.is_final:
            job.is_cancelled = True
            job.cancel_reason = reason
            if job.attempt is None:
                await self._end_unreported(job, Cancelled(reason))
            else:
                job.attempt.cancel()
        while not (job.record.state.is_final or self._jobs.closed.is_set()):
            await job.changed.wait()

    def run_here(self, job: ActiveJob, work: Callable[[], Awaitable[Answer]]) -> None:
        """Run ``work``, which is the whole job, in this process, and record its answer."""
        task = asyncio.create_task(self._run_here(job, work))
        self._clean_ups.add(task)
        task.add_done_callback(self._clean_ups.discard)

    async def _run_here(self, job: ActiveJob, work: Callable[[], Awaitable[Answer]]) -> None:
        try:
            answer = await work()
        except Exception as error:
            known = public(error)
            if known is not error:
                log.exception("a request failed unexpectedly", extra={"job_id": job.record.id})
            answer = failure(known)
        await self._end(job, answer, callback_pending=False)

    async def end_abandoned(self, record: JobRecord) -> None:
        """Record the end of a job that a server ran in its own process, in which it has died."""
        error = Unavailable("The server died during this request; send the request again.")
        await self._end(self._jobs.add(record), failure(error), callback_pending=False)

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

    async def _start_jobs(self, lane: Lane) -> None:
        """Start the jobs of a lane, each as soon as it may start."""
        while True:
            job = await lane.take()
            job.attempt = asyncio.create_task(self._run_attempt(lane, job))
            running = asyncio.create_task(self._run_job(lane, job, job.attempt))
            self._running.add(running)
            running.add_done_callback(self._running.discard)

    async def _run_job(self, lane: Lane, job: ActiveJob, attempt: asyncio.Task[Answer]) -> None:
        """Wait for an attempt, and record the end of the job or let it wait for the next attempt. Raises nothing."""
        await asyncio.wait([attempt])
        try:
            await self._handle_outcome(lane, job, attempt)
        except Exception:
            log.exception("the end of a job could not be handled", extra={"job_id": job.record.id})
        finally:
            lane.release(job)

    async def _handle_outcome(self, lane: Lane, job: ActiveJob, attempt: asyncio.Task[Answer]) -> None:
        error = None if attempt.cancelled() else attempt.exception()
        if isinstance(error, WorkerLost) and not (job.is_cancelled or self._is_stopping):
            await asyncio.sleep(_JUDGE_SECONDS)
        if attempt.cancelled() or isinstance(error, (WorkerLost, NotReady)):
            if job.is_cancelled:
                await self._end_unreported(job, Cancelled(job.cancel_reason))
            elif isinstance(error, WorkerLost) and not self._is_stopping:
                await self._retry(lane, job, error)
            elif isinstance(error, NotReady) and not self._is_stopping:
                await self._postpone(lane, job, error)
        elif error is None:
            await self._end_answered(job, attempt.result())
        else:
            if not isinstance(error, FramepackError):
                log.error("a job failed unexpectedly", exc_info=error, extra={"job_id": job.record.id})
            known = public(error) if isinstance(error, Exception) else FramepackError()
            await self._end_unreported(job, known)

    async def _run_attempt(self, lane: Lane, job: ActiveJob) -> Answer:
        """Pass a job to its backend and return the answer.

        Raises:
            WorkerLost, NotReady: the job must be passed again.
            FramepackError: no worker could answer.
            asyncio.CancelledError: the job was cancelled, or the server stops.
        """
        is_first = job.record.started is None
        attempts = job.record.attempts + int(job.record.remote_id is None)
        if attempts > _MAX_ATTEMPTS:
            raise Unavailable(f"The job was started {_MAX_ATTEMPTS} times, and its server died every time.")
        try:
            await self._jobs.save(job, job.record.with_state(State.RUNNING, attempts=attempts, progress=None))
        except FramepackError as error:
            raise NotReady(error.message) from error
        log_job_start(job.record.id, job.record.operation, attempts)
        if is_first:
            self._on_event(job.record)
        answer = await lane.backend.run(self._work_item(job))
        job.postponed = 0
        return answer

    async def _retry(self, lane: Lane, job: ActiveJob, lost: WorkerLost) -> None:
        """Let a job wait for its next attempt after its worker died, or record that it was the last attempt."""
        job.runs_alone = job.runs_alone or lost.suspects > 1
        deaths = job.record.worker_deaths + int(lost.suspects == 1)
        record = job.record.with_changes(worker_deaths=deaths, remote_id=None)
        if deaths >= _MAX_DEATHS:
            job.update(record)
            await self._end_unreported(job, Unavailable(f"The worker died {deaths} times while it ran this job."))
            return
        pause = _DEATH_PAUSES[min(deaths, len(_DEATH_PAUSES)) - 1] if lost.suspects == 1 else 0.0
        reason = f"The worker died while it ran this job; the job starts again in {pause:.0f} s."
        await self._wait_again(lane, job, record, reason, pause)

    async def _postpone(self, lane: Lane, job: ActiveJob, error: NotReady) -> None:
        """Let a job wait that could not be started. This is no attempt."""
        pause = min(_MAX_POSTPONE_SECONDS, 2.0**job.postponed)
        job.postponed += 1
        attempts = max(0, job.record.attempts - int(job.record.state is State.RUNNING))
        await self._wait_again(lane, job, job.record.with_changes(attempts=attempts), error.reason, pause)

    async def _wait_again(self, lane: Lane, job: ActiveJob, record: JobRecord, reason: str, pause: float) -> None:
        record = record.with_changes(state=State.QUEUED, progress=None)
        extra = {
            "job_id": record.id,
            "operation": record.operation,
            "state": record.state,
            "worker_deaths": record.worker_deaths,
        }
        job_log.warning("job %s: %s waits: %s", record.id, record.operation, reason, extra=extra)
        job.pause, job.attempt = reason, None
        job.update(record)
        with contextlib.suppress(FramepackError):  # it is written again when the job starts
            await self._jobs.save(job, record)
        if not job.is_cancelled:
            lane.add(job, pause)

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

    async def _end_answered(self, job: ActiveJob, answer: Answer) -> None:
        """Record the end of a job whose worker has answered."""
        if job.is_cancelled and is_cancelled(answer):  # a worker does not wait for the store to report this
            await self._end_unreported(job, Cancelled(answer["error"]))
        else:
            await self._end(job, answer, callback_pending=False)

    async def _end_unreported(self, job: ActiveJob, error: FramepackError) -> None:
        """Record the end of a job whose worker did not answer, unless it has put an answer into the outbox before."""
        answer = await asyncio.to_thread(self._callbacks.answer_of, job.record)
        is_failed = answer is None
        await self._end(job, failure(error) if answer is None else answer, callback_pending=is_failed)

    async def _end(self, job: ActiveJob, answer: Answer, *, callback_pending: bool) -> None:
        """Record how a job ended, before anybody is notified."""
        job.answer = answer
        code = answer["code"] if is_failure(answer) else None
        record = job.record.with_state(_final_state(answer), callback_pending=callback_pending, code=code)
        log_job_end(self._job_end(record, answer))
        await self.save_end(job, record)
        self._on_event(record)
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
            device=(self.lane_of(record).backend.device or {}).get("device"),
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
        if record.callback_pending and record.remote_id is not None:
            await asyncio.sleep(_REMOTE_REPORT_SECONDS)
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
