"""Runs jobs on this machine in a worker process, so that a slow or crashing job never affects the web server."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from framepack.errors import Unavailable
from framepack.jobs.backends.base import (
    LARGEST_ANSWER_BYTES,
    STOPPING,
    NotReady,
    Readiness,
    WorkerLost,
    WorkItem,
    why_not_ready,
)

if TYPE_CHECKING:
    from framepack.answer import Answer

log = logging.getLogger("framepack.rest")

WORKER: Final = (sys.executable, "-m", "framepack.jobs.backends.worker_process")
LIGHT_WORKER: Final = (*WORKER, "light")
LIGHT_SLOTS: Final = 4

_LINE_LIMIT: Final = 2 * LARGEST_ANSWER_BYTES  # an answer is one line, including its inline files
_STOP_SECONDS: Final = 30.0
_BROKEN_AFTER_FAILED_STARTS: Final = 3
_CONCURRENT_QUERIES: Final = 8  # each one is a thread of the worker
_MAX_RESTART_DELAY_SECONDS: Final = 60


class LocalBackend:
    """One worker process, restarted whenever it ends. It has the server's environment, so it has the same settings.

    Args:
        environment: The worker's environment; None inherits the server's.
        command: The command that starts the worker.
        stop_seconds: How long a cancelled job may take to stop before its worker is killed.
        slots: Number of jobs that it runs at once.
        is_lazy: Whether the worker is started with the first job. Until this has failed, it counts as ready.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = WORKER,
        stop_seconds: float = _STOP_SECONDS,
        *,
        slots: int = 1,
        is_lazy: bool = False,
    ) -> None:
        self.slots = slots
        self._is_lazy = is_lazy
        self._environment = environment
        self._command = command
        self._stop_seconds = stop_seconds
        self._process: asyncio.subprocess.Process | None = None  # set once it is ready
        self._supervisor: asyncio.Task[None] | None = None
        self._pending: dict[str, asyncio.Future[Answer]] = {}
        self._items: dict[str, WorkItem] = {}
        self._query_slots = asyncio.Semaphore(_CONCURRENT_QUERIES)
        self._is_started = asyncio.Event()  # set when the worker is ready, or given up as broken
        self._is_ready = asyncio.Event()
        self._is_killed = False  # by this server, so that none of its jobs is the reason
        self._readiness = Readiness.READY if is_lazy else Readiness.STARTING
        self._failed_starts = 0
        self.statistics: dict[str, Any] = {}
        self.device: dict[str, Any] | None = None
        self.problem: str | None = None
        self.restarts = 0

    @property
    def readiness(self) -> Readiness:
        """Whether it can run jobs now."""
        return self._readiness

    async def wait_until_ready(self) -> None:
        """Return as soon as the worker is ready, which is started if necessary."""
        self._ensure_started()
        await self._is_ready.wait()

    async def start(self) -> None:
        """Start the worker; returns before it is ready."""
        if not self._is_lazy:
            self._ensure_started()

    def _ensure_started(self) -> None:
        if self._supervisor is None:
            self._supervisor = asyncio.create_task(self._supervise())

    async def stop(self) -> None:
        """Kill the worker, so that it reports nothing about its job any more; see `Backend.stop`."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)

    async def run(self, item: WorkItem) -> Answer:
        """Run a job in the worker, which reads the fields from the store; see `Backend.run`."""
        if self._process is None:
            raise NotReady(why_not_ready(self) or "The worker is starting.")
        self._items[item.id] = item
        try:
            return await self._request({"id": item.id, "operation": item.operation})
        finally:
            del self._items[item.id]

    async def query(self, operation: str, fields: dict[str, Any]) -> Answer:
        """Run a short operation in the worker beside its job; see `Backend.query`."""
        async with self._query_slots:
            return await self._request({"id": uuid4().hex, "operation": operation, "fields": fields})

    async def _request(self, message: dict[str, Any]) -> Answer:
        """Send a message to the worker and wait for the answer to it."""
        await self._is_started.wait()
        process, message_id = self._process, message["id"]
        if self._readiness is not Readiness.READY or process is None:
            raise Unavailable("The worker could not be started; see the server's log.")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._pending[message_id] = answer
        try:
            await _send(process, message)
            return await asyncio.shield(answer)
        except asyncio.CancelledError as error:
            if STOPPING in error.args:  # the worker is about to be killed
                raise
            await _send(process, {"cancel": message_id})
            await asyncio.wait([answer], timeout=self._stop_seconds)
            if answer.done():
                return answer.result()
            log.warning("a cancelled job does not stop; its worker is killed", extra={"job_id": message_id})
            self._is_killed = True
            _kill(process)
            raise
        finally:
            if self._pending.pop(message_id).done():
                answer.exception()  # marks an error as retrieved: nobody may be waiting for it any more

    async def _supervise(self) -> None:
        """Keep a worker running. One that ended before it was ready is restarted after a growing delay."""
        while True:
            try:
                status: object = await self._run_process()
            except (OSError, ValueError) as error:  # it could not be started, or sent a line over the limit
                status = type(error).__name__
            log.warning("the worker ended with status %s; a new one is started", status)
            self.restarts += 1
            await asyncio.sleep(min(2**self._failed_starts, _MAX_RESTART_DELAY_SECONDS))

    async def _run_process(self) -> int:
        """Start a worker, handle its messages until it ends, and return its exit status."""
        process = None
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LINE_LIMIT,
                env=self._environment,
            )
            await self._handle_messages(process)
            return await process.wait()
        finally:
            if process is not None:
                _kill(process)
                await process.wait()
            self._handle_exit()

    async def _handle_messages(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        async for line in process.stdout:
            try:
                self._handle(process, json.loads(line))
            except ValueError:
                log.exception("the worker sent an invalid message")

    def _handle(self, process: asyncio.subprocess.Process, message: dict[str, Any]) -> None:
        self.statistics = message.get("statistics", self.statistics)
        if message.get("ready"):
            self._process, self._failed_starts = process, 0
            self.device, self.problem = message.get("device"), None
            self._set_started(Readiness.READY)
            self._is_ready.set()
        elif "ready" in message:
            self.problem = message.get("problem")
            self._set_started(Readiness.BROKEN)
        elif "progress" in message:
            if (item := self._items.get(message["id"])) is not None:
                item.on_progress(message["progress"])
        elif (answer := self._pending.get(message["id"])) is not None and not answer.done():
            if "not_ready" in message:
                answer.set_exception(NotReady(message["not_ready"]))
            else:
                answer.set_result(message["answer"])

    def _set_started(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self._is_started.set()

    def _handle_exit(self) -> None:
        """The worker has ended: fail everything that waits for an answer of it."""
        was_ready, self._process = self._process is not None, None
        running = [job_id for job_id in self._items if job_id in self._pending and not self._pending[job_id].done()]
        suspects = 0 if self._is_killed else len(running)
        self._is_killed = False
        self._is_ready.clear()
        if was_ready:
            self._readiness = Readiness.STARTING
            self.problem = "The worker ended and is being restarted."
            self._is_started.clear()
        else:
            self._failed_starts += 1
            if self._readiness is Readiness.READY:
                self._readiness = Readiness.STARTING
            if self._failed_starts >= _BROKEN_AFTER_FAILED_STARTS:
                self.problem = self.problem or "The worker ends before it is ready; see the server's log."
                self._set_started(Readiness.BROKEN)
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(WorkerLost(suspects))


async def _send(process: asyncio.subprocess.Process, message: dict[str, Any]) -> None:
    """Send a message to a worker.

    Raises:
        WorkerLost: the worker has ended, before it got the message.
    """
    if process.stdin is None:
        raise WorkerLost(suspects=0)
    line = json.dumps(message).encode() + b"\n"
    try:
        process.stdin.write(line)
        await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError, RuntimeError) as error:  # uvloop raises the last one
        raise WorkerLost(suspects=0) from error


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
