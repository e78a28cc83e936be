"""Choose the fastest precision whose result has a PSNR of at least 48 dB against single precision.

On GPUs that is half precision (float16). CPUs have bfloat16, whose mantissa has only 8 bits: x4plus entirely in
bfloat16 reached 50 dB. Therefore the precision is mixed there: the first layer, the last ones of ESRGAN and the
residual sums stay in single precision, and the other convolutions, which take nearly all the time, run in bfloat16.
That reached 57 dB or more, for 5 to 15 % more time. Not every CPU with these instructions is faster with them: that
is measured once.
"""

from __future__ import annotations

import logging
import time
from functools import cache
from typing import TYPE_CHECKING, Final

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from framepack.models.memory.device import Device
    from framepack.models.networks.network import UpscalingNetwork

log = logging.getLogger("framepack.models")

_CHANNELS: Final = 64  # of the convolutions that take most of the time
_SIDE: Final = 64  # pixels
_REPETITIONS: Final = 5
_WORTHWHILE: Final = 0.9  # of the time in single precision


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
    elif device.has_bfloat16 and bfloat16_is_faster():
        for layer in network.inner_layers:
            layer.bfloat16()
    network.model.to(device.torch_device).to(memory_format=torch.channels_last)
    network.model.requires_grad_(requires_grad=False).eval()
    return dtype


@cache
def bfloat16_is_faster() -> bool:
    """Whether this CPU takes less time for a convolution in bfloat16 than in single precision.

    With the same instructions some processors are twice as fast and others half as fast. Seconds of the CPU are
    compared, so that other work on the machine does not decide.
    """
    single, half = (_convolution_seconds(dtype) for dtype in (torch.float32, torch.bfloat16))
    is_faster = half < _WORTHWHILE * single
    log.debug(
        "a convolution takes %.2f ms in bfloat16 and %.2f ms in single precision: %s is used",
        1000 * half, 1000 * single, "bfloat16" if is_faster else "single precision",
    )  # fmt: skip
    return is_faster


@torch.inference_mode()
def _convolution_seconds(dtype: torch.dtype) -> float:
    """The fewest seconds of the CPU that a convolution took."""
    features = torch.rand(1, _CHANNELS, _SIDE, _SIDE).to(dtype, memory_format=torch.channels_last)
    kernel = torch.rand(_CHANNELS, _CHANNELS, 3, 3).to(dtype, memory_format=torch.channels_last)
    functional.conv2d(features, kernel, padding=1)  # prepares its kernels
    times = []
    for _ in range(_REPETITIONS):
        started = time.process_time()
        functional.conv2d(features, kernel, padding=1)
        times.append(time.process_time() - started)
    return min(times)
