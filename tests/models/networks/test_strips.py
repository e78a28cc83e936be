"""Layers in strips of rows: the frame as computed whole, and nothing of its size but itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from framepack.models.networks import strips
from framepack.models.networks.strips import WHOLE, Strips
from framepack.models.weights.networks import load_network
from tests.models.networks.test_own_networks import with_doublings
from tests.support.fake_gpu import FAKE_GPU, fake_gpu, move_to_fake_gpu
from tests.support.networks import tiny_rrdb
from tests.support.upscaling import psnr, reference


def frames_of(width: int, height: int, count: int = 1) -> Tensor:
    """Random frames as the upscaler gives them to a network."""
    frames = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))
    return frames.contiguous(memory_format=torch.channels_last)


def watched(model: Any) -> list[int]:
    """The number of rows of the output that each call of the last layer computes."""
    heights: list[int] = []
    model.conv_last.register_forward_hook(lambda _layer, _inputs, output: heights.append(output.shape[2]))
    return heights


@pytest.mark.parametrize(("scale", "size"), [(4, (64, 200)), (2, (128, 400))])
def test_a_frame_of_several_strips_is_spandrels_to_the_bit(scale: int, size: tuple[int, int]) -> None:
    """Four strips of 50 rows of features each, of a network of full width."""
    state, frames = tiny_rrdb(scale=scale, feat=64), frames_of(*size)
    expected, made = reference(state), load_network(state)
    for network in (expected, made):
        network.model.to(memory_format=torch.channels_last)
    heights = watched(made.model)

    with torch.inference_mode():
        assert torch.equal(made(frames), expected(frames))

    assert heights == [4 * 50 + 1, 4 * 50 + 2, 4 * 50 + 2, 4 * 50 + 1]  # with a row for each edge that is cut


@pytest.mark.parametrize("doublings", [0, 1, 2, 3])
@pytest.mark.parametrize("half", [False, True], ids=["single", "mixed"])
@pytest.mark.parametrize(("height", "rows"), [(5, 4), (29, 7), (30, 12), (31, 12)])
def test_strips_of_any_height_join_without_seams(
    doublings: int, height: int, rows: int, monkeypatch: pytest.MonkeyPatch, *, half: bool
) -> None:
    """Every row of the frame is what it is without strips, but for the last bit of single precision."""
    monkeypatch.setattr(strips, "_PIXELS", 0)
    monkeypatch.setattr(strips, "_MIN_ROWS", rows)
    model: Any = load_network(with_doublings(doublings)).model
    if half:
        for layer in model.inner_layers:
            layer.bfloat16()
    heights = watched(model)
    features = torch.rand(2, 8, height, 40, generator=torch.Generator().manual_seed(1))

    with torch.inference_mode():
        whole = model._enlarged(features, WHOLE)
        made = model.strips(model._enlarged, features)

    assert made.shape == (2, 3, height * 2**doublings, 40 * 2**doublings)
    assert made.dtype == whole.dtype == torch.float32
    assert min(psnr(made[:, :, row], whole[:, :, row]) for row in range(made.shape[2])) > (48 if half else 110)
    assert len(heights) == 1 + -(-height // rows)


@pytest.mark.parametrize("width", [1, 40, 320, 1280, 4096])
@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_overlaps_stay_a_tenth_of_the_work(width: int, scale: int) -> None:
    """A strip keeps at least twelve rows of features however wide they are, and at most 65,536 pixels else."""
    rows = Strips(scale, 1).input_pixels(width) / width

    assert rows == 12 or (rows > 12 and rows * width * scale**2 <= 65_536)


def test_the_pixels_of_a_strip_are_those_of_the_input() -> None:
    """A network that gathers 2 x 2 pixels has half the columns, each two wide, and rows that are two high."""
    assert Strips(4, 2).input_pixels(160) == 51 * 2 * 160
    assert Strips(4, 1).input_pixels(80) == 51 * 80
    assert Strips(4, 2).input_pixels(1) == Strips(4, 2).input_pixels(2) / 2 == 4096 * 2  # frames are padded


def test_on_a_gpu_the_layers_are_computed_whole() -> None:
    """A GPU is faster with large layers."""
    model: Any = load_network(tiny_rrdb(feat=64)).model
    heights = watched(model)
    with fake_gpu(), torch.inference_mode():
        move_to_fake_gpu(model, torch.float16)
        model(torch.empty((1, 3, 200, 320), dtype=torch.float16, device=FAKE_GPU))
    assert heights == [800]
