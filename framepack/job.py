"""One run of an operation: may it go on, how far is it, and what should the client be warned about."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from framepack.errors import Cancelled

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: ``done`` of ``total`` frames (None: not known) after ``elapsed_seconds``."""

    done: int
    total: int | None
    elapsed_seconds: float

    @property
    def percent(self) -> float | None:
        """From 0 to 100, or None while the total is not known."""
        return None if not self.total else min(100.0, 100 * self.done / self.total)

    @property
    def remaining_seconds(self) -> float | None:
        """Time left at the speed so far, or None while nothing is known of it."""
        if not self.total or not self.done:
            return None
        return self.elapsed_seconds * max(0, self.total - self.done) / self.done


@dataclass(slots=True)
class Job:
    """A running job. Threads share it: cancelling from one stops the others at their next ``check``."""

    id: str = "local"
    report: Callable[[Progress], None] = lambda _progress: None
    warnings: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Ask the job to stop; safe from any thread."""
        self._stop.set()

    def check(self) -> None:
        """Return if the job may go on.

        Raises:
            Cancelled: the job was asked to stop.
        """
        if self._stop.is_set():
            raise Cancelled("The job was cancelled.")

    def warn(self, sentence: str) -> None:
        """Tell the client something the result alone would hide; repeated sentences are kept once."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def watch(self, items: Iterable[T], total: int | None) -> Iterator[T]:
        """Pass ``items`` on, reporting progress after each and stopping as soon as the job is cancelled."""
        started = time.monotonic()
        for done, item in enumerate(items, start=1):
            self.check()
            yield item
            self.report(Progress(done, total, time.monotonic() - started))
