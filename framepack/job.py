"""One run of an operation: may it go on, how far is it, and what should the client be warned about."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

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

    def as_update(self) -> dict[str, Any]:
        """The progress as clients see it: ``frames_done``, ``frames_total``, ``percent``, ``seconds_left``.

        Values that are not known are left out. Work that is counted in another ``unit`` has that name in place of
        ``frames``.
        """
        fields = {
            f"{self.unit}_done": self.done,
            f"{self.unit}_total": self.total,
            "percent": None if self.percent is None else round(self.percent, 1),
            "seconds_left": None if self.remaining_seconds is None else round(self.remaining_seconds, 1),
        }
        return {name: value for name, value in fields.items() if value is not None}

    @property
    def _part(self) -> float | None:
        if self.part is not None or not self.total:
            return self.part
        return self.done / self.total


@dataclass(slots=True)
class Job:
    """A running job. Threads share it: cancelling from one stops the others at their next ``check``.

    Attributes:
        id: What the log calls it.
        report: Called with the progress after each frame.
        warnings: Sentences for the client about the result.
        announce: Called with the name of a model when loading it begins, and with None when it is loaded.
        keeps_part: Whether a video is finished early, with the frames there are, when the job is cancelled.
        whole: The job that this one is a part of, or None.
        loading_seconds: Time spent so far on loading models; it says nothing about the speed of the work.
    """

    id: str = "local"
    report: Callable[[Progress], None] = lambda _progress: None
    warnings: list[str] = field(default_factory=list)
    announce: Callable[[str | None], None] = lambda _model: None
    keeps_part: bool = False
    loading_seconds: float = field(default=0.0, init=False)
    whole: Job | None = None
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
        return Job(self.id, report, announce=self.announce, keeps_part=self.keeps_part, whole=self, _stop=self._stop)

    @contextmanager
    def loading(self, model: str) -> Iterator[None]:
        """Announce that a model is being loaded, and keep the time it takes out of the estimates."""
        self.announce(model)
        began = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - began
            job: Job | None = self
            while job is not None:
                job.loading_seconds += seconds
                job = job.whole
            self.announce(None)

    def watch(self, items: Iterable[T], total: int | None) -> Iterator[T]:
        """Pass ``items`` on, reporting progress after each and stopping as soon as the job is cancelled."""
        started = time.monotonic() - self.loading_seconds
        for done, item in enumerate(items, start=1):
            self.check()
            yield item
            self.report(Progress(done, total, time.monotonic() - started - self.loading_seconds))

    def until_cancelled(self, items: Iterable[T]) -> Iterator[T]:
        """Pass ``items`` on; when the job is cancelled, end after those there are if it keeps its part.

        Raises:
            Cancelled: the job was cancelled before the first item, or does not keep its part.
        """
        is_empty = True
        try:
            for item in items:
                is_empty = False
                yield item
        except Cancelled:
            if is_empty or not self.keeps_part:
                raise
