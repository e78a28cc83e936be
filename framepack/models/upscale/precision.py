"""Choose the fastest precision whose result has a PSNR of at least 48 dB against single precision.

On GPUs that is half precision (float16). CPUs have bfloat16, whose mantissa has only 8 bits: x4plus entirely in
bfloat16 reached 50 dB. Therefore the precision is mixed there: the first and last layers and the residual sums stay
in single precision, and the convolutions in between, which take nearly all the time, run in bfloat16. That reached 57
dB or more at the same speed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from framepack.models.memory.device import Device
    from framepack.models.networks.network import UpscalingNetwork


def prepare(network: UpscalingNetwork, device: Device) -> torch.dtype:
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
        for layer in network.inner_layers:
            layer.bfloat16()
    network.model.to(device.torch_device).to(memory_format=torch.channels_last)
    network.model.requires_grad_(requires_grad=False).eval()
    return dtype
