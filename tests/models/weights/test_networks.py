"""From weights to networks: recognition, refusal and the blend that ``denoise_strength`` asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from framepack.errors import ModelUnavailable
from framepack.models.spec import ModelRow
from framepack.models.weights.networks import blend_weights, load_network, load_upscaler_network
from framepack.models.weights.store import WeightsStore
from tests.support.networks import tiny_compact, tiny_rrdb
from tests.support.weights import checkpoint, fetch_never, published, upscaler_row

STRONG, WEAK = tiny_compact(seed=1), tiny_compact(seed=2)


@pytest.fixture
def store(tmp_path: Path) -> WeightsStore:
    """A folder with two networks to blend."""
    (tmp_path / "strong.pth").write_bytes(checkpoint(STRONG))
    (tmp_path / "weak.pth").write_bytes(checkpoint(WEAK))
    return WeightsStore(tmp_path, allow_download=False, download=fetch_never)


@pytest.fixture
def row() -> ModelRow:
    """A model of these two networks."""
    return upscaler_row(published(checkpoint(STRONG), "strong.pth"), published(checkpoint(WEAK), "weak.pth"))


def weights_of(row: ModelRow, store: WeightsStore, strength: float) -> dict[str, Tensor]:
    """The weights of the loaded network."""
    state: dict[str, Tensor] = load_upscaler_network(row, store, strength).model.state_dict()
    return state


def test_blend_weights_at_both_ends_returns_the_inputs(row: ModelRow, store: WeightsStore) -> None:
    """0 is exactly the network that keeps noise, 1 exactly the one that removes it."""
    for strength, expected in ((0.0, WEAK), (1.0, STRONG)):
        state = weights_of(row, store, strength)
        assert all(torch.equal(state[key], expected[key]) for key in expected)


def test_blend_weights_in_the_middle_is_the_mean(row: ModelRow, store: WeightsStore) -> None:
    """0.5 is the mean, 0.25 a quarter of the strong one, tensor by tensor."""
    half, quarter = weights_of(row, store, 0.5), weights_of(row, store, 0.25)
    for key in STRONG:
        torch.testing.assert_close(half[key], (STRONG[key] + WEAK[key]) / 2)
        torch.testing.assert_close(quarter[key], WEAK[key] + (STRONG[key] - WEAK[key]) / 4)


def test_full_denoise_strength_reads_one_file(row: ModelRow, store: WeightsStore) -> None:
    """At 1 only the first file is read."""
    (store.folder / "weak.pth").unlink()
    assert load_upscaler_network(row, store, 1.0).scale == 4
    with pytest.raises(ModelUnavailable, match=r"weak\.pth is missing"):
        load_upscaler_network(row, store, 0.5)


def test_denoise_strength_is_ignored_with_one_file(store: WeightsStore) -> None:
    """A model with one file ignores the strength."""
    single = upscaler_row(published(checkpoint(STRONG), "strong.pth"))
    state = weights_of(single, store, 0.0)
    assert all(torch.equal(state[key], STRONG[key]) for key in STRONG)


def test_blend_weights_rejects_different_shapes() -> None:
    """Two networks of different shape are refused."""
    with pytest.raises(ModelUnavailable, match="different shapes"):
        blend_weights(tiny_compact(feat=8), tiny_compact(feat=4), 0.5)


def test_a_network_of_another_scale_is_rejected(store: WeightsStore) -> None:
    """Weights of another scale than the row says are refused by name."""
    other = upscaler_row(published(checkpoint(STRONG), "strong.pth"), name="double", scale=2)
    with pytest.raises(ModelUnavailable, match="The weights of double are those of a 4x network"):
        load_upscaler_network(other, store)


@pytest.mark.parametrize("state", [tiny_compact(), tiny_rrdb(blocks=2), tiny_rrdb(scale=2)])
def test_network_is_ready_for_inference(state: dict[str, Tensor]) -> None:
    """A loaded network is in single precision, in evaluation mode and gives the same frame each time."""
    network = load_network({key: value.half() for key, value in state.items()})
    assert {value.dtype for value in network.model.state_dict().values()} == {torch.float32}
    assert not network.model.training
    frame = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(network(frame), network(frame))


@pytest.mark.parametrize("key", ["body.0.rdb1.conv1.weight", "conv_hr.bias", "conv_body.weight"])
def test_incomplete_weights_are_rejected(key: str) -> None:
    """A network with a tensor missing, or of another shape, is refused instead of guessed."""
    state = tiny_rrdb()
    with pytest.raises(ModelUnavailable, match="do not fit any known network"):
        load_network({name: value for name, value in state.items() if name != key})
    with pytest.raises(ModelUnavailable, match="do not fit any known network"):
        load_network({**state, key: state[key][:3]})
