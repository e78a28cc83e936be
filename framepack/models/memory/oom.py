"""Recover from running out of memory: free what can be freed and try again, then do the same work in smaller pieces.

Every helper here catches the error, drops its traceback, and only then frees memory or tries again. While a traceback
is alive, it keeps every tensor of the failed attempt alive, and nothing could be freed.

Some errors of cuDNN and cuBLAS may mean that memory ran out, or something else. They are treated alike, but if the
last way fails with one of them, it is raised as it is.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from framepack.errors import OutOfMemory
from framepack.models.memory.device import is_out_of_memory, is_perhaps_out_of_memory, wait_for_gpu

if TYPE_CHECKING:
    from framepack.models.memory.device import Device

T = TypeVar("T")

log = logging.getLogger("framepack.models")

MIN_TILE: Final = 64


@dataclass(frozen=True, slots=True)
class Shortage:
    """The outcome of work for which memory ran out.

    Attributes:
        reason: The error, without its traceback, if it may have meant something else.
    """

    reason: RuntimeError | None = None

    def error(self, message: str) -> Exception:
        """What to raise when there is no other way to do the work."""
        return OutOfMemory(message) if self.reason is None else self.reason


def try_to_fit(work: Callable[[], T]) -> T | Shortage:
    """Return the result of ``work``, or that memory ran out.

    Raises:
        RuntimeError: The GPU failed, and an error that was taken for a shortage of memory was only the first sign.
    """
    try:
        return work()
    except Exception as error:
        if is_out_of_memory(error):
            return Shortage()
        if not isinstance(error, RuntimeError) or not is_perhaps_out_of_memory(error):
            raise
        wait_for_gpu()
        log.warning("Memory may have run out: %s", traceback.format_exc())  # handlers may keep an ``exc_info``
        reason = error.with_traceback(None)
    reason.__context__ = reason.__cause__ = None  # their tracebacks keep tensors alive as well
    return Shortage(reason)


def first_that_fits(
    ways: Sequence[Callable[[], T]], free_memory: Callable[[], object], message: str, *, start: int = 0
) -> tuple[T, int]:
    """Try several ways to do the same work until one of them fits into memory.

    Args:
        ways: From the fastest to the one that takes the least memory. Each is tried twice, the second time after
            memory was freed; each starts from the beginning.
        free_memory: Frees what can be freed, such as ``device.free_memory``.
        message: Error message for the client if none of them fits.
        start: Index of the first way to try.

    Returns:
        The result, and the index of the way that fitted.

    Raises:
        OutOfMemory: None of them fits.
        RuntimeError: The last of them failed with an error that may mean something else than a shortage of memory.
    """
    shortage = Shortage()
    for index in range(start, len(ways)):
        for _ in range(2):
            outcome = try_to_fit(ways[index])
            if not isinstance(outcome, Shortage):
                if index > start:
                    log.warning("Memory ran out: the work is done in the way %d of %d.", index + 1, len(ways))
                return outcome, index
            shortage = outcome
            free_memory()
    raise shortage.error(message)


def retry_after_oom(work: Callable[[], T], free_memory: Callable[[], object], message: str) -> T:
    """Do work that cannot be split: if memory runs out, free memory and try once more; see ``first_that_fits``.

    Raises:
        OutOfMemory: It does not fit.
        RuntimeError: As for ``first_that_fits``.
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
            RuntimeError: With the smallest plan, there is an error that may mean something else.
        """
        plan: BatchPlan | None = first
        shortage = Shortage()
        while plan is not None:
            outcome = try_to_fit(partial(_run_plan, work, count, plan))
            if not isinstance(outcome, Shortage):
                self._fitting[shape] = plan
                return outcome
            shortage = outcome
            if not self._device.free_memory():
                plan = replace(plan, frames=min(plan.frames, count)).smaller(max(shape.width, shape.height))
                if plan is not None:
                    log.warning("Memory ran out: %s and %s.", shape, plan)
        raise shortage.error(
            f"The worker's memory is too small for this model, even in tiles of {MIN_TILE} pixels: "
            "choose a smaller one."
        )


def _run_plan(work: Callable[[slice, int], list[T]], count: int, plan: BatchPlan) -> list[T]:
    starts = range(0, count, plan.frames)
    return [result for start in starts for result in work(slice(start, start + plan.frames), plan.tile)]
