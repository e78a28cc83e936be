"""The jobs of a server: taken in, followed, cancelled, and taken up again when the server before this one is gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from framepack.answer import Answer
from framepack.errors import BadRequest, Busy, Conflict, FramepackError, Unavailable
from framepack.jobs.active import ActiveJobs, in_thread
from framepack.jobs.backends.base import Backend
from framepack.jobs.presence import BEAT_SECONDS, Presence
from framepack.jobs.records import JobRecord, JobRecords, State, now
from framepack.jobs.runner import Runner, Tell

log = logging.getLogger("framepack.rest")

_SETTLE_SECONDS: Final = 2.0
_SWEEP_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the jobs of one server.

    Attributes:
        queued: Most jobs that wait at a time.
        kept: How long a job is remembered after its end.
    """

    queued: int
    kept: timedelta


class Jobs:
    """Takes jobs in and sees each to its end. Records are written before anything is promised.

    Args:
        records: Where jobs are kept.
        backend: Who carries them out.
        tell: Tells the client's receiver of a job that no worker reports on.
        limits: How many jobs may wait, and how long they are remembered.
        ended: Called with the record of every job that has ended.
    """

    def __init__(
        self, records: JobRecords, backend: Backend, tell: Tell, limits: Limits, ended: Callable[[JobRecord], None]
    ) -> None:
        self._records = records
        self._backend = backend
        self._limits = limits
        self._live = ActiveJobs(records)
        self._runner = Runner(self._live, backend, tell, ended)
        self._presence = Presence(records.storage)
        self._stopping = asyncio.Event()
        self._caring: asyncio.Task[None] | None = None
        self._swept = 0.0

    @property
    def queued(self) -> int:
        """How many jobs wait for their turn."""
        return self._live.count(State.QUEUED)

    @property
    def running(self) -> int:
        """How many jobs are under way."""
        return self._live.count(State.RUNNING)

    @property
    def is_stopping(self) -> bool:
        """Whether no more jobs are taken."""
        return self._stopping.is_set()

    async def start(self) -> None:
        """Begin carrying out jobs, those first that a server which is gone left behind."""
        await self._backend.start()
        await self._look_around()
        self._runner.start()
        self._caring = asyncio.create_task(self._look_after())

    async def stop(self, grace_seconds: float) -> None:
        """Take no more jobs, give those under way some time, and leave the rest for the next server."""
        if self._stopping.is_set():
            await self._live.closed.wait()
            return
        self._stopping.set()
        await self._runner.stop(grace_seconds)
        if self._caring is not None:
            await self._caring
        with contextlib.suppress(FramepackError):
            await asyncio.to_thread(self._presence.leave)
        self._live.close()

    async def submit(
        self, operation: str, fields: dict[str, Any], job_id: str, request: str | None = None
    ) -> JobRecord:
        """Take a job in; when this returns, it will be carried out even if this process dies.

        Args:
            operation: Name of the operation.
            fields: What it is given.
            job_id: The job's id.
            request: Digest of what is asked. If it is given and there is a job of this id already, that is returned.

        Raises:
            Busy: too many jobs are waiting.
            Unavailable: the server is about to stop.
            BadRequest: the job of this id was asked for something else.
        """
        if request is not None and (known := await self._live.find(job_id)) is not None:
            if known.request != request:
                raise BadRequest(
                    "This Idempotency-Key was used for another request; use a new key for a new request."
                )
            return known
        if self.is_stopping:
            raise Unavailable("The server is stopping; try again in a moment.")
        if self.queued >= self._limits.queued:
            raise Busy(f"{self._limits.queued} jobs are waiting already; try again later.")
        owner = self._presence.name
        record = JobRecord(
            id=job_id, operation=operation, state=State.QUEUED, created=now(), owner=owner, request=request
        )
        live = self._live.add(record)
        try:
            async with live.writing:
                await in_thread(lambda: self._take_in(record, fields))
        except BaseException:
            self._live.remove(job_id)
            raise
        self._runner.add(live)
        return record

    async def answer(self, job_id: str) -> Answer:
        """Wait for a job's end and return its answer or error envelope.

        Raises:
            NotFound: there is no such job.
            Unavailable: the server stops before the job has ended.
        """
        live = self._live.get(job_id)
        async for record in self._live.follow(job_id):
            if record.state.is_final:
                return live.answer if live is not None and live.answer is not None else await self.result(record)
        raise Unavailable(f"The server is stopping; the next one carries on: see GET /jobs/{job_id} in a moment.")

    async def read(self, job_id: str) -> JobRecord:
        """The newest record of a job; see `ActiveJobs.read`."""
        return await self._live.read(job_id)

    async def result(self, record: JobRecord) -> Answer:
        """How a job ended; see `ActiveJobs.result`."""
        return await self._live.result(record)

    async def newest(self, limit: int) -> tuple[list[JobRecord], int]:
        """The newest jobs; see `ActiveJobs.newest`."""
        return await self._live.newest(limit)

    def follow(self, job_id: str) -> AsyncIterator[JobRecord]:
        """A job's record now and after every change; see `ActiveJobs.follow`."""
        return self._live.follow(job_id)

    async def cancel(self, job_id: str) -> JobRecord:
        """Stop a job and return its record; one that waits never begins, one under way stops within a frame.

        Raises:
            NotFound: there is no such job.
            Conflict: it has ended already, or another server looks after it.
        """
        live = self._live.get(job_id)
        if live is None:
            record = await self.read(job_id)
            if not record.state.is_final:
                raise Conflict("Another server looks after this job.")
        elif live.record.state.is_final:
            record = live.record
        else:
            await self._runner.cancel(live)
            record = live.record
            if record.state is State.CANCELLED:
                return record
        if record.state.is_final:
            raise Conflict(f"The job has ended already: {record.state}.")
        raise Unavailable("The server is stopping; try again in a moment.")

    def _take_in(self, record: JobRecord, fields: dict[str, Any]) -> None:
        """Write down a new job, all of it or nothing."""
        try:
            self._records.save_input(record.id, fields)
            self._records.save(record)
        except FramepackError:
            with contextlib.suppress(FramepackError):
                self._records.delete(record.id)
            raise

    async def _look_after(self) -> None:
        """Now and then show that this server lives, and do what is left to do in the store."""
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), BEAT_SECONDS)
                return
            await self._look_around()

    async def _look_around(self) -> None:
        try:
            await asyncio.to_thread(self._presence.beat)
            await self._adopt()
            for live in self._live.all():
                if not live.is_saved:
                    await self._runner.save_end(live, live.record)
            if time.monotonic() - self._swept > _SWEEP_SECONDS or not self._swept:
                await asyncio.to_thread(self._sweep)
                self._swept = time.monotonic()
        except FramepackError as error:  # the store may be away for a while
            log.warning("the jobs could not be looked after: %s", error.message, extra={"code": error.code})
        except Exception:
            log.exception("the jobs could not be looked after")

    def _sweep(self) -> None:
        self._records.expire(now() - self._limits.kept)
        self._presence.sweep()

    async def _adopt(self) -> None:
        """Take up the jobs that nobody looks after, the oldest first."""
        for record in await asyncio.to_thread(self._claimed):
            if self._live.get(record.id) is not None:
                continue
            if record.state.is_final:
                self._runner.tidy(record)
            else:
                log.info("a job is taken up again", extra={"job_id": record.id})
                self._runner.add(self._live.add(record.but(state=State.QUEUED, progress=None)))

    def _claimed(self) -> list[JobRecord]:
        """The abandoned jobs that are this server's from now on.

        The store knows no locks: two servers that find the same job both write their name, the later one stays.
        """
        unfinished = [record for record in self._records.unfinished() if record.owner != self._presence.name]
        gone = {owner: self._presence.is_gone(owner) for owner in {record.owner for record in unfinished}}
        found = [record for record in unfinished if gone[record.owner]]
        over = [
            record for record in found if record.state.is_final and not record.callback_pending
        ]  # only their inputs are left
        mine = [record.but(owner=self._presence.name) for record in found if record not in over]
        for record in mine:
            self._records.save(record)
        if mine and not self._presence.is_alone():
            time.sleep(_SETTLE_SECONDS)
            ours = {record.id for record in self._records.unfinished() if record.owner == self._presence.name}
            mine = [record for record in mine if record.id in ours]
        return over + mine
