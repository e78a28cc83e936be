"""Jobs on this machine, in a process of their own: a long or crashing one never touches the web side."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

from framepack.answer import Answer
from framepack.errors import Unavailable
from framepack.jobs.backends.base import LARGEST_ANSWER_BYTES, STOPPING, Readiness, Task, WorkerLost

log = logging.getLogger("framepack.rest")

WORKER: Final = (sys.executable, "-m", "framepack.jobs.backends.worker_process")

_LINE_LIMIT: Final = 2 * LARGEST_ANSWER_BYTES  # an answer is one line, with all its inline videos
_STOP_SECONDS: Final = 30.0
_START_TRIES: Final = 3
_QUESTIONS: Final = 8  # asked at once; each is a thread of the worker
_LONGEST_PAUSE_SECONDS: Final = 60


class LocalBackend:
    """One worker process, replaced whenever it ends. It reads its settings from the environment, as the server did.

    Args:
        environment: The worker's environment; None gives it the server's.
        command: What to start.
        stop_seconds: How long a cancelled job may take to let go before its worker is killed.
    """

    slots = 1

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = WORKER,
        stop_seconds: float = _STOP_SECONDS,
    ) -> None:
        self._environment = environment
        self._command = command
        self._stop_seconds = stop_seconds
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._answers: dict[str, asyncio.Future[Answer]] = {}
        self._tasks: dict[str, Task] = {}
        self._questions = asyncio.Semaphore(_QUESTIONS)
        self._settled = asyncio.Event()
        self._readiness = Readiness.STARTING
        self._early_ends = 0
        self.statistics: dict[str, Any] = {}
        self.device: dict[str, Any] | None = None
        self.problem: str | None = None

    @property
    def readiness(self) -> Readiness:
        """Whether jobs can be carried out now."""
        return self._readiness

    async def start(self) -> None:
        """Start the worker; it gets ready meanwhile."""
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Kill the worker, so that nothing it was doing is reported; see `Backend.stop`."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def run(self, task: Task) -> Answer:
        """Carry out a job in the worker, which reads its input from the store; see `Backend.run`."""
        self._tasks[task.id] = task
        try:
            return await self._asked({"id": task.id, "operation": task.operation})
        finally:
            del self._tasks[task.id]

    async def ask(self, operation: str, fields: dict[str, Any]) -> Answer:
        """Ask the worker something beside its job; see `Backend.ask`."""
        async with self._questions:
            return await self._asked({"id": uuid4().hex, "operation": operation, "fields": fields})

    async def _asked(self, message: dict[str, Any]) -> Answer:
        await self._settled.wait()
        process, message_id = self._process, message["id"]
        if self._readiness is not Readiness.READY or process is None:
            raise Unavailable("The worker could not be started; the server's log says why.")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers[message_id] = answer
        try:
            await _tell(process, message)
            return await asyncio.shield(answer)
        except asyncio.CancelledError as error:
            if STOPPING in error.args:  # the worker is about to be stopped
                raise
            await _tell(process, {"cancel": message_id})
            await asyncio.wait([answer], timeout=self._stop_seconds)
            if answer.done():
                return answer.result()
            log.warning("a cancelled job does not stop; its worker is killed", extra={"job_id": message_id})
            _kill(process)
            raise
        finally:
            self._forget(message_id)

    def _forget(self, message_id: str) -> None:
        answer = self._answers.pop(message_id)
        if answer.done():
            answer.exception()  # whoever waited has left

    async def _keep(self) -> None:
        """Keep a worker running; one that ends before it was ready is not replaced at once."""
        while True:
            try:
                status: object = await self._life_of_one()
            except (OSError, ValueError) as error:  # the system has no room for it, or it said too much
                status = type(error).__name__
            log.warning("the worker ended with status %s; a new one is started", status)
            await asyncio.sleep(min(2**self._early_ends, _LONGEST_PAUSE_SECONDS))

    async def _life_of_one(self) -> int:
        """Start a worker and return its exit status."""
        process = None
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LINE_LIMIT,
                env=self._environment,
            )
            await self._listen(process)
            return await process.wait()
        finally:
            if process is not None:
                _kill(process)
                await process.wait()
            self._lose()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Pass on what the worker says until it ends."""
        if process.stdout is None:
            return
        async for line in process.stdout:
            try:
                self._hear(process, json.loads(line))
            except ValueError:
                log.exception("the worker said something that is no message")

    def _hear(self, process: asyncio.subprocess.Process, message: dict[str, Any]) -> None:
        self.statistics = message.get("statistics", self.statistics)
        if message.get("ready"):
            self._process, self._early_ends = process, 0
            self.device, self.problem = message.get("device"), None
            self._settle(Readiness.READY)
        elif "ready" in message:
            self.problem = message.get("problem")
            self._settle(Readiness.BROKEN)
        elif "progress" in message:
            if (task := self._tasks.get(message["id"])) is not None:
                task.on_progress(message["progress"])
        elif (answer := self._answers.get(message["id"])) is not None and not answer.done():
            answer.set_result(message["answer"])

    def _settle(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self._settled.set()

    def _lose(self) -> None:
        """The worker is gone: whoever waits for it is told."""
        was_ready, self._process = self._process is not None, None
        if was_ready:
            self._readiness = Readiness.STARTING
            self._settled.clear()
        else:
            self._early_ends += 1
            if self._early_ends >= _START_TRIES:
                self.problem = self.problem or "The worker ends before it is ready; the server's log says why."
                self._settle(Readiness.BROKEN)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(WorkerLost())


async def _tell(process: asyncio.subprocess.Process, message: dict[str, Any]) -> None:
    """Send a message.

    Raises:
        WorkerLost: nobody is there to hear it.
    """
    if process.stdin is None:
        raise WorkerLost
    try:
        process.stdin.write(json.dumps(message).encode() + b"\n")
        await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError) as error:
        raise WorkerLost from error


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
