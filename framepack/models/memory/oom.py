"""Recover from running out of memory: free what can be freed and try again, then do the same work in smaller pieces.

Every helper here catches the error, drops it, and only then frees memory or tries again. While an exception is alive,
its traceback keeps every tensor of the failed attempt alive, and nothing could be freed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from framepack.errors import OutOfMemory
from framepack.models.memory.device import is_out_of_memory

if TYPE_CHECKING:
    from framepack.models.memory.device import Device

T = TypeVar("T")

MIN_TILE: Final = 64


def none_on_oom(work: Callable[[], T]) -> T | None:
    """Return the result of ``work``, which must not be None, or None if memory ran out."""
    try:
        return work()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    return None


def first_that_fits(
    ways: Sequence[Callable[[], T]], free_memory: Callable[[], object], message: str, *, start: int = 0
) -> tuple[T, int]:
    """Try several ways to do the same work until one of them fits into memory.

    Args:
        ways: From the fastest to the one that takes the least memory. Each is tried twice, the second time after
            memory was freed; each starts from the beginning and returns anything but None.
        free_memory: Frees what can be freed, such as ``device.free_memory``.
        message: Error message for the client if none of them fits.
        start: Index of the first way to try.

    Returns:
        The result, and the index of the way that fitted.

    Raises:
        OutOfMemory: None of them fits.
    """
    for index in range(start, len(ways)):
        result = none_on_oom(ways[index])
        if result is None:
            free_memory()
            result = none_on_oom(ways[index])
        if result is not None:
            return result, index
        free_memory()
    raise OutOfMemory(message)


def retry_after_oom(work: Callable[[], T], free_memory: Callable[[], object], message: str) -> T:
    """Do work that cannot be split: if memory runs out, free memory and try once more; see ``first_that_fits``.

    Raises:
        OutOfMemory: It does not fit.
    """
    return first_that_fits([work], free_memory, message)[0]


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How to split the work.

    Attributes:
        frames: Number of frames per batch.
        tile: Maximum tile width and height in pixels, without the overlap; 0: whole frames.
    """

    frames: int
    tile: int

    def smaller(self, side: int) -> BatchPlan | None:
        """The next smaller plan for frames whose longer side is ``side``, or None if this is the smallest."""
        if self.frames > 1:
            return replace(self, frames=1)
        tile = min(self.tile or side, side)
        return BatchPlan(1, max(MIN_TILE, tile // 2)) if tile > MIN_TILE else None


@dataclass(frozen=True, slots=True)
class WorkShape:
    """What the memory of upscaling depends on: the size of a frame and the requested tile size (0: automatic)."""

    width: int
    height: int
    tile_size: int


class OomFallback:
    """Splits batches of frames until they fit into memory, and remembers the plan that fitted.

    Args:
        device: Whose memory is used.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._fitting: dict[WorkShape, BatchPlan] = {}

    def known(self, shape: WorkShape) -> BatchPlan | None:
        """The plan that fitted last time, or None."""
        return self._fitting.get(shape)

    def forget(self) -> None:
        """Forget all plans: what did not fit before may fit now."""
        self._fitting = {}

    def run(self, work: Callable[[slice, int], list[T]], count: int, shape: WorkShape, first: BatchPlan) -> list[T]:
        """Do work on ``count`` frames by the plan ``first``, or by the first smaller plan that fits.

        When memory runs out, the results so far are discarded. The same plan is tried again only if idle models were
        evicted: a failed attempt may have cost seconds, and would fail in the same place. (``first_that_fits`` always
        tries twice, because it has few ways to choose from.)

        Args:
            work: Processes a slice of the frames in tiles of the given size.
            count: Number of frames.
            shape: Key under which the plan that fitted is remembered.
            first: Plan to begin with.

        Returns:
            The results of all slices, in order.

        Raises:
            OutOfMemory: Even the smallest plan does not fit.
        """
        plan: BatchPlan | None = first
        while plan is not None:
            results = none_on_oom(partial(_run_plan, work, count, plan))
            if results is not None:
                self._fitting[shape] = plan
                return results
            if not self._device.free_memory():
                plan = replace(plan, frames=min(plan.frames, count)).smaller(max(shape.width, shape.height))
        raise OutOfMemory(
            f"The worker's memory is too small for this model, even in tiles of {MIN_TILE} pixels: "
            "choose a smaller one."
        )


def _run_plan(work: Callable[[slice, int], list[T]], count: int, plan: BatchPlan) -> list[T]:
    starts = range(0, count, plan.frames)
    return [result for start in starts for result in work(slice(start, start + plan.frames), plan.tile)]
