"""The input of a job, and the cancellation, progress and warnings of a running one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, TypeVar, cast

from framepack.cancellation import stoppable, with_current
from framepack.closing import closing
from framepack.errors import Cancelled
from framepack.measurements import Measurements

T = TypeVar("T")

_END: Final = object()
_LEAST_SEEN_SECONDS: Final = 1.0
_LEAST_SEEN_SHARE: Final = 0.5  # of the first unit's time: units that are made in batches come in bursts


@dataclass(frozen=True, slots=True)
class JobInput:
    """The input of a job.

    Attributes:
        fields: The endpoint and its fields, not yet parsed.
        s3_config: The job's own S3 store, if it has one (RunPod's ``s3Config``).
        is_short: Whether only the store is asked; such a job does not wait for a store that is away.
        is_callback_checked: Whether the server that accepted the job has already checked the callback URL.
    """

    fields: object
    s3_config: Mapping[str, Any] | None = None
    is_short: bool = False
    is_callback_checked: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job has come.

    Attributes:
        done: Units of work that are finished.
        total: Units of work in all; None if unknown.
        elapsed_seconds: Time spent on them.
        fraction: Share of the work that is done, 0 to 1, where the job knows it better than ``done / total``.
        unit: What is counted.
        first_seconds: How much of the time the first unit took, which waits until all is opened and set up; None if
            it took no longer than the others.
    """

    done: int
    total: int | None
    elapsed_seconds: float
    fraction: float | None = None
    unit: str = "frames"
    first_seconds: float | None = None

    @property
    def percent(self) -> float | None:
        """From 0 to 100; None if unknown."""
        fraction = self._fraction
        return None if fraction is None else min(100.0, 100 * fraction)

    @property
    def seconds_per_unit(self) -> float | None:
        """The average so far, at the end that of the whole work; None while too little was seen of it."""
        if self.first_seconds is None or self.done == self.total:
            return self.elapsed_seconds / self.done if self.done else None
        seen = self.elapsed_seconds - self.first_seconds
        if self.done < 2 or seen < max(_LEAST_SEEN_SECONDS, _LEAST_SEEN_SHARE * self.first_seconds):  # noqa: PLR2004
            return None
        return seen / (self.done - 1)

    @property
    def remaining_seconds(self) -> float | None:
        """Estimated time left at the average speed so far; None if unknown."""
        if self.fraction is not None:
            return self.elapsed_seconds * max(0.0, 1 - self.fraction) / self.fraction if self.fraction else None
        left = None if not self.total else max(0, self.total - self.done)
        if left == 0:
            return 0.0
        return None if left is None or self.seconds_per_unit is None else left * self.seconds_per_unit

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
    def _fraction(self) -> float | None:
        if self.fraction is not None or not self.total:
            return self.fraction
        return self.done / self.total


WAITING_FOR: Final = "waiting_for"
"""Field of a progress update: what the job waits for, such as "the store"; missing while it does not wait."""


def update_of(progress: Progress | None, waiting_for: str | None) -> dict[str, Any]:
    """A progress update as clients see it: `Progress.as_update` and ``waiting_for``, as far as known."""
    update = {} if progress is None else progress.as_update()
    return update if waiting_for is None else {**update, WAITING_FOR: waiting_for}


class _StopWith(threading.Event):
    """An event that is also set if another one is."""

    def __init__(self, other: threading.Event) -> None:
        super().__init__()
        self._other = other

    def is_set(self) -> bool:
        return super().is_set() or self._other.is_set()


@dataclass(slots=True)
class Job:
    """A running job. Threads share it: cancelling it from one stops the others at their next ``check``.

    Attributes:
        id: Its id in the log.
        report: Called with the progress after each frame.
        warnings: Sentences for the client about the result.
        on_model_loading: Called with the name of a model when it starts loading, and with None when it has loaded.
        on_waiting: Called with what the job waits for, such as "the store", and with None when it no longer waits.
        on_device_lost: Called when the GPU has failed, before anybody is told that the job has failed.
        keeps_partial: Whether a cancelled job still finishes its video with the frames computed so far.
        is_interrupted: Whether it was stopped only to run again elsewhere.
        measurements: What is measured of it; jobs within it add to them.
    """

    id: str = "local"
    report: Callable[[Progress], None] = lambda _progress: None
    warnings: list[str] = field(default_factory=list)
    on_model_loading: Callable[[str | None], None] = lambda _model: None
    on_waiting: Callable[[str | None], None] = lambda _what: None
    on_device_lost: Callable[[], None] = lambda: None
    keeps_partial: bool = False
    is_interrupted: bool = field(default=False, init=False)
    measurements: Measurements = field(default_factory=Measurements)
    _stop: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Ask the job to stop; safe from any thread."""
        self._stop.set()

    def interrupt(self) -> None:
        """Ask the job to stop because this process ends. Nobody is told, because it runs again elsewhere."""
        self.is_interrupted = True
        self.cancel()

    @property
    def is_cancelled(self) -> bool:
        """Whether the job was asked to stop."""
        return self._stop.is_set()

    def check(self) -> None:
        """Return if the job may go on.

        Raises:
            Cancelled: The job was asked to stop.
        """
        if self._stop.is_set():
            raise Cancelled("The job was cancelled.")

    def warn(self, sentence: str) -> None:
        """Add a warning for the client; a sentence that was added before is ignored."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def sub_job(self, report: Callable[[Progress], None]) -> Job:
        """A job within this one, with its own warnings and progress; cancelling this one cancels it."""
        return Job(
            self.id,
            report,
            on_model_loading=self.on_model_loading,
            on_waiting=self.on_waiting,
            keeps_partial=self.keeps_partial,
            measurements=self.measurements,
            _stop=self._stop,
        )

    def part(self) -> Job:
        """A part of this job that runs beside others: it has its own warnings, and can be cancelled alone as well.

        Its progress is not reported, and it keeps nothing partial.
        """
        return Job(self.id, on_waiting=self.on_waiting, measurements=self.measurements, _stop=_StopWith(self._stop))

    @property
    def loading_seconds(self) -> float:
        """Time spent on loading models so far, which estimates of the remaining time leave out."""
        return self.measurements.seconds("model")

    @contextmanager
    def loading(self, model: str) -> Iterator[None]:
        """Report that a model is being loaded, and leave the time it takes out of the estimates."""
        self.on_model_loading(model)
        try:
            with self.measurements.stage("model"):
                yield
        finally:
            self.on_model_loading(None)

    def watch(self, items: Iterable[T], total: int | None) -> Iterator[T]:
        """Yield ``items``, reporting progress after each and stopping as soon as the job is cancelled.

        What makes the next item is stopped, too, where it waits or reads packets. However it ends, the iterator of
        ``items`` is closed then, so that no thread works on behind it.
        """
        started = time.monotonic() - self.loading_seconds
        first = None
        with closing(iter(items)) as iterator:
            for done in count(1):
                with stoppable(with_current(self.check)):
                    item = next(iterator, _END)
                if item is _END:
                    return
                self.check()
                yield cast("T", item)
                elapsed = time.monotonic() - started - self.loading_seconds
                first = elapsed if first is None else first
                self.report(Progress(done, total, elapsed, first_seconds=first))

    def until_cancelled(self, items: Iterable[T]) -> Iterator[T]:
        """Yield ``items``; if the job is cancelled and keeps partial results, end early instead of raising.

        Raises:
            Cancelled: The job was cancelled before the first item, or does not keep partial results.
        """
        is_empty = True
        try:
            for item in items:
                is_empty = False
                yield item
        except Cancelled:
            if is_empty or not self.keeps_partial:
                raise
