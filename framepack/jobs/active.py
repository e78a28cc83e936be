"""The jobs that this server looks after, in memory, and the way of their records into the store.

Everything here runs in one event loop, so what happens between two awaits happens at once. The store is only touched
in threads, and for one job by one thread at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from framepack.answer import Answer, failure
from framepack.errors import NotFound
from framepack.jobs.records import JobRecord, JobRecords, State

T = TypeVar("T")

_KEPT: Final = 8  # ended jobs whose answers, with their inline files, stay in memory for who asks again at once
_POLL_SECONDS: Final = 1.0


@dataclass(slots=True, eq=False)
class ActiveJob:
    """A job of this server.

    Attributes:
        record: What is known of it.
        changed: Set, and replaced, when the record has changed.
        writing: Held while its record is written.
        answer: How it ended, with inline files.
        work: The attempt under way.
        is_cancelled: Whether its client has cancelled it.
        is_saved: Whether the store knows how it ended.
    """

    record: JobRecord
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    answer: Answer | None = None
    work: asyncio.Task[Answer] | None = None
    is_cancelled: bool = False
    is_saved: bool = True

    def update(self, record: JobRecord) -> None:
        """Show a new record to whoever follows the job."""
        self.record = record
        self.wake()

    def wake(self) -> None:
        """Let whoever follows the job look again."""
        self.changed.set()
        self.changed = asyncio.Event()


class ActiveJobs:
    """This server's jobs by id, and everybody's in the store.

    Args:
        records: The store's side.
    """

    def __init__(self, records: JobRecords) -> None:
        self.records = records
        self.closed = asyncio.Event()
        self._live: dict[str, ActiveJob] = {}

    def get(self, job_id: str) -> ActiveJob | None:
        """A job of this server."""
        return self._live.get(job_id)

    def add(self, record: JobRecord) -> ActiveJob:
        """Look after a job from now on."""
        live = self._live[record.id] = ActiveJob(record)
        return live

    def remove(self, job_id: str) -> None:
        """Look after a job no more."""
        del self._live[job_id]

    def all(self) -> list[ActiveJob]:
        """All jobs of this server."""
        return list(self._live.values())

    def count(self, state: State) -> int:
        """How many jobs of this server are in a state."""
        return sum(live.record.state is state for live in self._live.values())

    def forget_old(self) -> None:
        """Keep only the newest of the ended jobs in memory: the others are in the store."""
        ended = [job_id for job_id, live in self._live.items() if live.record.state.is_final and live.is_saved]
        for job_id in ended[:-_KEPT]:
            del self._live[job_id]

    def close(self) -> None:
        """End the waiting of everybody who follows a job."""
        self.closed.set()
        for live in self._live.values():
            live.wake()

    async def save(self, live: ActiveJob, record: JobRecord, *, answer: Answer | None = None) -> None:
        """Write a job's record, and with its end its answer, then show it."""

        def write() -> None:
            if answer is not None:
                self.records.save_result(record.id, answer)
            self.records.save(record)

        async with live.writing:
            await in_thread(write)
            live.update(record)

    async def find(self, job_id: str) -> JobRecord | None:
        """The newest record of a job, once it is in the store; None if there is no such job, at this moment."""
        while True:
            live = self._live.get(job_id)
            if live is not None:
                async with live.writing:
                    pass
                if self._live.get(job_id) is live:
                    return live.record
                continue
            try:
                return await asyncio.to_thread(self.records.read, job_id)
            except NotFound:
                if job_id not in self._live:  # taken in meanwhile
                    return None

    async def read(self, job_id: str) -> JobRecord:
        """The newest record of a job.

        Raises:
            NotFound: there is no such job.
        """
        live = self._live.get(job_id)
        return live.record if live is not None else await asyncio.to_thread(self.records.read, job_id)

    async def newest(self, limit: int) -> tuple[list[JobRecord], int]:
        """The newest jobs that are remembered, and how many there are in all."""
        records, count = await asyncio.to_thread(self.records.newest, limit)
        return [self._live[each.id].record if each.id in self._live else each for each in records], count

    async def follow(self, job_id: str) -> AsyncIterator[JobRecord]:
        """A job's record now and after every change, until it has ended or the server stops.

        Raises:
            NotFound: there is no such job.
        """
        live = self._live.get(job_id)
        while not self.closed.is_set():
            changed = None if live is None else live.changed
            record = await self.read(job_id) if live is None else live.record
            yield record
            if record.state.is_final:
                return
            if changed is not None:
                await changed.wait()
            else:  # another server looks after it
                await asyncio.sleep(_POLL_SECONDS)

    async def result(self, record: JobRecord) -> Answer:
        """The answer or error envelope of a job that has ended, without inline files."""
        try:
            return await asyncio.to_thread(self.records.read_result, record.id)
        except NotFound as error:
            return failure(error)


async def in_thread(work: Callable[[], T]) -> T:
    """Do something in a thread and wait until it is done, even if this coroutine is cancelled meanwhile."""
    doing = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        raise
