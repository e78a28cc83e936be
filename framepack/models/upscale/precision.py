"""Choose the fastest precision whose result has a PSNR of at least 48 dB against single precision.

On GPUs that is half precision (float16). CPUs have bfloat16, whose mantissa has only 8 bits: x4plus entirely in
bfloat16 reached 50 dB. Therefore the precision is mixed there: the first and last layers and the residual sums stay
in single precision, and the convolutions in between, which take nearly all the time, run in bfloat16. That reached 57
dB or more at the same speed.
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
    """Move a network to its device, in the best precision and memory layout for that device.

    Args:
        network: In single precision; converted in place.
        device: Where it will run.

    Returns:
        The dtype of its input.
    """
    dtype = torch.float32
    if device.is_cuda:
        dtype = torch.float16 if network.supports_half else dtype
        network.model.to(dtype)
    elif device.has_bfloat16:
        _mix_precision(network)
    network.model.to(device.torch_device, memory_format=torch.channels_last).requires_grad_(
        requires_grad=False
    ).eval()
    return dtype


def _mix_precision(network: ImageModelDescriptor[Any]) -> None:
    """Convert the convolutions of known architectures to bfloat16; leave all other networks in single precision."""
    if network.architecture.id == "ESRGAN" and "ESRGAN+" not in network.tags:
        _mix_esrgan(network.model)
    elif network.architecture.id == "Compact":
        _mix_compact(network.model)


def _mix_esrgan(model: Any) -> None:
    """Mix precision in ESRGAN: its outer convolutions and its residual sums stay in single precision.

    The sums are the sensitive part. Over 69 dense blocks each adds a small correction (times 0.2), and sums in
    bfloat16 would lose much of it. So every dense block converts its input, computes in bfloat16, and adds its
    result in single precision.
    """
    first, trunk, *upsampling = model.model
    *blocks, _ = trunk.sub
    for block in blocks:
        for name in _DENSE_BLOCKS:
            setattr(block, name, _DenseBlock(getattr(block, name).bfloat16()))
    head = [layer.bfloat16() for layer in upsampling[:-1]]
    model.model = nn.Sequential(first, trunk, _Cast(torch.bfloat16), *head, _Cast(torch.float32), upsampling[-1])


def _mix_compact(model: Any) -> None:
    """Mix precision in SRVGGNetCompact: the outer convolutions and the residual image stay in single precision."""
    first, *layers, last = model.body
    body = [layer.bfloat16() for layer in layers]
    model.body = nn.ModuleList([first, _Cast(torch.bfloat16), *body, _Cast(torch.float32), last])


class _Cast(nn.Module):
    """Converts features to another precision between two layers."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype

    def forward(self, features: Tensor) -> Tensor:
        return features.to(self._dtype)


class _DenseBlock(nn.Module):
    """ESRGAN's residual dense block: convolutions in bfloat16, the sum in single precision."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self._dense = nn.ModuleList([block.conv1, block.conv2, block.conv3, block.conv4])
        self._last = block.conv5

    def forward(self, features: Tensor) -> Tensor:
        stack = features.to(torch.bfloat16)
        for convolution in self._dense:
            stack = torch.cat((stack, convolution(stack)), 1)
        return features.add(cast("Tensor", self._last(stack)), alpha=_RESIDUAL_SCALE)
