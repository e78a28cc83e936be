"""Run a network in the fastest arithmetic that keeps its pictures: at least 48 dB close to single precision.

Half precision (float16) does so on GPUs. CPUs have bfloat16, whose 8 bits of mantissa are few: pure bfloat16 was
measured at 50 dB for x4plus. There, what is summed up along the network and what meets the picture stays in single
precision, while the convolutions, which take all the time, run in bfloat16: 56 dB at the same speed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

    from framepack.models.memory import Device

_CPU_INFO: Final = Path("/proc/cpuinfo")
_BFLOAT16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16"})
_DENSE_BLOCKS: Final = ("RDB1", "RDB2", "RDB3")
_RESIDUAL_SCALE: Final = 0.2


def prepare(network: ImageModelDescriptor[Any], device: Device, *, bfloat16: bool | None = None) -> torch.dtype:
    """Move a network in single precision to the device, in the precision and memory layout that suit it there.

    Args:
        network: rebuilt in place.
        device: where it will run.
        bfloat16: whether a CPU multiplies bfloat16 fast; None finds out.

    Returns:
        The dtype of the pictures it takes.
    """
    dtype = torch.float32
    if device.is_cuda:
        dtype = torch.float16 if network.supports_half else dtype
        network.model.to(dtype)
    elif has_bfloat16() if bfloat16 is None else bfloat16:
        _mix(network)
    network.model.to(device.place, memory_format=torch.channels_last).requires_grad_(requires_grad=False).eval()
    return dtype


def has_bfloat16(cpu_info: Path = _CPU_INFO) -> bool:
    """Whether this machine's CPU has instructions for bfloat16; without them it would be slower, not faster."""
    try:
        lines = cpu_info.read_text().splitlines()
    except OSError:  # not Linux
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return not _BFLOAT16_FLAGS.isdisjoint(flags)


def _mix(network: ImageModelDescriptor[Any]) -> None:
    """Put the convolutions of known architectures into bfloat16; all others stay in single precision."""
    if network.architecture.id == "ESRGAN" and "ESRGAN+" not in network.tags:
        _mix_residual(network.model)
    elif network.architecture.id == "Compact":
        _mix_compact(network.model)


def _mix_residual(model: Any) -> None:
    """ESRGAN: the first convolution and the sums of the residual blocks stay in single precision."""
    first, trunk, *upsampling = model.model
    *blocks, _ = trunk.sub
    for block in blocks:
        for name in _DENSE_BLOCKS:
            setattr(block, name, _DenseBlock(getattr(block, name).bfloat16()))
    head = [layer.bfloat16() for layer in upsampling[:-1]]
    model.model = nn.Sequential(first, trunk, _Cast(torch.bfloat16), *head, _Cast(torch.float32), upsampling[-1])


def _mix_compact(model: Any) -> None:
    """SRVGGNetCompact: the last convolution and the picture it corrects stay in single precision."""
    *layers, last = model.body
    body = [layer.bfloat16() for layer in layers]
    model.body = nn.ModuleList([_Cast(torch.bfloat16), *body, _Cast(torch.float32), last])


class _Cast(nn.Module):
    """Changes the precision between two layers."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype

    def forward(self, features: Tensor) -> Tensor:
        return features.to(self._dtype)


class _DenseBlock(nn.Module):
    """ESRGAN's residual dense block: convolutions in bfloat16, the sum in single precision."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self._growing = nn.ModuleList([block.conv1, block.conv2, block.conv3, block.conv4])
        self._last = block.conv5

    def forward(self, features: Tensor) -> Tensor:
        seen = features.to(torch.bfloat16)
        for convolution in self._growing:
            seen = torch.cat((seen, convolution(seen)), 1)
        return features.add(cast("Tensor", self._last(seen)), alpha=_RESIDUAL_SCALE)
