"""Out of memory answers "split": the same work is done again in smaller pieces, and its pixels stay right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from framepack.errors import OutOfMemory
from framepack.models.memory.device import is_out_of_memory

if TYPE_CHECKING:
    from framepack.models.memory.device import Device

T = TypeVar("T")

SMALLEST_TILE: Final = 64


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """A way to split: so many frames at once, in tiles of at most so many pixels a side (0: whole frames)."""

    frames: int
    tile: int

    def smaller(self, side: int) -> BatchPlan | None:
        """The next way down for frames whose longer side is ``side``, or None below the last one."""
        if self.frames > 1:
            return replace(self, frames=1)
        tile = min(self.tile or side, side)
        return BatchPlan(1, max(SMALLEST_TILE, tile // 2)) if tile > SMALLEST_TILE else None


@dataclass(frozen=True, slots=True)
class WorkShape:
    """What decides about memory: the size of the largest frame that is cut, and the tile size asked for."""

    width: int
    height: int
    tile_size: int


class OomFallback:
    """Finds the pieces that fit, and remembers them.

    Args:
        device: whose memory it is.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._fitting: dict[WorkShape, BatchPlan] = {}

    def known(self, case: WorkShape) -> BatchPlan | None:
        """What fitted last."""
        return self._fitting.get(case)

    def forget(self) -> None:
        """Start over: what did not fit then may fit now."""
        self._fitting = {}

    def fit(self, work: Callable[[slice, int], list[T]], count: int, case: WorkShape, first: BatchPlan) -> list[T]:
        """Do work on ``count`` frames, from the rung ``first`` down until it fits.

        When memory runs out, all that has been made is thrown away and made again: in the same pieces if idle models
        could leave, else in smaller ones.

        Args:
            work: does the frames of a slice in tiles of so many pixels.
            count: number of frames.
            case: under which to remember what fitted.
            first: where to begin.

        Returns:
            The results of all slices, in order.

        Raises:
            OutOfMemory: not even the smallest pieces fit.
        """
        batch_plan: BatchPlan | None = first
        while batch_plan is not None:
            results = attempt(partial(_in_pieces, work, count, batch_plan))
            if results is not None:
                self._fitting[case] = batch_plan
                return results
            if not self._device.free_memory():
                batch_plan = replace(batch_plan, frames=min(batch_plan.frames, count)).smaller(
                    max(case.width, case.height)
                )
        raise OutOfMemory(
            f"The worker's memory is too small for this model, even in tiles of {SMALLEST_TILE} pixels: "
            "choose a smaller one."
        )


def attempt(work: Callable[[], T]) -> T | None:
    """Do work that makes anything but None; return None if memory ran out.

    The exception is gone by then, and with it the tensors that it held.
    """
    try:
        return work()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    return None


def retry_after_oom(work: Callable[[], T], free_memory: Callable[[], object], refusal: str) -> T:
    """Do work that makes anything but None; if memory runs out, do it once more after others have left.

    Args:
        work: what to do; starts over when it is done again.
        free_memory: frees what can be freed, such as ``device.free_memory``.
        refusal: the sentence for the client if memory runs out again.

    Raises:
        OutOfMemory: it does not fit.
    """
    made = attempt(work)
    if made is None:
        free_memory()
        made = attempt(work)
    if made is None:
        raise OutOfMemory(refusal)
    return made


def _in_pieces(work: Callable[[slice, int], list[T]], count: int, batch_plan: BatchPlan) -> list[T]:
    starts = range(0, count, batch_plan.frames)
    return [result for start in starts for result in work(slice(start, start + batch_plan.frames), batch_plan.tile)]
