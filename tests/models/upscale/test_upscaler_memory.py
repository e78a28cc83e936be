"""Running out of memory: smaller pieces, the same pixels, and an end to it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from framepack.errors import OutOfMemory
from framepack.models.memory.device import Device
from framepack.models.memory.oom import BatchPlan, WorkShape
from framepack.models.upscale.upscaler import Upscaler
from framepack.units import MB
from tests.support.recipes import Neighbors
from tests.support.upscaling import Watched, compact, rrdb

CPU = Device(torch.device("cpu"))
ERRORS: list[Callable[[], Exception]] = [
    lambda: torch.OutOfMemoryError("CUDA out of memory."),
    lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."),
    MemoryError,
]


def above(pixels: int, error: Callable[[], Exception] = ERRORS[0]) -> Callable[[Tensor, int], Exception | None]:
    """Fail whenever a network is given more than so many pixels at once."""

    def fails(given: Tensor, _number: int) -> Exception | None:
        return error() if given.shape[0] * given.shape[2] * given.shape[3] > pixels else None

    return fails


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(("pixels", "tile"), [(60_000, 0), (20_000, 150), (10_000, 75), (5_000, 64)])
def test_after_out_of_memory_the_result_is_that_of_smaller_tiles(
    pixels: int, tile: int, error: Callable[[], Exception]
) -> None:
    """However far it has to go down, every pixel is what a run in such tiles from the start gives."""
    batch = torch.rand(2, 3, 200, 300, generator=torch.Generator().manual_seed(0))
    direct = Upscaler(compact(), CPU)
    expected = torch.cat([direct(frame[None], tile_size=tile) for frame in batch])
    upscaler = Upscaler(compact(), CPU)
    Watched(upscaler._network, above(pixels, error))
    assert torch.equal(upscaler(batch), expected)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_after_out_of_memory_no_earlier_tile_is_reused(number: int) -> None:
    """If memory runs out at any tile, all tiles are made anew, and none is left from before."""
    batch = torch.rand(1, 3, 24, 360, generator=torch.Generator().manual_seed(0))
    direct = Upscaler(rrdb(blocks=3), CPU)
    stale, expected = direct(batch, tile_size=128), direct(batch, tile_size=64)
    assert not torch.equal(stale, expected)
    upscaler = Upscaler(rrdb(blocks=3), CPU)
    watched = Watched(upscaler._network, lambda _, call: MemoryError() if call == number else None)
    assert torch.equal(upscaler(batch, tile_size=128), expected)
    assert len({shape[-2:] for shape in watched.shapes}) == 2


def test_batches_are_split_before_frames_are_tiled() -> None:
    """A batch that does not fit is first done frame by frame."""
    upscaler = Upscaler(compact(), CPU)
    watched = Watched(upscaler._network, above(150 * 100))
    batch = torch.rand(3, 3, 100, 150)

    def work(part: slice, tile: int) -> list[Tensor]:
        return list(upscaler.run(batch[part], tile, lambda: None))

    made = upscaler._fallback.run(work, 3, WorkShape(150, 100, 0), BatchPlan(3, 0))
    assert [shape[0] for shape in watched.shapes] == [3, 1, 1, 1]
    assert torch.equal(torch.stack(made), Upscaler(compact(), CPU)(batch))


def test_the_plan_that_fitted_is_remembered() -> None:
    """The next frames of that size do not fail again; other sizes and later jobs begin at the top."""
    upscaler = Upscaler(compact(), CPU)
    failures: list[int] = []
    limit = above(20_000)

    def fails(given: Tensor, number: int) -> Exception | None:
        error = limit(given, number)
        failures.extend([number] if error else [])
        return error

    Watched(upscaler._network, fails)
    counts = []
    for forget, size in ((False, 200), (False, 200), (False, 208), (True, 200)):
        if forget:
            upscaler.forget()
        upscaler(torch.rand(1, 3, 200, size))
        counts.append(len(failures))
    assert counts[0] > 0
    assert counts[1] == counts[0]
    assert counts[2] == 2 * counts[0]
    assert counts[3] == 3 * counts[0]


class Witnesses(Neighbors):
    """Neighbors that note which exception is being handled when they are asked to leave."""

    def __init__(self, idle: int = 0) -> None:
        super().__init__(idle)
        self.pending: list[BaseException | None] = []

    def evict_idle(self, until: Callable[[], bool] | None = None) -> Sequence[object]:
        """Note and leave."""
        self.pending.append(sys.exc_info()[1])
        return super().evict_idle(until)


def test_out_of_memory_evicts_idle_models_before_splitting() -> None:
    """Each time, whatever else is in memory may leave first; by then the error and its tensors are gone."""
    others = Witnesses()
    upscaler = Upscaler(compact(), replace(CPU, residents=others))
    Watched(upscaler._network, above(15_000))
    upscaler(torch.rand(1, 3, 200, 300))
    assert others.pending == [None, None]


def test_idle_models_are_evicted_before_batches_are_split() -> None:
    """When memory runs out, the same work is done again once something could leave; only then in smaller pieces."""
    others = Neighbors(idle=1)
    upscaler = Upscaler(compact(), replace(CPU, residents=others))
    watched = Watched(upscaler._network, lambda _, number: MemoryError() if number <= 2 else None)
    upscaler(torch.rand(1, 3, 200, 300))
    assert [shape[2:] for shape in watched.shapes[:2]] == [(200, 300)] * 2
    assert max(shape[3] for shape in watched.shapes[2:]) < 300
    assert others.asked == 2


def test_idle_models_are_evicted_before_frames_are_tiled() -> None:
    """A frame that would fit beside fewer models is not cut into tiles: as many leave as are in its way."""
    limit = 600 * MB
    frame = torch.rand(1, 3, 290, 300)
    alone = Upscaler(compact(feat=64), Device(CPU.torch_device, limit))
    free = limit - 2 * alone.memory.bytes_of(290 * 300, 300)
    others = Neighbors(idle=4, held_mb=free // MB // 2)
    assert free > 0
    upscaler = Upscaler(compact(feat=64), Device(CPU.torch_device, limit, residents=others))
    watched = Watched(upscaler._network)
    upscaler(frame)
    assert [shape[2:] for shape in watched.shapes] == [(290, 300)]
    assert others.idle == 2


def test_out_of_memory_in_the_smallest_tiles_raises() -> None:
    """If not even the smallest tiles fit, the client is told in one sentence."""
    upscaler = Upscaler(compact(), CPU)
    watched = Watched(upscaler._network, above(0))
    with pytest.raises(OutOfMemory, match="64 pixels") as caught:
        upscaler(torch.rand(2, 3, 150, 200))
    assert caught.value.status == 503
    assert len(watched.shapes) in {3, 5}  # with an even number of threads two frames are tried at once, and one alone
    assert caught.value.__context__ is None


def test_small_frames_have_fewer_plans() -> None:
    """A frame that is no larger than the smallest tile fails at once."""
    upscaler = Upscaler(compact(), CPU)
    watched = Watched(upscaler._network, above(0))
    with pytest.raises(OutOfMemory):
        upscaler(torch.rand(1, 3, 48, 64))
    assert len(watched.shapes) == 1


def test_other_errors_are_not_treated_as_out_of_memory() -> None:
    """Any other error comes out as it is, at once."""
    upscaler = Upscaler(compact(), CPU)
    watched = Watched(upscaler._network, lambda *_: RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes cannot"):
        upscaler(torch.rand(1, 3, 100, 100))
    assert len(watched.shapes) == 1


@pytest.mark.parametrize(
    ("batch_plan", "expected"),
    [
        (BatchPlan(4, 0), BatchPlan(1, 0)),
        (BatchPlan(4, 256), BatchPlan(1, 256)),
        (BatchPlan(1, 0), BatchPlan(1, 320)),
        (BatchPlan(1, 1000), BatchPlan(1, 320)),
        (BatchPlan(1, 320), BatchPlan(1, 160)),
        (BatchPlan(1, 100), BatchPlan(1, 64)),
        (BatchPlan(1, 64), None),
        (BatchPlan(1, 32), None),
    ],
)
def test_sequence_of_smaller_plans(batch_plan: BatchPlan, expected: BatchPlan | None) -> None:
    """First single frames, then halves of what a frame of 640 pixels is cut into, down to 64."""
    assert batch_plan.smaller(640) == expected
