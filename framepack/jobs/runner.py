"""Carries out jobs one after another: gives them to the backend, tries them again, records how they ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from framepack.answer import Answer, failure, is_cancelled, is_failure
from framepack.errors import Cancelled, FramepackError, Unavailable, public
from framepack.jobs.active import ActiveJob, ActiveJobs
from framepack.jobs.backends.base import STOPPING, Backend, Task, WorkerLost
from framepack.jobs.records import JobRecord, State, now
from framepack.journal import JobEnd, log_job_end, log_job_start

log = logging.getLogger("framepack.rest")

Tell = Callable[[JobRecord, dict[str, Any], FramepackError], None]
"""Tells a client's receiver how a job ended that no worker reports on: (record, fields, error); blocks."""

CANCELLED: Final = "The job was cancelled."

_MAX_ATTEMPTS: Final = 2
_TELLERS: Final = 4
_TELL_SECONDS: Final = 5.0


class Runner:
    """As many jobs at once as the backend has slots, in the order in which they were added.

    Args:
        jobs: The jobs of this server.
        backend: Who carries them out.
        tell: Tells the client's receiver of a job that no worker reports on.
        ended: Called with the record of every job that has ended.
    """

    def __init__(self, jobs: ActiveJobs, backend: Backend, tell: Tell, ended: Callable[[JobRecord], None]) -> None:
        self._jobs = jobs
        self._backend = backend
        self._tell = tell
        self._ended = ended
        self._queue: asyncio.Queue[ActiveJob | None] = asyncio.Queue()
        self._slots: list[asyncio.Task[None]] = []
        self._tidying: set[asyncio.Task[None]] = set()
        self._tellers = ThreadPoolExecutor(_TELLERS, "callback")
        self._is_stopping = False

    def start(self) -> None:
        """Begin with the jobs that were added."""
        self._slots = [asyncio.create_task(self._work()) for _ in range(self._backend.slots)]

    def add(self, live: ActiveJob) -> None:
        """Carry out a job when its turn comes."""
        self._queue.put_nowait(live)

    async def stop(self, grace_seconds: float) -> None:
        """Begin no more jobs, give those under way some time, and leave the rest to the next server."""
        self._is_stopping = True
        for _ in self._slots:
            self._queue.put_nowait(None)
        working = [live.work for live in self._jobs.all() if live.work is not None]
        if working:
            await asyncio.wait(working, timeout=grace_seconds)
        for work in working:
            work.cancel(STOPPING)
        await asyncio.gather(*self._slots)
        await self._backend.stop()  # nothing goes on here when others may take the jobs up
        for live in self._jobs.all():
            if not live.record.state.is_final:
                await self._leave(live)
        if self._tidying:
            await asyncio.wait(self._tidying, timeout=_TELL_SECONDS)
        self._tellers.shutdown(wait=False, cancel_futures=True)

    async def cancel(self, live: ActiveJob) -> None:
        """Stop a job; when this returns, it has ended one way or the other, or the server stops."""
        if not live.is_cancelled and not live.record.state.is_final:
            live.is_cancelled = True
            if live.work is None:
                await self.end(live, failure(Cancelled(CANCELLED)), callback_pending=True)
            else:
                live.work.cancel()
        while not (live.record.state.is_final or self._jobs.closed.is_set()):
            await live.changed.wait()

    async def end(self, live: ActiveJob, answer: Answer, *, callback_pending: bool) -> None:
        """Record how a job ended, before anybody is told."""
        live.answer = answer
        record = live.record.moved(_state_of(answer), callback_pending=callback_pending)
        log_job_end(self._end_of(record, answer))
        await self.save_end(live, record)
        self._ended(record)
        self._jobs.forget_old()

    def _end_of(self, record: JobRecord, answer: Answer) -> JobEnd:
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

    async def save_end(self, live: ActiveJob, record: JobRecord) -> None:
        """Bring a job's end into the store; if that is away, remember to try again."""
        try:
            await self._jobs.save(live, record, answer=live.answer)
        except FramepackError as error:
            log.warning(
                "the end of a job could not be stored yet: %s",
                error.message,
                extra={"job_id": record.id, "code": error.code},
            )
            live.is_saved = False
            live.update(record)
        else:
            live.is_saved = True
            self.tidy(record)

    def tidy(self, record: JobRecord) -> None:
        """Do in the background what is left to do for a job that has ended."""
        tidying = asyncio.create_task(self._tidy(record))
        self._tidying.add(tidying)
        tidying.add_done_callback(self._tidying.discard)

    async def _work(self) -> None:
        """Carry out one job after another."""
        while not self._is_stopping:
            live = await self._queue.get()
            if live is None or self._is_stopping:
                return
            if not live.is_cancelled:
                await self._carry_out(live)

    async def _carry_out(self, live: ActiveJob) -> None:
        """See a job to its end, whatever that is; nothing gets out of here."""
        work = live.work = asyncio.create_task(self._tried(live))
        await asyncio.wait([work])
        if work.cancelled():
            if live.is_cancelled:
                await self.end(live, failure(Cancelled(CANCELLED)), callback_pending=True)
        elif (error := work.exception()) is None:
            await self.end(live, work.result(), callback_pending=False)
        else:
            if not isinstance(error, FramepackError):
                log.error("a job failed unexpectedly", exc_info=error, extra={"job_id": live.record.id})
            known = public(error) if isinstance(error, Exception) else FramepackError()
            await self.end(live, failure(known), callback_pending=True)

    async def _tried(self, live: ActiveJob) -> Answer:
        """The answer of the first worker that lives to give it.

        Raises:
            FramepackError: none did, or there was none.
            asyncio.CancelledError: the job was cancelled, or the server stops.
        """
        while live.record.attempts < _MAX_ATTEMPTS or live.record.remote_id is not None:
            attempts = live.record.attempts + 1
            await self._jobs.save(live, live.record.moved(State.RUNNING, attempts=attempts, progress=None))
            log_job_start(live.record.id, live.record.operation, attempts)
            try:
                return await self._backend.run(self._task(live))
            except WorkerLost:
                if self._is_stopping or live.is_cancelled:
                    raise asyncio.CancelledError from None
                log.warning("the worker of a job was lost", extra={"job_id": live.record.id})
                live.update(live.record.but(remote_id=None))
        raise Unavailable("The worker was lost twice while it carried out this job.")

    def _task(self, live: ActiveJob) -> Task:
        record = live.record

        async def sent(remote_id: str) -> None:
            await self._jobs.save(live, live.record.but(remote_id=remote_id))

        def progressed(update: dict[str, Any]) -> None:
            if live.record.state is State.RUNNING:
                live.update(live.record.but(progress=update))

        def fields() -> dict[str, Any]:
            return self._jobs.records.read_input(record.id)

        return Task(record.id, record.operation, fields, record.remote_id, progressed, sent)

    async def _leave(self, live: ActiveJob) -> None:
        """Let the next server take a job up at once; what was done of it here does not count as an attempt."""
        begun = live.record.state is State.RUNNING and live.record.remote_id is None
        attempts = live.record.attempts - int(begun)
        record = live.record.but(state=State.QUEUED, owner=None, attempts=attempts, progress=None)
        with contextlib.suppress(FramepackError):  # then it finds out by itself
            await self._jobs.save(live, record)

    async def _tidy(self, record: JobRecord) -> None:
        records = self._jobs.records
        with contextlib.suppress(FramepackError):  # the next server does what could not be done
            if record.callback_pending:
                fields = await asyncio.to_thread(records.read_input, record.id)
                answer = await asyncio.to_thread(records.read_result, record.id)
                error = FramepackError(answer["error"])
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._tellers, self._tell, record, fields, error)
                await asyncio.to_thread(records.save, record.but(callback_pending=False))
            await asyncio.to_thread(records.forget_input, record.id)


def _state_of(answer: Answer) -> State:
    if not is_failure(answer):
        return State.COMPLETED
    return State.CANCELLED if is_cancelled(answer) else State.FAILED
