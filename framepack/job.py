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
    """How far a job is: ``done`` of ``total`` (None: not known) after ``elapsed_seconds``, counted in ``unit``.

    ``part`` is how much of the work is done, 0 to 1, where that is known otherwise than from the count.
    """

    done: int
    total: int | None
    elapsed_seconds: float
    part: float | None = None
    unit: str = "frames"

    @property
    def percent(self) -> float | None:
        """From 0 to 100, or None while it is not known."""
        part = self._part
        return None if part is None else min(100.0, 100 * part)

    @property
    def remaining_seconds(self) -> float | None:
        """Time left at the speed so far, or None while nothing is known of it."""
        part = self._part
        return self.elapsed_seconds * max(0.0, 1 - part) / part if part else None

    @property
    def _part(self) -> float | None:
        if self.part is not None or not self.total:
            return self.part
        return self.done / self.total


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

    def part(self, report: Callable[[Progress], None]) -> Job:
        """A job within this one: it has warnings and progress of its own, and is cancelled with this one."""
        return Job(self.id, report, _stop=self._stop)

    def watch(self, items: Iterable[T], total: int | None) -> Iterator[T]:
        """Pass ``items`` on, reporting progress after each and stopping as soon as the job is cancelled."""
        started = time.monotonic()
        for done, item in enumerate(items, start=1):
            self.check()
            yield item
            self.report(Progress(done, total, time.monotonic() - started))
