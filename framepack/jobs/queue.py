"""The job queue of a REST server: `JobQueue`, with five verbs. See ``docs/jobs.md``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from framepack.errors import BadRequest, Busy, Conflict, FramepackError, Unavailable
from framepack.jobs.active import ActiveJob, ActiveJobs
from framepack.jobs.backends.base import Backend, Readiness, why_not_ready
from framepack.jobs.heartbeat import HEARTBEAT_SECONDS, Heartbeat
from framepack.jobs.lane import Lane
from framepack.jobs.records import JobRecord, JobRecords, State, now
from framepack.jobs.runner import CANCELLED, Runner
from framepack.storage.answers import with_new_links

if TYPE_CHECKING:
    from framepack.answer import Answer
    from framepack.jobs.callbacks import JobCallbacks

log = logging.getLogger("framepack.rest")

_CLAIM_SECONDS: Final = 2.0
_EXPIRY_SECONDS: Final = 600.0
_START_SECONDS: Final = 5.0  # how long a new job may wait for a worker that is starting


_STOPPING: Final = "The server is stopping; try again in a moment."


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the jobs of one server.

    Attributes:
        queued: Maximum number of waiting jobs of each lane.
        retention: How long a job is remembered after its end.
    """

    queued: int
    retention: timedelta


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job at one moment.

    Attributes:
        record: Its record.
        result: Its answer or error envelope; None until it has ended.
        waiting_for: Why it waits for anything but its turn, as a sentence; None if it does not.
    """

    record: JobRecord
    result: Answer | None = None
    waiting_for: str | None = None


class JobQueue:
    """A durable job queue with five verbs: submit, read, list, follow and cancel.

    `start` and `stop` belong to the server's life: `start` also resumes the jobs that dead servers left behind.

    Args:
        records: The job records in the store.
        backends: Run the jobs, by name of the lane.
        lane_name: The name of the lane for an operation.
        callbacks: Keeps the callbacks of failed jobs that no worker has reported.
        limits: How many jobs may wait, and how long ended jobs are remembered.
        on_event: Called with the record of every job that has started for the first time, or has ended.
    """

    def __init__(
        self,
        records: JobRecords,
        backends: Mapping[str, Backend],
        lane_name: Callable[[str], str],
        callbacks: JobCallbacks,
        limits: Limits,
        on_event: Callable[[JobRecord], None],
    ) -> None:
        self._records = records

        def is_guest(job: ActiveJob) -> bool:
            return job.record.lane not in {None, lane_name(job.record.operation)}

        self._lanes = {name: Lane(backend, is_guest) for name, backend in backends.items()}
        self._limits = limits
        self._active = ActiveJobs(records)
        self._runner = Runner(self._active, self._lanes, lane_name, callbacks, on_event)
        self._heartbeat = Heartbeat(records.storage)
        self._stopping = asyncio.Event()
        self._maintenance: asyncio.Task[None] | None = None
        self._expired_at = 0.0

    @property
    def queued(self) -> int:
        """The number of waiting jobs."""
        return len(self._active.in_state(State.QUEUED))

    @property
    def running(self) -> int:
        """The number of running jobs."""
        return len(self._active.in_state(State.RUNNING))

    @property
    def oldest_queued_seconds(self) -> float:
        """The age of the oldest waiting job; 0 if none waits."""
        created = [record.created for record in self._active.in_state(State.QUEUED)]
        return max(0.0, (now() - min(created)).total_seconds()) if created else 0.0

    @property
    def is_stopping(self) -> bool:
        """Whether new jobs are refused because the server stops."""
        return self._stopping.is_set()

    async def start(self) -> None:
        """Start to run jobs. Jobs of servers that no longer run come first."""
        for lane in self._lanes.values():
            await lane.backend.start()
        await self._maintain()
        self._runner.start()
        self._maintenance = asyncio.create_task(self._maintain_regularly())

    async def stop(self, grace_seconds: float) -> None:
        """Refuse new jobs, let running jobs end for a while, and leave unfinished jobs to the next server."""
        if self._stopping.is_set():
            await self._active.closed.wait()
            return
        self._stopping.set()
        await self._runner.stop(grace_seconds)
        if self._maintenance is not None:
            await self._maintenance
        with contextlib.suppress(FramepackError):
            await asyncio.to_thread(self._heartbeat.remove)
        self._active.close()

    async def submit(
        self,
        operation: str,
        fields: dict[str, Any],
        job_id: str,
        request: str | None = None,
        *,
        lane: str | None = None,
    ) -> JobRecord:
        """Store a new job. After this returns, the job will be run even if this process dies.

        Args:
            operation: Name of the operation.
            fields: The operation's fields, already validated.
            job_id: The job's id.
            request: Digest of the request. If given, an existing job of this id is returned instead of a new one.
            lane: Name of the lane to run it in; None: that of its operation.

        Raises:
            Busy: the queue is full.
            Unavailable: the server is stopping, or no worker can run the job now.
            BadRequest: the existing job of this id belongs to another request.
        """
        if (known := await self._known(job_id, request)) is not None:
            return known
        owner = self._heartbeat.server_id
        record = JobRecord(
            id=job_id,
            operation=operation,
            state=State.QUEUED,
            created=now(),
            owner=owner,
            request=request,
            lane=lane,
        )
        await self._check_ready(self._runner.lane_of(record))
        if (known := await self._known(job_id, request)) is not None:  # submitted in the meantime
            return known
        if self.is_stopping:
            raise Unavailable(_STOPPING)
        if self._runner.count_queued(self._runner.lane_of(record)) >= self._limits.queued:
            raise Busy(f"The queue is full ({self._limits.queued} jobs are waiting); try again later.")
        job = await self._active.create(record, fields, self._heartbeat.is_dead)
        if not isinstance(job, ActiveJob):  # another server was faster
            return _of_request(job, request)
        self._runner.add(job)
        return record

    async def run_once(
        self, operation: str, job_id: str, request: str, work: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """Run ``work`` in this process and remember its answer, or return the answer to the same request from before.

        If this process dies meanwhile, another server or the next one records that; a repeated request runs again.

        Args:
            operation: What ``work`` does, as ``GET /jobs`` shows it.
            job_id: The id under which the answer is remembered.
            request: Digest of the request.
            work: Returns the answer.

        Raises:
            BadRequest: the existing answer of this id belongs to another request.
            Unavailable: the server is stopping.
        """
        if await self._known(job_id, request) is None:
            if self.is_stopping:
                raise Unavailable(_STOPPING)
            owner = self._heartbeat.server_id
            record = JobRecord(
                id=job_id, operation=operation, state=State.QUEUED, created=now(), owner=owner, request=request
            ).with_state(State.RUNNING, attempts=1, is_here=True)
            job = await self._active.create(record, {}, self._heartbeat.is_dead)
            if isinstance(job, ActiveJob):
                self._runner.run_here(job, work)
            else:  # another server was faster
                _of_request(job, request)
        async for status in self.follow(job_id, inline_files=True):
            if status.result is not None:
                return status.result
        raise Unavailable(_STOPPING)

    async def read(self, job_id: str) -> JobStatus:
        """The status of a job, without inline files.

        Raises:
            NotFound: there is no such job.
        """
        return await self._status(await self._active.read(job_id))

    async def list_newest(self, limit: int) -> tuple[list[JobRecord], int]:
        """The newest records, at most ``limit``, and the number of all records."""
        return await self._active.newest(limit)

    async def follow(self, job_id: str, *, inline_files: bool = False) -> AsyncIterator[JobStatus]:
        """Yield the status of a job now and after every change, until it has ended or the server stops.

        Args:
            job_id: The job's id.
            inline_files: Whether the result has its inline files, which may have to be read from the store.

        Raises:
            NotFound: there is no such job.
        """
        job = self._active.get(job_id)
        has_ended_before = job is not None and job.record.state.is_final
        async for record in self._active.follow(job_id):
            if inline_files and record.state.is_final and job is not None and (answer := job.answer) is not None:
                yield JobStatus(record, await self._with_new_links(answer) if has_ended_before else answer)
            else:
                yield await self._status(record, inline_files=inline_files)

    async def cancel(self, job_id: str, reason: str = CANCELLED) -> JobStatus:
        """Cancel a job. A waiting job never starts; a running job stops within a frame.

        Args:
            job_id: The job's id.
            reason: The reason, one sentence.

        Raises:
            NotFound: there is no such job.
            Conflict: it has already ended, or another server manages it.
        """
        job = self._active.get(job_id)
        if job is None:
            record = await self._active.read(job_id)
            if not record.state.is_final:
                raise Conflict("This job is managed by another server.")
        elif job.record.state.is_final:
            record = job.record
        elif job.record.is_here:
            raise Conflict("This job cannot be cancelled.")
        else:
            await self._runner.cancel(job, reason)
            record = job.record
            if record.state is State.CANCELLED:
                return await self._status(record)
        if record.state.is_final:
            raise Conflict(f"The job has already ended: {record.state}.")
        raise Unavailable(_STOPPING)

    async def _known(self, job_id: str, request: str | None) -> JobRecord | None:
        """The job that a repeated request has started; None if the request is new or runs again.

        Raises:
            BadRequest: the existing job of this id belongs to another request.
        """
        known = None if request is None else await self._active.find(job_id)
        return None if known is None or _of_request(known, request).may_run_again else known

    async def _check_ready(self, lane: Lane) -> None:
        """Wait a moment for a worker that is starting, so that no job is accepted that cannot be run soon.

        Raises:
            Unavailable: there is no worker that can run jobs.
        """
        if lane.backend.readiness is Readiness.STARTING:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(lane.backend.wait_until_ready(), _START_SECONDS)
        if (reason := why_not_ready(lane.backend)) is not None:
            raise Unavailable(f"No jobs are accepted now; try again later. {reason}")

    async def _status(self, record: JobRecord, *, inline_files: bool = False) -> JobStatus:
        if record.state.is_final:
            return JobStatus(record, await self._active.result(record, inline_files=inline_files))
        job = self._active.get(record.id)
        is_passed_on = job is not None and not job.record.is_here
        return JobStatus(record, waiting_for=self._runner.delay_of(job) if job and is_passed_on else None)

    async def _with_new_links(self, answer: Answer) -> Answer:
        """An answer from before, whose links may have expired."""
        found: Answer = await asyncio.to_thread(with_new_links, answer, self._records.storage)
        return found

    async def _maintain_regularly(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), HEARTBEAT_SECONDS)
                return
            await self._maintain()

    async def _maintain(self) -> None:
        """Renew the heartbeat, resume abandoned jobs, retry failed writes, and delete expired records."""
        try:
            await asyncio.to_thread(self._heartbeat.renew)
            await self._resume_abandoned()
            for job in self._active.all():
                if not job.is_saved:
                    await self._runner.save_end(job, job.record)
            if time.monotonic() - self._expired_at > _EXPIRY_SECONDS or not self._expired_at:
                await asyncio.to_thread(self._remove_expired)
                self._expired_at = time.monotonic()
        except FramepackError as error:  # the store may be unavailable for a while
            log.warning("job maintenance failed: %s", error.message, extra={"code": error.code})
        except Exception:
            log.exception("job maintenance failed")

    def _remove_expired(self) -> None:
        self._records.expire(now() - self._limits.retention)
        self._heartbeat.remove_expired()

    async def _resume_abandoned(self) -> None:
        """Queue the jobs that no running server manages, the oldest first."""
        for record in await asyncio.to_thread(self._claim_abandoned):
            if self._active.get(record.id) is not None:
                continue
            if record.state.is_final:
                self._runner.clean_up(record)
            elif record.is_here:
                await self._runner.end_abandoned(record)
            else:
                log.info("an abandoned job is resumed", extra={"job_id": record.id})
                self._runner.add(self._active.add(record.with_changes(state=State.QUEUED, progress=None)))

    def _claim_abandoned(self) -> list[JobRecord]:
        """Make this server the owner of abandoned jobs, and return them.

        The store has no locks. Two servers that find the same job both write themselves into its record, and the
        later write wins. So if there are other servers, each one waits until all writes are visible, and then keeps
        only the jobs whose record still names it.
        """
        unfinished = [record for record in self._records.unfinished() if record.owner != self._heartbeat.server_id]
        dead = {owner: self._heartbeat.is_dead(owner) for owner in {record.owner for record in unfinished}}
        abandoned = [record for record in unfinished if dead[record.owner]]
        ended = [record for record in abandoned if record.state.is_final and not record.callback_pending]
        claimed = [
            record.with_changes(owner=self._heartbeat.server_id) for record in abandoned if record not in ended
        ]
        for record in claimed:
            self._records.save(record)
        if claimed and not self._heartbeat.is_only_server():
            time.sleep(_CLAIM_SECONDS)
            ours = {record.id for record in self._records.unfinished() if record.owner == self._heartbeat.server_id}
            claimed = [record for record in claimed if record.id in ours]
        return ended + claimed  # of ended jobs only the input is left to delete


def _of_request(record: JobRecord, request: str | None) -> JobRecord:
    """``record``, if it is of this request.

    Raises:
        BadRequest: it belongs to another one.
    """
    if record.request != request:
        raise BadRequest("This Idempotency-Key was used for another request; use a new key for a new request.")
    return record
