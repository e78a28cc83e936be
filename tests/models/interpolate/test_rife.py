"""The network of RIFE: equal to a literal reference, strict about its weights, and right for any weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from framepack.errors import ModelUnavailable
from framepack.models.interpolate.rife import Rife, load_rife, warp_and_blend
from tests.support.interpolation import mixing, noise, psnr, timed
from tests.support.rife_reference import random_rife, reference


def draw(network: Rife, first: Tensor, second: Tensor, *times: float) -> Tensor:
    """The network's frames."""
    with torch.inference_mode():
        timestep = torch.tensor(times).view(-1, 1, 1, 1)
        made: Tensor = network(network.with_features(first), network.with_features(second), timestep)
        return made


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("time", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_frames_match_the_reference(seed: int, time: float) -> None:
    """With random weights that move pixels far, both implementations draw the same frame."""
    state = random_rife(seed)
    first, second = noise(2, 128, 192, seed)[:, None]
    expected = reference(state, first, second, time)
    made = draw(load_rife(state), first, second, time)
    assert psnr(made, expected) > 90
    assert psnr(expected, (first + second) / 2) < 40  # the weights do something


def test_large_motion_matches_the_reference() -> None:
    """Flows that leave the frame on all sides are treated alike."""
    state = random_rife(4, motion=4)
    first, second = noise(2, 64, 128)[:, None]
    assert psnr(draw(load_rife(state), first, second, 0.3), reference(state, first, second, 0.3)) > 60


@pytest.mark.parametrize("motion", [0.5, 1.0])
def test_half_precision_is_close_to_single_precision(motion: float) -> None:
    """With convolutions in float16, as on a GPU, frames stay within 48 dB."""
    state = random_rife(2, motion=motion)
    first, second = noise(2, 128, 128)[:, None]
    half = load_rife(state).half().to(memory_format=torch.channels_last)
    made = draw(half, first, second, 0.5)
    assert made.dtype == torch.float32
    assert psnr(made, draw(load_rife(state), first, second, 0.5)) > 48


def test_a_batch_equals_its_frames_generated_alone() -> None:
    """Frames and times in company give what they give alone."""
    network = load_rife(random_rife(5))
    first, second = noise(3, 64, 64, 1), noise(3, 64, 64, 2)
    times = (0.1, 0.5, 0.8)
    together = draw(network, first, second, *times)
    for index, time in enumerate(times):
        alone = draw(network, first[index : index + 1], second[index : index + 1], time)
        assert psnr(together[index : index + 1], alone) > 90
    assert psnr(together, draw(network, first, second, 0.8, 0.1, 0.5)) < 60  # each frame has its own time


@settings(max_examples=8)
@given(st.integers(0, 100), st.floats(0, 1), st.floats(0, 1))
def test_constant_frames_stay_constant(seed: int, gray: float, time: float) -> None:
    """Whatever the weights, there is nothing to move between two equal flat frames."""
    flat = torch.full((1, 3, 64, 64), gray)
    made = draw(load_rife(random_rife(seed)), flat, flat, time)
    assert (made - gray).abs().max() < 1e-5


@settings(max_examples=8)
@given(st.integers(0, 100), st.floats(0, 1))
def test_output_is_within_the_range_of_the_input(seed: int, time: float) -> None:
    """Whatever the weights, every pixel lies between the darkest and the brightest of both frames."""
    first, second = noise(2, 64, 64, seed)[:, None] * 0.6 + 0.2
    made = draw(load_rife(random_rife(seed)), first, second, time)
    lowest = torch.minimum(first.amin((2, 3)), second.amin((2, 3)))
    highest = torch.maximum(first.amax((2, 3)), second.amax((2, 3)))
    assert (made.amin((2, 3)) >= lowest - 1e-5).all()
    assert (made.amax((2, 3)) <= highest + 1e-5).all()


@pytest.mark.parametrize("time", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("share", [0.5, 0.2, 0.9])
def test_without_motion_the_frames_are_blended_by_the_mask(share: float, time: float) -> None:
    """With heads of zero the result is the mean of both frames, or the mix that the mask's bias says."""
    first, second = noise(2, 64, 128)[:, None]
    made = draw(load_rife(mixing(share)), first, second, time)
    assert (made - (share * first + (1 - share) * second)).abs().max() < 1e-5


@pytest.mark.parametrize("time", [0.0, 0.25, 0.5, 1.0])
def test_output_depends_on_the_timestep(time: float) -> None:
    """Weights that mix by time alone give the mix of exactly that time."""
    first, second = noise(2, 64, 128)[:, None]
    made = draw(load_rife(timed()), first, second, time)
    share = 1 / (1 + np.exp(-4 * (0.5 - time)))
    expected = share * first + (1 - share) * second
    assert (made - expected)[..., 4:-4, 4:-4].abs().max() < 1e-5


def test_swapped_frames_swap_their_weights() -> None:
    """Without motion, the second frame first with the opposite mask at the opposite time is the same frame."""
    first, second = noise(2, 64, 64)[:, None]
    made = draw(load_rife(mixing(0.3)), first, second, 0.25)
    exchanged = draw(load_rife(mixing(0.7)), second, first, 0.75)
    assert (made - exchanged).abs().max() < 1e-5


def test_flow_is_in_pixels() -> None:
    """A flow of (3, -2) shows what lies 3 columns to the right and 2 rows up."""
    first, second = noise(2, 64, 128)[:, None]
    made = draw(load_rife(mixing(1 - 1e-6, flow=(3, -2, 0, 0))), first, second, 0.5)
    assert (made[..., 2:, :-3] - first[..., :-2, 3:]).abs().max() < 1e-4
    made = draw(load_rife(mixing(1e-6, flow=(0, 0, -5, 1))), first, second, 0.5)
    assert (made[..., :-1, 5:] - second[..., 1:, :-5]).abs().max() < 1e-4


def test_flow_beyond_the_edge_repeats_edge_pixels() -> None:
    """A flow that leaves the frame shows its outermost pixels."""
    first, second = noise(2, 64, 64)[:, None]
    flow = torch.zeros(1, 4, 64, 64)
    flow[:, 0] = 1000
    made = warp_and_blend(first, second, flow, torch.ones(1, 1, 64, 64))
    assert (made - first[..., -1:]).abs().max() < 1e-5


def test_the_published_checkpoint_is_loaded() -> None:
    """Keys with the prefix of the published file and its parts for training are understood."""
    plain = random_rife(1)
    published = {f"module.{key}": value.half() for key, value in plain.items()}
    published |= {"module.teacher.conv0.0.0.weight": torch.zeros(3), "module.caltime.0.weight": torch.zeros(1)}
    first, second = noise(2, 64, 64)[:, None]
    network = load_rife(published)
    assert {weight.dtype for weight in network.state_dict().values()} == {torch.float32}
    assert psnr(draw(network, first, second, 0.5), draw(load_rife(plain), first, second, 0.5)) > 40


def test_loading_does_not_change_the_state_dict() -> None:
    """What was read from the file is not changed by building a network from it."""
    state = random_rife(1)
    before = {key: value.clone() for key, value in state.items()}
    load_rife(state)
    assert all(torch.equal(state[key], value) for key, value in before.items())


@pytest.mark.parametrize("key", ["block3.conv0.0.0.weight", "encode.cnn3.bias", "block0.convblock.7.beta"])
def test_weights_of_other_networks_are_rejected(key: str) -> None:
    """A missing, misshapen or unknown weight is an error, never a network with random parts."""
    state = random_rife()
    for wrong in (
        {name: value for name, value in state.items() if name != key},
        state | {key: state[key][:1, ..., None]},
        state | {"block5.conv0.0.0.weight": state[key]},
    ):
        with pytest.raises(ModelUnavailable, match=r"not those of RIFE 4\.25"):
            load_rife(wrong)


def test_the_last_block_computes_no_features() -> None:
    """The last block makes flow and mask only, and a warp into a coarse block fetches a part of the pixels."""
    network = load_rife(random_rife())
    sizes: list[tuple[int, ...]] = []
    for block in (network.block0, network.block1, network.block2, network.block3, network.block4):
        block.register_forward_hook(lambda _block, _given, made: sizes.append(tuple(made.shape)))
    draw(network, *noise(2, 128, 64)[:, None], 0.5)
    assert sizes == [(1, 13, 8, 4), (1, 13, 16, 8), (1, 13, 32, 16), (1, 13, 64, 32), (1, 5, 128, 64)]
    assert np.prod(sizes[0]) * 100 < np.prod(sizes[4]) * 13
