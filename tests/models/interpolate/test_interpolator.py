"""The interpolator: any size, any batch, and what happens when memory is short."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from framepack.errors import OutOfMemory
from framepack.models.interpolate.interpolator import Interpolator
from framepack.models.interpolate.rife import load_rife
from framepack.models.memory.device import Device
from tests.support.interpolation import between, interpolator, mixing, noise, psnr
from tests.support.recipes import Neighbors
from tests.support.rife_reference import random_rife, reference

RANDOM = random_rife(7)


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (37, 101), (65, 127), (2, 130), (90, 64)])
def test_any_size_equals_the_padded_frame(size: tuple[int, int]) -> None:
    """A frame is what the network makes of it with its last row and column repeated up to a multiple of 64."""
    first, second = noise(2, *size)
    made = between(interpolator(RANDOM), first, second, 0.4)
    padding = (0, -size[1] % 64, 0, -size[0] % 64)
    before, after = (functional.pad(frame[None], padding, "replicate") for frame in (first, second))
    expected = reference(RANDOM, before, after, 0.4)[..., : size[0], : size[1]]
    assert made.shape == (1, 3, *size)
    assert psnr(made, expected) > 60


def test_a_batch_equals_its_frames_generated_alone() -> None:
    """Moments drawn together are those drawn alone."""
    model = interpolator(RANDOM)
    first, second = noise(2, 40, 70)
    together = between(model, first, second, 0.25, 0.5, 0.75)
    assert together.shape == (3, 3, 40, 70)
    for index, time in enumerate((0.25, 0.5, 0.75)):
        assert psnr(together[index], between(model, first, second, time)[0]) > 90


def test_batch_size_is_larger_for_small_frames() -> None:
    """Small frames come in batches, large ones one by one, and what does not fit into memory as well."""
    model = interpolator()
    assert model.batch_size(64, 64) == 4
    assert model.batch_size(1280, 720) == 1
    assert interpolator().batch_size(1, 1) == 4
    short = Interpolator(load_rife(mixing()), Device(torch.device("cpu"), limit_bytes=8 << 20))
    assert short.batch_size(64, 64) == 2


def test_values_beyond_white_are_kept() -> None:
    """What is whiter than white in both neighbors is so in between."""
    first = torch.full((3, 64, 64), 1.07)
    assert (between(interpolator(), first, first - 0.02, 0.5) - 1.06).abs().max() < 1e-5


class Short:
    """Lets a network run out of memory: ``fails`` sees batch, height and width of what it is given."""

    def __init__(self, model: Interpolator, fails: Callable[[int, int, int], bool]) -> None:
        self.model = model
        self.fails = fails
        self.given: list[tuple[int, int, int]] = []
        self._neighbors = Neighbors()
        model.device = replace(model.device, residents=self._neighbors)
        network = model._network
        self._motion, self._with_features = network.motion, network.with_features
        network.motion, network.with_features = self.motion, self.with_features  # type: ignore[assignment,method-assign]

    def motion(self, first: Tensor, *rest: Any) -> Any:
        """As the network, if there is memory."""
        self._check(first)
        return self._motion(first, *rest)

    def with_features(self, frames: Tensor) -> Tensor:
        """As the network."""
        if self.fails(0, *frames.shape[2:]):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self._with_features(frames)

    def _check(self, first: Tensor) -> None:
        shape = first.shape[0], first.shape[2], first.shape[3]
        self.given.append(shape)
        if self.fails(*shape):
            raise torch.OutOfMemoryError("CUDA out of memory.")

    @property
    def freed(self) -> int:
        """How often others were asked to leave."""
        return self._neighbors.asked


def test_idle_models_are_evicted_before_falling_back() -> None:
    """Before work is made smaller, what is idle leaves memory; then the same work fits."""
    model = interpolator(RANDOM)
    first, second = noise(2, 64, 64)
    expected = between(model, first, second, 0.5, 0.7)
    short = Short(model, lambda batch, *_: batch > 1 and not short.freed)
    assert torch.equal(between(model, first, second, 0.5, 0.7), expected)
    assert short.given == [(2, 64, 64), (2, 64, 64)]


def test_out_of_memory_splits_the_batch() -> None:
    """A batch that does not fit is drawn one by one, also the next time; a later job begins with batches again."""
    model = interpolator(RANDOM)
    first, second = noise(2, 64, 64)
    expected = between(model, first, second, 0.5, 0.7)
    short = Short(model, lambda batch, *_: batch > 1)
    assert psnr(between(model, first, second, 0.5, 0.7), expected) > 90
    assert [batch for batch, *_ in short.given] == [2, 2, 1, 1]
    assert short.freed == 2
    assert model.batch_size(64, 64) == 1
    between(model, first, second, 0.5, 0.7)
    assert [batch for batch, *_ in short.given[4:]] == [1, 1]
    model.forget()
    assert model.batch_size(64, 64) == 4


def test_out_of_memory_for_one_frame_estimates_motion_at_half_size() -> None:
    """If one whole frame does not fit, motion comes from frames of half the size, colors from the whole ones."""
    first, second = noise(2, 130, 190)
    model = interpolator(mixing(0.25))
    short = Short(model, lambda _, height, width: height * width > 128 * 128)
    with pytest.raises(OutOfMemory):
        between(model, first, second, 0.5)  # not even looking at it fits

    short.fails = lambda batch, height, width: batch > 0 and height * width > 128 * 128
    made = between(model, first, second, 0.5)
    assert (made[0] - (0.25 * first + 0.75 * second)).abs().max() < 1e-5
    assert short.given[-1] == (1, 128, 128)


def test_flow_estimated_at_half_size_is_doubled() -> None:
    """Flows of 3 pixels in half the frame are 6 in the whole one."""
    first, second = noise(2, 128, 256)
    model = interpolator(mixing(1 - 1e-6, flow=(3, -2, 0, 0)))
    Short(model, lambda batch, _, width: batch > 0 and width > 128)
    made = between(model, first, second, 0.5)[0]
    assert (made[:, 4:, :-6] - first[:, :-4, 6:]).abs().max() < 1e-4


def test_out_of_memory_at_half_size_raises() -> None:
    """When nothing helps, the client is told so; other errors are not mistaken for it."""
    model = interpolator()
    short = Short(model, lambda batch, *_: batch > 0)
    with pytest.raises(OutOfMemory, match="too small to interpolate"):
        between(model, *noise(2, 64, 64), 0.5)

    def broken(*_: int) -> bool:
        raise ZeroDivisionError

    short.fails = broken
    with pytest.raises(ZeroDivisionError):
        between(model, *noise(2, 64, 64), 0.5)
