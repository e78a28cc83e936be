"""The active jobs of this server, in memory, and how their records get into the store.

Everything here runs in one event loop, so code between two awaits is atomic. The store is accessed in threads,
and for each job by one thread at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from framepack.answer import Answer, failure, without_inline
from framepack.errors import NotFound

if TYPE_CHECKING:
    from framepack.jobs.records import JobRecord, JobRecords, State

T = TypeVar("T")

_CACHED_ANSWERS: Final = 8  # of ended jobs, with inline files, for clients that are about to ask
_POLL_SECONDS: Final = 1.0


@dataclass(slots=True, eq=False)
class ActiveJob:
    """A job that this server manages.

    Attributes:
        record: Its newest record.
        changed: Set, and replaced by a new event, each time the record changes.
        write_lock: Held while the record is written to the store.
        answer: Its answer, with inline files; None until it has ended.
        attempt: The task of the current attempt; None while the job waits.
        is_cancelled: Whether a client has cancelled it.
        cancel_reason: Why it was cancelled, as a sentence.
        runs_alone: Whether it must be the only job of its worker, because a worker died that ran it among others.
        postponed: How often in a row it could not be started.
        pause: Why it waits, as a sentence, while it may not be started yet; None otherwise.
        is_saved: Whether the store has its newest record. False if the end of the job could not be written yet.
    """

    record: JobRecord
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    write_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    answer: Answer | None = None
    attempt: asyncio.Task[Answer] | None = None
    is_cancelled: bool = False
    cancel_reason: str = ""
    runs_alone: bool = False
    postponed: int = 0
    pause: str | None = None
    is_saved: bool = True

    def update(self, record: JobRecord) -> None:
        """Replace the record and notify followers."""
        self.record = record
        self.notify()

    def notify(self) -> None:
        """Wake up everything that waits for ``changed``."""
        self.changed.set()
        self.changed = asyncio.Event()


class ActiveJobs:
    """The jobs of this server by id. Reads fall back to the store, which has the jobs of all servers.

    Args:
        records: The job records in the store.
    """

    def __init__(self, records: JobRecords) -> None:
        self.records = records
        self.closed = asyncio.Event()
        self._jobs: dict[str, ActiveJob] = {}
        self._new: dict[str, ActiveJob] = {}  # being written to the store, which may have a job of this id already

    def get(self, job_id: str) -> ActiveJob | None:
        """A job of this server; None if it has none of this id."""
        return self._jobs.get(job_id)

    def add(self, record: JobRecord) -> ActiveJob:
        """Start to manage a job."""
        job = self._jobs[record.id] = ActiveJob(record)
        return job

    async def create(
        self, record: JobRecord, fields: dict[str, Any], is_gone: Callable[[str], bool]
    ) -> ActiveJob | JobRecord:
        """Write a new job to the store and start to manage it; see `JobRecords.create`.

        Returns:
            The new job, or the record of the job that has this id already.
        """
        new = self._new[record.id] = ActiveJob(record)
        try:
            stored = await in_thread(lambda: self.records.create(record, fields, is_gone))
        finally:
            del self._new[record.id]
            new.notify()
        return self.add(record) if stored is record else stored

    def all(self) -> list[ActiveJob]:
        """All jobs of this server."""
        return list(self._jobs.values())

    def in_state(self, state: State) -> list[JobRecord]:
        """The records of this server's jobs in a state, including jobs that are being written to the store."""
        jobs = (*self._jobs.values(), *self._new.values())
        return [job.record for job in jobs if job.record.state is state]

    def drop_ended(self) -> None:
        """Drop ended jobs from memory, except the newest: the store has them. Another server may run some again."""
        ended = [job for job in self._jobs.values() if job.record.state.is_final and job.is_saved]
        for job in ended:
            if job.record.may_run_again or job not in ended[-_CACHED_ANSWERS:]:
                del self._jobs[job.record.id]

    def close(self) -> None:
        """Make every `follow` return."""
        self.closed.set()
        for job in self._jobs.values():
            job.notify()

    async def save(self, job: ActiveJob, record: JobRecord, *, answer: Answer | None = None) -> None:
        """Write a record to the store, with the job's answer if there is one, then notify followers."""

        def write() -> None:
            if answer is not None:
                self.records.save_result(record.id, answer)
            self.records.save(record)

        async with job.write_lock:
            await in_thread(write)
            job.update(record)

    async def find(self, job_id: str) -> JobRecord | None:
        """The newest record of a job; None if there is no such job.

        Waits while the record of a new job is being written, so that a job which could not be written is not found.
        """
        while True:
            if (new := self._new.get(job_id)) is not None:
                await new.changed.wait()
            elif (job := self._jobs.get(job_id)) is not None:
                return job.record
            else:
                with contextlib.suppress(NotFound):
                    return await asyncio.to_thread(self.records.read, job_id)
                if job_id not in self._new and job_id not in self._jobs:  # else it was submitted in the meantime
                    return None

    async def read(self, job_id: str) -> JobRecord:
        """The newest record of a job.

        Raises:
            NotFound: there is no such job.
        """
        job = self._jobs.get(job_id)
        return job.record if job is not None else await asyncio.to_thread(self.records.read, job_id)

    async def newest(self, limit: int) -> tuple[list[JobRecord], int]:
        """The newest records, at most ``limit``, and the number of all records."""
        records, count = await asyncio.to_thread(self.records.newest, limit)
        return [self._jobs[each.id].record if each.id in self._jobs else each for each in records], count

    async def follow(self, job_id: str) -> AsyncIterator[JobRecord]:
        """Yield a job's record now and after every change, until the job has ended or the server stops.

        Raises:
            NotFound: there is no such job.
        """
        job = self._jobs.get(job_id)
        while not self.closed.is_set():
            changed = None if job is None else job.changed
            record = await self.read(job_id) if job is None else job.record
            yield record
            if record.state.is_final:
                return
            if changed is not None:
                await changed.wait()
            else:  # another server manages it
                await asyncio.sleep(_POLL_SECONDS)

    async def result(self, record: JobRecord, *, inline_files: bool = False) -> Answer:
        """The answer of an ended job.

        Raises:
            StorageUnavailable: It cannot be read at the moment.
        """
        job = self._jobs.get(record.id)
        if job is not None and job.answer is not None and not job.is_saved:  # the store was away at its end
            answer: Answer = job.answer if inline_files else without_inline(job.answer)
            return answer
        try:
            return await asyncio.to_thread(self.records.read_result, record.id, inline_files=inline_files)
        except NotFound as error:
            return failure(error)


async def in_thread(work: Callable[[], T]) -> T:
    """Run ``work`` in a thread and wait for it, even if this coroutine is cancelled in the meantime."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
