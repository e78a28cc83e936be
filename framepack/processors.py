"""How many threads libraries may use, and how these wait: as suits the processors that this process has.

Libraries ask for the machine's processors, or for those that the process may be scheduled on. A container's quota is
known to neither: on a host with 64 processors, x264 would start 90 threads with 100 MB each for a quota of four.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

MAX_THREADS: Final = 16
"""More threads take memory, and gain little for one video."""

_CGROUPS: Final = Path("/sys/fs/cgroup")


def usable_processors(cgroups: Path = _CGROUPS) -> int:
    """The processors that this process may use: its affinity, within its container's quota, rounded up."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroups)
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def usable_threads(cgroups: Path = _CGROUPS) -> int:
    """The number of threads for a library that computes: one per usable processor, at most 16."""
    return min(usable_processors(cgroups), MAX_THREADS)


def limit_threads(get_count: Callable[[], int], set_count: Callable[[int], object]) -> None:
    """Lower a library's number of threads to the usable ones. A lower number, which somebody has chosen, is kept."""
    count = usable_threads()
    if get_count() > count:
        set_count(count)


def let_waiting_threads_sleep() -> None:
    """Let the threads of networks sleep while they wait for each other, unless the environment says how they wait.

    They would spin for a moment, which is faster only if no other thread wants their processors. A video's encoder
    does, as do other programs: on two busy processors, small layers took 15 times as long. Call it before PyTorch is
    imported, which reads the variable once. Processes that are started inherit it.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # noqa: TID251 - not a setting


def _quota(cgroups: Path) -> float | None:
    """Processors that the container may use in the mean; None if there is no limit."""
    for read in (_version_2, _version_1):
        try:
            quota, period = read(cgroups)
        except (OSError, ValueError):  # does not exist, or is "max"
            continue
        if quota > 0 and period > 0:  # version 1 has -1 for no limit
            return quota / period
    return None


def _version_2(cgroups: Path) -> tuple[int, int]:
    quota, period = (cgroups / "cpu.max").read_text().split()
    return int(quota), int(period)


def _version_1(cgroups: Path) -> tuple[int, int]:
    folder = cgroups / "cpu"
    return int((folder / "cpu.cfs_quota_us").read_text()), int((folder / "cpu.cfs_period_us").read_text())
