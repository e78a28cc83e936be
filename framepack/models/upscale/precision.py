"""Run a network in the fastest arithmetic that keeps its frames: at least 48 dB close to single precision.

Half precision (float16) does so on GPUs. CPUs have bfloat16, whose 8 bits of mantissa are few: pure bfloat16 was
measured at 50 dB for x4plus. There, the layers that meet the frame and the sums along the network stay in single
precision, while the convolutions between, which take all the time, run in bfloat16: 57 dB and more at the same speed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

    from framepack.models.memory.device import Device

_DENSE_BLOCKS: Final = ("RDB1", "RDB2", "RDB3")
_RESIDUAL_SCALE: Final = 0.2


def prepare(network: ImageModelDescriptor[Any], device: Device) -> torch.dtype:
    """Move a network in single precision to the device, in the precision and memory layout that suit it there.

    Args:
        network: rebuilt in place.
        device: where it will run.

    Returns:
        The dtype of the frames it takes.
    """
    dtype = torch.float32
    if device.is_cuda:
        dtype = torch.float16 if network.supports_half else dtype
        network.model.to(dtype)
    elif device.has_bfloat16:
        _mix(network)
    network.model.to(device.place, memory_format=torch.channels_last).requires_grad_(requires_grad=False).eval()
    return dtype


def _mix(network: ImageModelDescriptor[Any]) -> None:
    """Put the convolutions of known architectures into bfloat16; all others stay in single precision."""
    if network.architecture.id == "ESRGAN" and "ESRGAN+" not in network.tags:
        _mix_residual(network.model)
    elif network.architecture.id == "Compact":
        _mix_compact(network.model)


def _mix_residual(model: Any) -> None:
    """ESRGAN: the outer convolutions and the sums of the residual blocks stay in single precision."""
    first, trunk, *upsampling = model.model
    *blocks, _ = trunk.sub
    for block in blocks:
        for name in _DENSE_BLOCKS:
            setattr(block, name, _DenseBlock(getattr(block, name).bfloat16()))
    head = [layer.bfloat16() for layer in upsampling[:-1]]
    model.model = nn.Sequential(first, trunk, _Cast(torch.bfloat16), *head, _Cast(torch.float32), upsampling[-1])


def _mix_compact(model: Any) -> None:
    """SRVGGNetCompact: the outer convolutions and the frame that they correct stay in single precision."""
    first, *layers, last = model.body
    body = [layer.bfloat16() for layer in layers]
    model.body = nn.ModuleList([first, _Cast(torch.bfloat16), *body, _Cast(torch.float32), last])


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
