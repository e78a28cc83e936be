"""An upscaling network and what its users need to know of it, whoever defines it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

ESRGAN: Final = "ESRGAN"
COMPACT: Final = "RealESRGAN Compact"


@dataclass(frozen=True, slots=True)
class UpscalingNetwork:
    """A network that enlarges RGB frames, or restores them at their size.

    Attributes:
        model: Its layers, with weights loaded.
        architecture: Name of its architecture: `ESRGAN`, `COMPACT`, or one of spandrel's.
        tags: Its size in short, such as "64nf" (features) and "23nb" (blocks).
        scale: Factor by which it enlarges width and height; 1 for restoration.
        run: Computes frames with ``model``: (N, 3, H, W) to (N, 3, H * scale, W * scale).
        size_multiple: Width and height of its input must be multiples of this.
        minimum_size: Minimum width and height of its input.
        supports_half: Whether it can be computed in float16.
        inner_layers: The layers that may be in bfloat16 while all others are in single precision; none if unknown.
    """

    model: nn.Module
    architecture: str
    tags: tuple[str, ...]
    scale: int
    run: Callable[[Tensor], Tensor]
    size_multiple: int = 1
    minimum_size: int = 0
    supports_half: bool = True
    inner_layers: tuple[nn.Module, ...] = ()

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        return next(self.model.parameters()).device

    def __call__(self, frames: Tensor) -> Tensor:
        """Compute frames.

        Args:
            frames: RGB, shape (N, 3, H, W), range 0..1; H and W as `size_multiple` asks.

        Returns:
            RGB, shape (N, 3, H * scale, W * scale), range 0..1.
        """
        return self.run(frames).clamp_(0, 1)


class Cast(nn.Module):
    """Converts features to the precision of the layer that follows; a module, so that its memory can be measured."""

    def forward(self, features: Tensor, layer: nn.Conv2d | nn.PReLU) -> Tensor:
        """Return the features in the precision of the weights of ``layer``; the same tensor if they are in it."""
        return features.to(layer.weight.dtype)


def convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size; without values, which come with the weights."""
    return nn.Conv2d(inputs, outputs, 3, 1, 1, device="meta")
