"""Two small frames at once on a CPU: the same frames to the bit, in two threads, and as many threads as before."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from framepack.models.memory.oom import WorkShape
from framepack.models.upscale.side_by_side import side_by_side
from framepack.models.upscale.upscaler import Upscaler
from tests.support.faces import CPU
from tests.support.upscaling import compact, rrdb

SMALL = WorkShape(64, 48, 0)
LARGE = WorkShape(320, 240, 0)

pytestmark = pytest.mark.skipif(torch.get_num_threads() % 2 == 1, reason="PyTorch has an odd number of threads here")


@pytest.mark.parametrize("network", [compact(), rrdb(feat=64, blocks=1, scale=4)], ids=["Compact", "ESRGAN"])
def test_two_frames_at_once_are_those_computed_alone(network: object) -> None:
    """To the bit, and PyTorch has as many threads afterwards, here and in threads that begin later."""
    upscaler, threads = Upscaler(network, CPU), torch.get_num_threads()  # type: ignore[arg-type]
    frames = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(1))

    together = upscaler(frames)

    assert torch.equal(together, torch.cat([upscaler(frame[None]) for frame in frames]))
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert [torch.get_num_threads(), *later] == [threads, threads]


def test_each_frame_is_computed_in_a_thread_of_its_own_with_half_of_the_threads() -> None:
    """Both at the same time: neither returns before the other one has begun."""
    both = threading.Barrier(2)
    seen: list[tuple[str, int, int]] = []

    def network(frame: Tensor) -> Tensor:
        both.wait(timeout=60)
        seen.append((threading.current_thread().name, len(frame), torch.get_num_threads()))
        return -frame

    frames = torch.rand(2, 3, 4, 4)
    assert torch.equal(side_by_side(network, frames), -frames)
    assert len({name for name, _, _ in seen}) == 2
    assert [rest for _, *rest in seen] == [[1, torch.get_num_threads() // 2]] * 2


def test_only_small_frames_are_computed_at_once() -> None:
    """Where a layer takes long, threads share it; then memory is that of one frame."""
    upscaler = Upscaler(compact(), CPU)
    assert (upscaler.batch_size(SMALL), upscaler.batch_size(LARGE)) == (2, 1)


def test_where_two_frames_do_not_fit_each_is_computed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Running out of memory in one of the threads is no failure."""
    upscaler = Upscaler(compact(), CPU)
    plain, frames = upscaler._network, torch.rand(2, 3, 48, 64)
    expected = upscaler(frames)

    def cramped(given: Tensor) -> Tensor:
        if threading.current_thread().name.startswith("side-by-side"):
            raise torch.OutOfMemoryError("DefaultCPUAllocator: can't allocate memory")
        return plain(given)

    monkeypatch.setattr(upscaler, "_network", cramped)
    assert torch.equal(upscaler(frames), expected)
