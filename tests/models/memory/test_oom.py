"""The ladder of smaller pieces: what is taken for a shortage of memory, and what is raised in the end."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch

from framepack.errors import OutOfMemory
from framepack.models.memory.device import Device
from framepack.models.memory.oom import BatchPlan, OomFallback, WorkShape, first_that_fits, retry_after_oom

SHAPE = WorkShape(512, 256, 0)
UNCLEAR = "GET was unable to find an engine to execute this computation"
SHORT = "CUDA error: out of memory"
LOST = "CUDA error: an illegal memory access was encountered"


def ladder() -> OomFallback:
    """A ladder on the CPU, where freeing memory evicts nothing."""
    return OomFallback(Device(torch.device("cpu")))


def fails_above(tile: int, text: str, tried: list[BatchPlan]) -> Callable[[slice, int], list[Any]]:
    """Work that fails on pieces larger than a tile."""

    def work(frames: slice, size: int) -> list[Any]:
        tried.append(BatchPlan(frames.stop - frames.start, size))
        if not size or size > tile:
            raise RuntimeError(text)
        return [size]

    return work


@pytest.mark.parametrize("text", [UNCLEAR, SHORT])
def test_an_unclear_error_leads_down_the_ladder_like_a_shortage(text: str) -> None:
    """Each plan is tried once, and the plan that fits is remembered."""
    tried: list[BatchPlan] = []
    oom = ladder()

    assert oom.run(fails_above(128, text, tried), 4, SHAPE, BatchPlan(4, 0)) == [128] * 4
    assert tried[:4] == [BatchPlan(4, 0), BatchPlan(1, 0), BatchPlan(1, 256), BatchPlan(1, 128)]
    assert oom.known(SHAPE) == BatchPlan(1, 128)


def test_an_unclear_error_with_every_plan_is_raised_as_it_is() -> None:
    """It was not about memory, and nobody is told that it was. Every plan was tried once."""
    tried: list[BatchPlan] = []

    with pytest.raises(RuntimeError) as caught:
        ladder().run(fails_above(0, UNCLEAR, tried), 1, SHAPE, BatchPlan(1, 0))

    assert (type(caught.value), str(caught.value)) == (RuntimeError, UNCLEAR)
    assert [plan.tile for plan in tried] == [0, 256, 128, 64]


def test_a_shortage_with_every_plan_is_reported_as_one() -> None:
    """Also if an unclear error came before."""
    tried: list[BatchPlan] = []
    unclear, short = fails_above(0, UNCLEAR, tried), fails_above(0, SHORT, tried)

    with pytest.raises(OutOfMemory):
        ladder().run(
            lambda frames, tile: (unclear if tile == 256 else short)(frames, tile), 1, SHAPE, BatchPlan(1, 0)
        )

    assert len(tried) == 4


@pytest.mark.parametrize("text", ["shape mismatch", LOST])
def test_an_error_that_is_not_about_memory_ends_the_ladder_at_once(text: str) -> None:
    """It is not tried again."""
    tried: list[BatchPlan] = []

    with pytest.raises(RuntimeError, match=text):
        ladder().run(fails_above(0, text, tried), 1, SHAPE, BatchPlan(1, 0))

    assert len(tried) == 1


def test_a_gpu_that_failed_before_an_unclear_error_ends_the_ladder_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An illegal access of an earlier kernel is reported by cuDNN in its own words."""
    tried: list[BatchPlan] = []

    def synchronize(_place: int) -> None:
        raise RuntimeError(LOST)

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _place: 1)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)

    with pytest.raises(RuntimeError, match="illegal memory access"):
        ladder().run(fails_above(0, "CUDNN_STATUS_EXECUTION_FAILED", tried), 1, SHAPE, BatchPlan(1, 0))

    assert len(tried) == 1


@pytest.mark.parametrize(("text", "expected"), [(UNCLEAR, RuntimeError), (SHORT, OutOfMemory)])
def test_work_that_cannot_be_split_is_tried_twice(text: str, expected: type[Exception]) -> None:
    """Then the unclear error is raised as it is, and the clear one with a sentence."""
    calls = []

    def work() -> int:
        calls.append(1)
        raise RuntimeError(text)

    with pytest.raises(expected) as caught:
        retry_after_oom(work, list, "Too small.")

    assert str(caught.value) == (text if expected is RuntimeError else "Too small.")
    assert len(calls) == 2


def test_nothing_of_a_failed_attempt_is_alive_while_memory_is_freed() -> None:
    """The error itself is kept, its traceback and what it was raised from are not."""
    alive: list[weakref.ref[torch.Tensor]] = []
    left: list[int] = []

    def work() -> int:
        tensor = torch.zeros(10)
        alive.append(weakref.ref(tensor))
        try:
            return int([][len(tensor)])
        except IndexError as error:
            raise RuntimeError(UNCLEAR) from error

    def free() -> None:
        gc.collect()
        left.append(sum(each() is not None for each in alive))

    with pytest.raises(RuntimeError, match="unable to find an engine"):
        first_that_fits([work, work], free, "Too small.")

    assert left == [0, 0, 0, 0]


def test_a_way_that_needs_less_memory_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever wonders why a job was slow finds out."""
    tried: list[BatchPlan] = []
    ladder().run(fails_above(256, SHORT, tried), 1, SHAPE, BatchPlan(1, 0))

    assert "Memory ran out" in caplog.text
    assert "tile=256" in caplog.text
