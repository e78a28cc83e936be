"""How much memory a network's work takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

_SIDE: Final = 32
_SPARE: Final = 1.25  # what kernels need besides the input and the output of their layer


@torch.inference_mode()
def bytes_per_pixel(network: ImageModelDescriptor[Any], dtype: torch.dtype) -> int:
    """Estimate the memory that one pixel of input costs while it is upscaled, from the network's widest layer.

    Args:
        network: on its device; a small frame runs through it.
        dtype: of the frames that it takes.
    """
    side = max(_SIDE, network.size_requirements.minimum)
    side += -side % network.size_requirements.multiple_of
    widest = 0

    def note(_layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal widest
        tensors = [value for value in (*inputs, output) if isinstance(value, Tensor)]
        widest = max(widest, sum(tensor.nbytes for tensor in tensors))

    leaves = [layer for layer in network.model.modules() if not any(True for _ in layer.children())]
    hooks = [layer.register_forward_hook(note) for layer in leaves]
    try:
        frame = torch.zeros((1, 3, side, side), dtype=dtype, device=network.device)
        made = network(frame.contiguous(memory_format=torch.channels_last))
    finally:
        for hook in hooks:
            hook.remove()
    total: int = widest + frame.nbytes + 2 * made.nbytes
    return int(_SPARE * total / side**2) + 1
