"""Sends a job's progress to the platform: in order, at most once a second, and never after the result.

The SDK's ``progress_update`` starts a thread per call that nobody waits for, so a late update can replace the
result of a finished job. Here one task sends the newest update through the SDK's own delivery and is drained before
the handler returns.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from framepack.job import Progress

_INTERVAL_SECONDS = 1.0
_DRAIN_SECONDS = 5.0

SendUpdate = Callable[[dict[str, Any]], Awaitable[None]]


def update_line(update: dict[str, Any]) -> str:
    """A progress update as a line of text."""
    unit = next(name.removesuffix("_done") for name in update if name.endswith("_done"))
    total, left = update.get(f"{unit}_total"), update.get("seconds_left")
    line = f"{update[f'{unit}_done']}{f' of {total}' if total else ''} {unit}"
    return line if left is None else f"{line}, {left:.0f} s left"


@dataclass(slots=True)
class ProgressSender:
    """Delivers updates of one job; use as an async context manager around the work.

    Attributes:
        send: Delivers one update.
        interval_seconds: Least time between two updates.
    """

    send: SendUpdate
    interval_seconds: float = _INTERVAL_SECONDS
    _newest: Progress | None = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _closing: asyncio.Event = field(default_factory=asyncio.Event)
    _loop: asyncio.AbstractEventLoop | None = None
    _task: asyncio.Task[None] | None = None

    def report(self, progress: Progress) -> None:
        """Note ``progress``; callable from any thread, never blocks."""
        if (loop := self._loop) is not None:
            loop.call_soon_threadsafe(self._note, progress)

    def _note(self, progress: Progress) -> None:
        self._newest = progress
        self._wake.set()

    async def __aenter__(self) -> Self:
        """Start sending."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop sending; an update under way is awaited, or abandoned if it takes too long."""
        self._loop = None
        self._closing.set()
        self._wake.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._task, _DRAIN_SECONDS)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            if self._closing.is_set():
                return
            self._wake.clear()
            if self._newest is not None:
                await self.send(self._newest.as_update())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self.interval_seconds)
