"""Our definitions of the published networks: spandrel's frames to the bit, strictly loaded, without its imports."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from framepack.errors import ModelUnavailable
from framepack.models.weights.networks import load_network
from tests.support.faces import random_gfpgan
from tests.support.networks import tiny_compact, tiny_rrdb
from tests.support.upscaling import REAL_NETWORKS, real_frame, real_network, real_reference, reference


def unshuffled_by_4() -> dict[str, Tensor]:
    """Weights of an RRDBNet that gathers 4 x 4 pixels, so that its frames keep their size."""
    state = tiny_rrdb()
    state["conv_first.weight"] = 0.1 * torch.randn(8, 48, 3, 3, generator=torch.Generator().manual_seed(1))
    return state


def older(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names of ESRGAN's later code, which BSRGAN has, too."""
    blocks = (r"body\.(\d+)\.rdb", r"RRDB_trunk.\1.RDB")
    return _renamed(state, (blocks, ("conv_body", "trunk_conv"), ("conv_hr", "HRconv"), ("conv_up", "upconv")))


def oldest(state: dict[str, Tensor], doublings: int = 2) -> dict[str, Tensor]:
    """The names of ESRGAN's first code, in which layers have numbers."""
    blocks = len({key.split(".")[1] for key in state if key.startswith("body.")})
    detail = 3 * doublings + 2
    names = (
        (r"body\.(\d+)\.rdb(\d)\.conv(\d)", r"model.1.sub.\1.RDB\2.conv\3.0"),
        ("conv_body", f"model.1.sub.{blocks}"),
        ("conv_first", "model.0"),
        ("conv_hr", f"model.{detail}"),
        ("conv_last", f"model.{detail + 2}"),
        *((f"conv_up{number}", f"model.{3 * number}") for number in range(1, doublings + 1)),
    )
    return _renamed(state, names)


def _renamed(state: dict[str, Tensor], names: tuple[tuple[str, str], ...]) -> dict[str, Tensor]:
    renamed = {}
    for key, value in state.items():
        name = key
        for pattern, replacement in names:
            name = re.sub(f"^{pattern}", replacement, name)
        renamed[name] = value
    return renamed


def with_doublings(count: int) -> dict[str, Tensor]:
    """Weights of an RRDBNet that doubles the size this often."""
    state = tiny_rrdb()
    third = {key.replace("up2", "up3"): value for key, value in state.items() if "up2" in key}
    kept = {key: value for key, value in {**state, **third}.items() if "up" not in key or int(key[7]) <= count}
    return dict(sorted(kept.items()))


SHAPES = {
    "compact": tiny_compact(),
    "compact x2": tiny_compact(scale=2, feat=12, convs=5),
    "compact x1": tiny_compact(scale=1),
    "rrdb": tiny_rrdb(blocks=3),
    "rrdb of full width": tiny_rrdb(feat=64, blocks=2),
    "rrdb x2": tiny_rrdb(scale=2, blocks=2),
    "rrdb x1": unshuffled_by_4(),
    "rrdb of older code": older(tiny_rrdb(blocks=2)),
    "rrdb of the oldest code": oldest(tiny_rrdb(blocks=12)),
    "rrdb of the oldest code x8": oldest(with_doublings(3), 3),
    "rrdb of the oldest code x2": oldest(with_doublings(1), 1),
    "rrdb of the oldest code x1": oldest(with_doublings(0), 0),
}


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("state", SHAPES.values(), ids=SHAPES.keys())
def test_frames_are_spandrels_to_the_bit(state: dict[str, Tensor], memory_format: torch.memory_format) -> None:
    """With the same weights in single precision, every value is equal, and so is what is said of the network."""
    frames = torch.rand(2, 3, 20, 28, generator=torch.Generator().manual_seed(0))
    expected, made = reference(state), load_network(state)
    expected.model.to(memory_format=memory_format)
    made.model.to(memory_format=memory_format)
    frames = frames.contiguous(memory_format=memory_format)
    with torch.inference_mode():
        assert torch.equal(made(frames), expected(frames))
    assert type(made.model).__module__.startswith("framepack.")
    assert (made.scale, made.architecture, list(made.tags)) == (
        expected.scale,
        expected.architecture.name,
        expected.tags,
    )
    requirements = expected.size_requirements
    assert (made.size_multiple, made.minimum_size) == (requirements.multiple_of, requirements.minimum)
    assert made.supports_half


