"""Two sides of a comparison, measured in turn: ours and another one that does the same work.

A ratio says how many times as fast ours is: above 1 it is faster, below 1 slower. It is the median of the ratios of
pairs, so that a machine that slows down slows both sides of a pair. Seconds of the CPU, with those of the processes
that a side starts and waits for, tell some of what a busy machine hides.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

Work = Callable[[], object]

HEAD: Final = f"{'':46}{'ours, s':>9}{'other, s':>10}{'ratio':>8}{'in CPU':>8}"


# A small process in between: the peak of a new process begins with that of the one that starts it.
_LAUNCHER: Final = """
import resource, subprocess, sys, time
started = time.perf_counter()
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
sys.exit(status)
"""


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock and of the CPU, and the most memory in MiB, where it was measured."""

    wall: float
    cpu: float
    peak: float = 0

    def __sub__(self, other: Cost) -> Cost:
        """What is left without ``other``."""
        return Cost(max(self.wall - other.wall, 1e-6), max(self.cpu - other.cpu, 1e-6))

    @staticmethod
    def of(work: Work) -> Cost:
        """Measure, with the processes that it starts and waits for."""
        before, started = sum(os.times()[:4]), time.perf_counter()
        work()
        return Cost(time.perf_counter() - started, sum(os.times()[:4]) - before)

    @staticmethod
    def of_process(command: Sequence[str], folder: Path) -> Cost:
        """Measure a process.

        Args:
            command: Its program and arguments.
            folder: Where it runs.

        Raises:
            subprocess.CalledProcessError: It failed.
        """
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *command]
        done = subprocess.run(launcher, cwd=folder, stdout=subprocess.PIPE, check=False, text=True)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command)
        return Cost(*map(float, done.stdout.split()))

    def best(self, other: Cost | None) -> Cost:
        """The lower of both figures."""
        return self if other is None else Cost(min(self.wall, other.wall), min(self.cpu, other.cpu))


@dataclass(frozen=True)
class Pairs:
    """What both sides took in each round."""

    ours: Sequence[Cost]
    other: Sequence[Cost]

    @property
    def ratio(self) -> float:
        """How many times as fast ours is, on the clock."""
        return statistics.median(b.wall / a.wall for a, b in zip(self.ours, self.other, strict=True))

    @property
    def cpu_ratio(self) -> float:
        """How many times the CPU the other side takes."""
        return statistics.median(b.cpu / a.cpu for a, b in zip(self.ours, self.other, strict=True))

    def line(self, name: str) -> str:
        """A line below `HEAD`, with the peaks of both sides where they were measured."""
        sides = self.ours, self.other
        seconds = [statistics.median(cost.wall for cost in costs) for costs in sides]
        peaks = [max(cost.peak for cost in costs) for costs in sides]
        memory = f"   {peaks[0]:.0f} and {peaks[1]:.0f} MiB" if all(peaks) else ""
        return f"{name:46}{seconds[0]:9.2f}{seconds[1]:10.2f}{self.ratio:8.2f}{self.cpu_ratio:8.2f}{memory}"


def in_turn(ours: Callable[[], Cost], other: Callable[[], Cost], rounds: int) -> Pairs:
    """Measure both sides in turn; which one is first takes turns, too."""
    costs: tuple[list[Cost], list[Cost]] = ([], [])
    for number in range(rounds):
        sides = [(costs[0], ours), (costs[1], other)]
        for kept, measure in sides if number % 2 else reversed(sides):
            kept.append(measure())
    return Pairs(*costs)
