"""A lane: the jobs that wait for one backend, and those that run there. Lanes do not wait for each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from framepack.jobs.backends.base import Backend, why_not_ready

if TYPE_CHECKING:
    from framepack.jobs.active import ActiveJob


class Lane:
    """Starts the jobs of one backend in the order of their creation, as many at once as it has slots.

    Guests are jobs whose operations belong to another lane, such as previews, which compute. They take no more than
    all slots but one, so that the jobs for which the lane is there need not wait for them.

    Args:
        backend: Runs the jobs.
        is_guest: Whether a job is one.
    """

    def __init__(self, backend: Backend, is_guest: Callable[[ActiveJob], bool]) -> None:
        self.backend = backend
        self._is_guest = is_guest
        self._waiting: list[ActiveJob] = []
        self._running: list[ActiveJob] = []
        self._changed = asyncio.Event()

    def add(self, job: ActiveJob, pause_seconds: float = 0.0) -> None:
        """Let a job wait for its turn.

        Args:
            job: The job.
            pause_seconds: Minimum time until it starts. Other jobs go on in the meantime.
        """
        if pause_seconds > 0:
            asyncio.get_running_loop().call_later(pause_seconds, self.add, job)
            return
        job.pause = None
        self._waiting.append(job)
        self._waiting.sort(key=lambda each: each.record.created)
        self._changed.set()

    async def take(self) -> ActiveJob:
        """Wait until a job may start, and return it."""
        while True:
            self._changed.clear()
            if self._next() is None:
                await self._changed.wait()
                continue
            await self.backend.wait_until_ready()
            if (job := self._next()) is not None:
                self._waiting.remove(job)
                self._running.append(job)
                return job

    def _next(self) -> ActiveJob | None:
        """The job whose turn it is, if there is a free slot for it; guests that are too many let others pass."""
        self._waiting = [job for job in self._waiting if not job.is_cancelled]
        are_full = sum(map(self._is_guest, self._running)) >= max(1, self.backend.slots - 1)
        first = next((job for job in self._waiting if not (are_full and self._is_guest(job))), None)
        return first if first is not None and self._is_free_for(first) else None

    def release(self, job: ActiveJob) -> None:
        """A job that was taken does not run any more."""
        self._running.remove(job)
        self._changed.set()

    def delay_of(self, job: ActiveJob) -> str | None:
        """Why a job of this lane waits for anything but its turn, as a sentence; None if it does not."""
        return job.pause or why_not_ready(self.backend)

    def _is_free_for(self, job: ActiveJob) -> bool:
        if job.runs_alone or any(each.runs_alone for each in self._running):
            return not self._running
        return len(self._running) < self.backend.slots
