"""Whether an upscaler uses kernels of our own for ESRGAN: only where they are equal and faster, and says so."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from framepack.models.fast_path import fastest
from framepack.models.kernels.convolution import Epilogue, Kernel, Tiling
from framepack.models.memory.device import Device
from framepack.models.networks import fused_trunk
from framepack.models.upscale import fused
from framepack.models.upscale import upscaler as upscaler_module
from framepack.models.upscale.upscaler import Upscaler
from tests.support.networks import tiny_rrdb
from tests.support.runs import bench
from tests.support.upscaling import compact, psnr, rrdb

Convolve = Callable[[Tensor, Kernel, Tensor, Tiling, Epilogue], None]


def defined(source: Tensor, kernel: Kernel, target: Tensor, _tiling: Tiling, epilogue: Epilogue) -> None:
    """What the kernel computes, by PyTorch."""
    weights = kernel.weights.reshape(3, 3, *kernel.weights.shape[1:]).permute(3, 2, 0, 1).float()
    sums = functional.conv2d(source.permute(0, 3, 1, 2).float(), weights, kernel.bias, padding=1)
    result = sums.permute(0, 2, 3, 1) * epilogue.scale
    if epilogue.addend is not None:
        result += epilogue.addend
    active = result[..., : epilogue.active]
    active.copy_(functional.leaky_relu(active, epilogue.slope))
    if epilogue.residual is not None:
        result = result * epilogue.residual_scale + epilogue.residual
    target.copy_(result)


def wrong(*given: Any) -> None:
    """Forget the residuals."""
    source, kernel, target, tiling, epilogue = given
    defined(
        source, kernel, target, tiling, Epilogue(epilogue.active, epilogue.slope, epilogue.scale, epilogue.addend)
    )


def not_a_number(*given: Any) -> None:
    """Compute nothing."""
    given[2].fill_(torch.nan)


def raising(*_given: Any) -> None:
    """Fail as without a C compiler."""
    raise RuntimeError("Failed to find C compiler.")


def stub_gpu(monkeypatch: pytest.MonkeyPatch, convolve: Convolve, plain: float, fast: float) -> None:
    """Let the CPU count as a GPU, whose kernels and clock are given."""
    times = iter((plain, fast, fast + 1, fast + 2, fast + 3))
    monkeypatch.setattr(fused_trunk, "convolve", convolve)
    monkeypatch.setattr(fused, "_COMPARED", ((1, 5, 7), (2, 4, 8)))  # a CPU is slow in half precision
    monkeypatch.setattr(fused, "TILINGS", fused.TILINGS[:2])
    monkeypatch.setattr(fused, "fastest", partial(fastest, milliseconds=lambda _: next(times)))
    monkeypatch.setattr(Device, "is_cuda", True)
    monkeypatch.setattr(Device, "available_bytes", lambda _: 1 << 40)
    monkeypatch.setattr(upscaler_module, "prepare", prepare_half)


def prepare_half(network: Any, _device: Device) -> torch.dtype:
    """Half precision, which a CPU computes as well."""
    network.model.half().to(memory_format=torch.channels_last).requires_grad_(requires_grad=False)
    return torch.float16


@pytest.mark.parametrize("scale", [2, 4])
def test_a_fused_trunk_that_is_equal_and_faster_is_used(
    scale: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The frames are those of the plain network, and one line in the log tells the choice."""
    caplog.set_level("INFO")
    stub_gpu(monkeypatch, defined, plain=9, fast=5)
    networks = [rrdb(feat=64, blocks=1, scale=scale) for _ in range(2)]
    frames = torch.rand(2, 3, 9, 14, generator=torch.Generator().manual_seed(3))
    plain = Upscaler(networks[0], Device(torch.device("cpu")), use_fast_path=False)
    assert not caplog.messages
    upscaler = Upscaler(networks[1], Device(torch.device("cpu")))

    assert [network.model.fused_trunk is not None for network in networks] == [False, True]
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("Dense blocks of ESRGAN 64nf 1nb")
    assert "the fast path (8x16 pixels, 64 channels, 4 warps, 3 stages) takes 5.00 ms" in caplog.messages[0]
    assert psnr(upscaler(frames), plain(frames)) > 60


@pytest.mark.parametrize(
    ("convolve", "fast", "reason"),
    [
        (defined, 9.5, "it takes 9.50 ms where the plain one takes 9.00"),
        (wrong, 5.0, "its results differ"),
        (not_a_number, 5.0, "its results differ (nan dB)"),
        (raising, 5.0, "trying it failed with RuntimeError: Failed to find C compiler."),
    ],
)
def test_a_fused_trunk_that_is_not_steps_aside(
    convolve: Convolve, fast: float, reason: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The upscaler loads all the same, computes as before, and says why in one line."""
    stub_gpu(monkeypatch, convolve, plain=9, fast=fast)
    networks = [rrdb(feat=64, blocks=1) for _ in range(2)]
    frames = torch.rand(1, 3, 9, 14, generator=torch.Generator().manual_seed(3))
    plain = Upscaler(networks[0], Device(torch.device("cpu")), use_fast_path=False)
    upscaler = Upscaler(networks[1], Device(torch.device("cpu")))

    assert networks[1].model.fused_trunk is None
    assert len(caplog.messages) == 1
    assert reason in caplog.messages[0]
    assert torch.equal(upscaler(frames), plain(frames))


def test_other_networks_are_not_tried(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Neither other architectures nor an ESRGAN of other widths."""
    caplog.set_level("INFO")
    stub_gpu(monkeypatch, raising, plain=9, fast=5)
    for network in (compact(feat=64), rrdb(feat=8)):
        Upscaler(network, Device(torch.device("cpu")))

    assert not caplog.messages


@pytest.mark.parametrize(("setting", "tried"), [("auto", 1), ("off", 0)])
def test_the_setting_turns_kernels_of_our_own_off(
    setting: str, tried: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """For a GPU that such a kernel would break."""
    (tmp_path / "weights").mkdir()
    save_file(tiny_rrdb(feat=64), tmp_path / "weights" / "tiny.safetensors")
    stub_gpu(monkeypatch, raising, plain=9, fast=5)
    worker = bench(tmp_path, gpu_kernels=setting)
    with worker.runtime.models.upscaler("tiny"):
        pass

    assert sum("Failed to find C compiler" in message for message in caplog.messages) == tried