@pytest.mark.parametrize("name", REAL_NETWORKS)
def test_real_weights_make_spandrels_frames_to_the_bit(name: str, tmp_path: Path) -> None:
    """With the weights of the installed package, a piece of a real frame comes out equal in every bit."""
    frame = real_frame("bikes.mp4", 50, 300, 100, (40, 32))
    with torch.inference_mode():
        assert torch.equal(real_network(name, tmp_path)(frame), real_reference(name, tmp_path)(frame))


@pytest.mark.parametrize("state", [tiny_rrdb(), older(tiny_rrdb()), oldest(tiny_rrdb())], ids=["new", "old", "first"])
def test_a_tensor_too_many_is_refused(state: dict[str, Tensor]) -> None:
    """Weights that name more than the network has are refused, as those that name less."""
    with pytest.raises(ModelUnavailable, match="do not fit any known network"):
        load_network({**state, "conv_extra.weight": torch.zeros(8, 8, 3, 3)})


def test_esrgan_plus_stays_spandrels() -> None:
    """ESRGAN+ has layers that ours does not have: spandrel's definition computes it."""
    state = oldest(tiny_rrdb())
    for block in (1, 2, 3):
        state[f"model.1.sub.0.RDB{block}.conv1x1.weight"] = torch.randn(32, 8, 1, 1)
    network = load_network(state)
    assert "ESRGAN+" in network.tags
    assert type(network.model).__module__.startswith("spandrel.")


# Packages that a model of the catalog does not need, and whose import takes seconds and 160 MB.
NEEDLESS = ("mpmath", "onnx", "spandrel", "sympy", "torch._dynamo", "torch._inductor", "torchvision", "triton")

UPSCALE = """if True:
    import sys
    from pathlib import Path
    from framepack.models.library import ModelLibrary
    from framepack.models.weights.catalog import CATALOG
    from framepack.models.weights.store import WeightsStore
    store = WeightsStore(Path(sys.argv[1]), allow_download=False, download=None)
    with ModelLibrary(CATALOG, store, device="cpu").upscaler(sys.argv[2]) as upscaler:
        import torch
        assert upscaler(torch.rand(1, 3, 16, 16)).shape == (1, 3, 64, 64)
    print(*sys.modules)
"""


@pytest.mark.parametrize("name", ["RealESR_AnimeVideo_v3", "RealESRGAN_x4plus_anime_6B"])
def test_upscaling_with_a_published_model_imports_nothing_needless(name: str, tmp_path: Path) -> None:
    """A fresh process that upscales on a CPU has loaded none of the packages that only other models need."""
    command = [sys.executable, "-c", UPSCALE, str(tmp_path), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    loaded = set(done.stdout.split())
    assert "torch" in loaded
    assert loaded.isdisjoint(NEEDLESS)


RESTORE = """
import sys, torch
from framepack.models.faces.restorer import load_face_network
assert load_face_network(torch.load(sys.argv[1]))(torch.rand(1, 3, 512, 512)).shape == (1, 3, 512, 512)
print(*sys.modules)
"""


def test_restoring_a_face_imports_nothing_needless(tmp_path: Path) -> None:
    """A fresh process that runs GFPGAN has loaded none of these packages either."""
    torch.save(random_gfpgan(), tmp_path / "narrow.pth")
    command = [sys.executable, "-c", RESTORE, str(tmp_path / "narrow.pth")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert set(done.stdout.split()).isdisjoint(NEEDLESS)
