"""The upscaler: the network's own frames, whatever their size, number and precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from spandrel.architectures.SPAN import SPAN
from torch import Tensor

from framepack.errors import Cancelled
from framepack.models.memory.device import Device
from framepack.models.upscale.upscaler import Upscaler
from framepack.models.weights.networks import load_network
from tests.support.networks import tiny_compact, tiny_rrdb
from tests.support.upscaling import (
    REAL_NETWORKS,
    Watched,
    compact,
    psnr,
    real_frame,
    real_network,
    real_reference,
    reference,
    rrdb,
)

pytestmark = pytest.mark.usefixtures("_fast_bfloat16")

PLAIN = Device(torch.device("cpu"))
MIXED = Device(torch.device("cpu"), has_bfloat16=True)


@pytest.fixture
def _fast_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that is faster with bfloat16, whatever this one is."""
    monkeypatch.setattr("framepack.models.upscale.precision.bfloat16_is_faster", lambda: True)


def foreign() -> dict[str, Tensor]:
    """Weights of a small network of an architecture that Real-ESRGAN does not use."""
    torch.manual_seed(0)
    state: dict[str, Tensor] = SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=2).state_dict()
    return state


@pytest.mark.parametrize(
    ("clip", "index"), [("bikes.mp4", 50), pytest.param("bigbuckbunny.mp4", 50, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", REAL_NETWORKS)
def test_output_equals_the_networks_own_output(name: str, clip: str, index: int, tmp_path: Path) -> None:
    """With real weights on real frames, mixed precision keeps 48 dB to spandrel's descriptor, and more."""
    frame = real_frame(clip, index, 300, 100, (48, 40))
    expected = real_reference(name, tmp_path)(frame)
    assert expected.std() > 0.02
    assert psnr(Upscaler(real_network(name, tmp_path), PLAIN)(frame), expected) > 100
    assert psnr(Upscaler(real_network(name, tmp_path), MIXED)(frame), expected) > 55


@pytest.mark.parametrize("make", [lambda: compact(feat=64, convs=8), lambda: rrdb(feat=64)], ids=["compact", "rrdb"])
def test_mixed_precision_computes_in_bfloat16(make: Any) -> None:
    """Nearly all weights are in bfloat16 and the frame stays in float32."""
    network = make()
    upscaler = Upscaler(network, MIXED)
    weights = list(network.model.parameters())
    small = sum(weight.numel() for weight in weights if weight.dtype == torch.bfloat16)
    assert small > 0.8 * sum(weight.numel() for weight in weights)
    assert upscaler.dtype == upscaler(torch.rand(1, 3, 8, 8)).dtype == torch.float32


def test_mixed_precision_rounds_only_what_a_compact_network_adds() -> None:
    """Its last layer is in bfloat16. If that adds nothing, the enlarged frame is what it was, in single precision."""
    network: Any = compact(feat=16)
    last = network.model.body[-1]
    last.weight.zero_()
    last.bias.zero_()
    frame = torch.rand(1, 3, 12, 20)

    made = Upscaler(network, MIXED)(frame)

    assert last.weight.dtype == torch.bfloat16
    assert torch.equal(made, torch.nn.functional.interpolate(frame, scale_factor=4, mode="nearest"))


def test_unknown_architectures_run_in_single_precision_on_a_cpu() -> None:
    """A network whose tolerance is not known keeps single precision."""
    frame = torch.rand(1, 3, 20, 30)
    expected = reference(foreign())(frame)
    assert (Upscaler(load_network(foreign()), MIXED)(frame) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (5, 31), (33, 21), (64, 48)])
@pytest.mark.parametrize("state", [tiny_compact(scale=2), tiny_rrdb(scale=2), tiny_rrdb()], ids=["c2", "r2", "r4"])
def test_frames_of_any_size_are_accepted(size: tuple[int, int], state: dict[str, Tensor]) -> None:
    """Odd and tiny frames come out at exactly scale times their size, as from spandrel's descriptor."""
    frame = torch.rand(1, 3, size[1], size[0])
    expected = reference(state)(frame)
    made = Upscaler(load_network(state), PLAIN)(frame)
    assert made.shape == expected.shape
    assert (made - expected).abs().max() < 1e-5


@pytest.mark.parametrize("size", [(201, 130), (131, 203)])
def test_tiles_are_aligned_to_the_pixel_unshuffle_grid(size: tuple[int, int]) -> None:
    """Tiles of a network that works on 2x2 blocks begin on its grid, also in frames of odd size."""
    frame = torch.rand(1, 3, size[1], size[0])
    upscaler = Upscaler(rrdb(scale=2, blocks=1), PLAIN)
    watched = Watched(upscaler._network)
    tiled = upscaler(frame, tile_size=32)
    assert len(watched.shapes) > 1
    assert psnr(tiled, upscaler(frame)) > 60


def test_a_batch_equals_its_frames_upscaled_alone() -> None:
    """A frame's result does not depend on its company."""
    upscaler = Upscaler(compact(), MIXED)
    batch = torch.rand(3, 3, 24, 40)
    together = upscaler(batch)
    alone = torch.cat([upscaler(frame[None]) for frame in batch])
    assert together.shape == (3, 3, 96, 160)
    assert (together - alone).abs().max() < 1e-6


def test_output_values_are_within_range() -> None:
    """Results lie in 0..1, also where the network overshoots."""
    made = Upscaler(compact(), PLAIN)(torch.rand(1, 3, 32, 32).round())
    assert made.min() == 0
    assert made.max() == 1


def test_the_input_is_not_changed() -> None:
    """The frames given are not written to."""
    batch = torch.rand(2, 3, 16, 16)
    before = batch.clone()
    Upscaler(compact(), PLAIN)(batch)
    assert torch.equal(batch, before)


def test_check_stops_between_tiles() -> None:
    """What ``check`` raises ends the work before the next tile."""
    upscaler = Upscaler(compact(), PLAIN)
    watched = Watched(upscaler._network)

    def check() -> None:
        if len(watched.shapes) == 2:
            raise Cancelled("The job was cancelled.")

    with pytest.raises(Cancelled):
        upscaler(torch.rand(1, 3, 200, 200), tile_size=64, check=check)
    assert len(watched.shapes) == 2


@pytest.mark.parametrize("tile_size", [0, 300])
def test_tiles_are_small_when_memory_is_short(tile_size: int) -> None:
    """Frames are cut when the device's memory asks for it, and only then, whatever tile size was asked for."""
    frame = torch.rand(1, 3, 290, 300)
    sizes = []
    for limit in (16 << 20, 4 << 30):
        upscaler = Upscaler(compact(feat=64), Device(torch.device("cpu"), limit))
        watched = Watched(upscaler._network)
        assert upscaler(frame, tile_size=tile_size).shape == (1, 3, 1160, 1200)
        sizes.append({shape[2:] for shape in watched.shapes})
    assert all(max(size) < 100 for size in sizes[0])
    assert sizes[1] == {(290, 300)}
