"""What is measured of a running job: the seconds that it spends in each stage, and the frames that it makes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Stage = Literal["source", "model", "frames", "publish"]


class Measurements:
    """Splits the time of a job among its stages. Threads share it.

    At any moment one stage gets the time: the one that was entered last of those that are open, in whatever thread.
    So a model that is loaded while frames are made is not part of ``frames``, and stages add up to at most the total.

    Attributes:
        frames: Number of frames that the job has made.
        has_network: Whether the job has used a network.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.has_network = False
        self._lock = threading.Lock()
        self._started = self._charged = time.monotonic()
        self._open: list[Stage] = []
        self._seconds: dict[Stage, float] = {}

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Spend the time of the block in a stage, except for stages that are entered in it."""
        with self._lock:
            self._charge()
            self._open.append(stage)
        try:
            yield
        finally:
            with self._lock:
                self._charge()
                self._open.reverse()
                self._open.remove(stage)  # the one that was entered last
                self._open.reverse()

    def seconds(self, stage: Stage) -> float:
        """Seconds in a stage so far."""
        with self._lock:
            self._charge()
            return self._seconds.get(stage, 0.0)

    @property
    def total_seconds(self) -> float:
        """Seconds since the start of the job."""
        return time.monotonic() - self._started

    def _charge(self) -> None:
        """Give the time since the last change to the stage that was entered last."""
        now = time.monotonic()
        if self._open:
            self._seconds[self._open[-1]] = self._seconds.get(self._open[-1], 0.0) + now - self._charged
        self._charged = now
