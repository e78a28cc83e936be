"""Sends a job's progress to the platform: in order, at most once a second, and never after the result.

The SDK's ``progress_update`` starts a thread for each call and does not wait for it, so a late update can replace the
result of an ended job. Here one task sends the latest update, and the handler waits for it before it returns.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from framepack.job import WAITING_FOR, update_of

if TYPE_CHECKING:
    from framepack.job import Progress

_INTERVAL_SECONDS = 1.0
_DRAIN_SECONDS = 5.0

SendUpdate = Callable[[dict[str, Any]], Awaitable[None]]


def update_line(update: dict[str, Any]) -> str:
    """A progress update as a line of text."""
    if WAITING_FOR in update:
        return f"waiting for {update[WAITING_FOR]}"
    unit = next((name.removesuffix("_done") for name in update if name.endswith("_done")), None)
    if unit is None:
        return "working"
    total, left = update.get(f"{unit}_total"), update.get("seconds_left")
    line = f"{update[f'{unit}_done']}{f' of {total}' if total else ''} {unit}"
    return line if left is None else f"{line}, {left:.0f} s left"


@dataclass(slots=True)
class ProgressSender:
    """Sends the progress updates of a job; an async context manager around the job.

    Attributes:
        send: Sends an update.
        interval_seconds: Minimum time between two updates.
    """

    send: SendUpdate
    interval_seconds: float = _INTERVAL_SECONDS
    _latest: Progress | None = None
    _waiting_for: str | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _closing: asyncio.Event = field(default_factory=asyncio.Event)
    _loop: asyncio.AbstractEventLoop | None = None
    _task: asyncio.Task[None] | None = None

    def report(self, progress: Progress) -> None:
        """Store the latest progress. May be called from any thread, never blocks."""
        if (loop := self._loop) is not None:
            loop.call_soon_threadsafe(self._store, progress)

    def waiting(self, what: str | None) -> None:
        """Store what the job waits for. May be called from any thread, never blocks."""
        if (loop := self._loop) is not None:
            loop.call_soon_threadsafe(self._store_waiting, what)

    def _store(self, progress: Progress) -> None:
        self._latest = progress
        self._changed.set()

    def _store_waiting(self, what: str | None) -> None:
        self._waiting_for = what
        self._changed.set()

    async def __aenter__(self) -> Self:
        """Start sending."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop sending. An update that is being sent is awaited, unless it takes too long."""
        self._loop = None
        self._closing.set()
        self._changed.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._task, _DRAIN_SECONDS)

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            if self._closing.is_set():
                return
            self._changed.clear()
            await self.send(update_of(self._latest, self._waiting_for))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self.interval_seconds)
