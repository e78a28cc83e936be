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
class Rung:
    """A way to split: so many frames at once, in tiles of at most so many pixels a side (0: whole pictures)."""

    frames: int
    tile: int

    def smaller(self, side: int) -> Rung | None:
        """The next way down for pictures whose longer side is ``side``, or None below the last one."""
        if self.frames > 1:
            return replace(self, frames=1)
        tile = min(self.tile or side, side)
        return Rung(1, max(SMALLEST_TILE, tile // 2)) if tile > SMALLEST_TILE else None


@dataclass(frozen=True, slots=True)
class Case:
    """What decides about memory: the size of the largest picture that is cut, and the tile size asked for."""

    width: int
    height: int
    tile_size: int


class Splitter:
    """Finds the pieces that fit, and remembers them.

    Args:
        device: whose memory it is.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._fitting: dict[Case, Rung] = {}

    def known(self, case: Case) -> Rung | None:
        """What fitted last."""
        return self._fitting.get(case)

    def forget(self) -> None:
        """Start over: what did not fit then may fit now."""
        self._fitting = {}

    def fit(self, work: Callable[[slice, int], list[T]], count: int, case: Case, first: Rung) -> list[T]:
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
        rung: Rung | None = first
        while rung is not None:
            results = attempt(partial(_in_pieces, work, count, rung))
            if results is not None:
                self._fitting[case] = rung
                return results
            if not self._device.relieve():
                rung = replace(rung, frames=min(rung.frames, count)).smaller(max(case.width, case.height))
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


def insist(work: Callable[[], T], relieve: Callable[[], object], refusal: str) -> T:
    """Do work that makes anything but None; if memory runs out, do it once more after others have left.

    Args:
        work: what to do; starts over when it is done again.
        relieve: frees what can be freed, such as ``device.relieve``.
        refusal: the sentence for the client if memory runs out again.

    Raises:
        OutOfMemory: it does not fit.
    """
    made = attempt(work)
    if made is None:
        relieve()
        made = attempt(work)
    if made is None:
        raise OutOfMemory(refusal)
    return made


def _in_pieces(work: Callable[[slice, int], list[T]], count: int, rung: Rung) -> list[T]:
    starts = range(0, count, rung.frames)
    return [result for start in starts for result in work(slice(start, start + rung.frames), rung.tile)]
