"""Ends a RunPod worker in bounded time, and its heartbeat process together with it."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

log = logging.getLogger("framepack.worker")

_POLL_SECONDS: Final = 0.1
_STOP_SECONDS: Final = 10.0  # for cancelled jobs to stop, and for a result that is being sent
_ANSWER_SECONDS: Final = 1.0  # for the answer of the SDK's test server, which does not count its jobs
_PR_SET_PDEATHSIG: Final = 1


class Shutdown:
    """Ends the worker after a signal, when its jobs have ended or the time for them is over; or after its GPU failed.

    The SDK's own loop has no limit: it waits for jobs, and then for its long polls of up to 90 seconds. Jobs that do
    not end in time are cancelled, and nothing is reported about them, so that the platform gives them to another
    worker.

    Args:
        grace_seconds: Time for running jobs.
        count_jobs: Returns the number of jobs whose result has not been sent yet.
    """

    def __init__(self, grace_seconds: float, count_jobs: Callable[[], int]) -> None:
        self._grace_seconds = grace_seconds
        self._count_jobs = count_jobs
        self._jobs: dict[asyncio.Task[Any], Callable[[], None]] = {}
        self._is_installed = False
        self._ending: asyncio.Task[None] | None = None
        self._is_unfit = False
        self._held = 0

    def install(self, concurrency: int) -> int:
        """Take over the signals from the SDK, which calls this as its ``concurrency_modifier`` before every job."""
        if not self._is_installed and threading.current_thread() is threading.main_thread():
            self._is_installed = True
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._handler(signal.getsignal(number), loop))
        return concurrency

    def add(self, interrupt: Callable[[], None]) -> None:
        """Register the job of the current task; ``interrupt`` tells it that it is stopped only to run elsewhere."""
        if (task := asyncio.current_task()) is not None:
            self._jobs[task] = interrupt
            task.add_done_callback(lambda done: self._jobs.pop(done, None))

    def remove(self) -> None:
        """The job of the current task has ended."""
        if (task := asyncio.current_task()) is not None:
            self._jobs.pop(task, None)

    def end_unfit(self) -> None:
        """End the worker with status 1 after the result of its job has been sent, because its GPU failed.

        Jobs that come in the meantime are held: nothing is reported about them, so they run elsewhere.
        """
        if not self._is_unfit:
            self._is_unfit = True
            self._ending = asyncio.get_running_loop().create_task(self._end_unfit())

    async def hold_if_unfit(self) -> None:
        """Return if the worker can run jobs; if not, wait for its end."""
        if self._is_unfit:
            self._held += 1
            try:
                await asyncio.Event().wait()
            finally:
                self._held -= 1

    async def _end_unfit(self) -> None:
        await self._wait_for_jobs(self._grace_seconds + _STOP_SECONDS)
        await asyncio.sleep(_ANSWER_SECONDS)
        _exit(1, "the worker ends, because its GPU failed")

    def _handler(self, of_sdk: Any, loop: asyncio.AbstractEventLoop) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            if callable(of_sdk):
                of_sdk(number, frame)  # takes no more jobs
            loop.call_soon_threadsafe(self._begin)

        return handle

    def _begin(self) -> None:
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end())

    async def _end(self) -> None:
        await self._wait_for_jobs(self._grace_seconds)
        for task, interrupt in list(self._jobs.items()):
            interrupt()
            task.cancel()
        await self._wait_for_jobs(_STOP_SECONDS)
        _exit(0, "the worker ends")

    async def _wait_for_jobs(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._count_jobs() > self._held and time.monotonic() < deadline:  # noqa: ASYNC110 - the SDK has no event for it
            await asyncio.sleep(_POLL_SECONDS)


def _exit(status: int, reason: str) -> None:
    log.log(logging.ERROR if status else logging.INFO, reason)
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)


def end_children_with_this_process() -> None:
    """Let the kernel kill every process that is forked from now on when this thread ends, also by ``kill -9``.

    The SDK forks a process that tells the platform that the worker is alive.
    """
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def die_with_parent() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it has just ended
            os._exit(0)

    multiprocessing.set_start_method("fork", force=True)  # the hook runs in forked processes only
    os.register_at_fork(after_in_child=die_with_parent)
