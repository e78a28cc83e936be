"""SRVGGNetCompact: a small upscaler, a plain stack of convolutions at the size of the input.

Published by Wang et al. as part of Real-ESRGAN (2021). Implemented here from the architecture: convolutions and
activations with a learned slope per channel, the last of which makes a square of pixels of every pixel. The frame
itself, enlarged by repeating pixels, is added, so that the network only computes the difference.

Module names are those of the published checkpoints, so that they load strictly. Features are converted to the
precision of each layer's weights, so that all layers but the first may be in half the precision. The last one's
result may be, too, as it is only a difference; what it is added to keeps its precision.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final, cast

from torch import Tensor, nn
from torch.nn import functional

from framepack.models.networks.network import COMPACT, Cast, UpscalingNetwork, convolution

_RGB: Final = 3
_FEWEST_LAYERS: Final = 3  # two convolutions around an activation
_LAYER: Final = re.compile(r"body\.(\d+)\.(weight|bias)")


class SRVGGNetCompact(nn.Module):
    """The network.

    Args:
        features: Number of channels between its layers.
        convolutions: Number of convolutions between the first and the last.
        scale: Factor by which it enlarges width and height.
    """

    def __init__(self, features: int, convolutions: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.body = nn.ModuleList([convolution(_RGB, features)])
        for _ in range(convolutions):
            self.body += [nn.PReLU(features, device="meta"), convolution(features, features)]
        self.body += [nn.PReLU(features, device="meta"), convolution(features, _RGB * scale**2)]
        self.shuffle = nn.PixelShuffle(scale)
        self.cast = Cast()

    @property
    def inner_layers(self) -> tuple[nn.Module, ...]:
        """The layers that may be in half the precision: all but the first."""
        return tuple(self.body)[1:]

    def forward(self, frames: Tensor) -> Tensor:
        """Upscale frames: (N, 3, H, W) to (N, 3, H * scale, W * scale)."""
        features = frames
        for layer in self.body:
            features = layer(self.cast(features, cast("nn.Conv2d | nn.PReLU", layer)))
        difference = cast("Tensor", self.shuffle(features.to(frames.dtype)))
        difference += functional.interpolate(frames, scale_factor=self.scale, mode="nearest")
        return difference


def load_compact(state: Mapping[str, Tensor]) -> UpscalingNetwork | None:
    """Build the network of a state dict; None if it is another architecture, or not for RGB.

    Raises:
        RuntimeError: It is such a network, but its weights are of wrong shapes.
    """
    found = [_LAYER.fullmatch(key) for key in state]
    count = 1 + max((int(each[1]) for each in found if each is not None), default=0)
    names = {f"body.{index}.weight" for index in range(count)} | {
        f"body.{index}.bias" for index in range(0, count, 2)
    }
    if count < _FEWEST_LAYERS or state.keys() != names:
        return None
    first, last = state["body.0.weight"], state[f"body.{count - 1}.weight"]
    scale = math.isqrt(last.shape[0] // _RGB)
    if tuple(first.shape[1:]) != (_RGB, 3, 3) or last.shape[0] != _RGB * scale**2:
        return None
    features, convolutions = first.shape[0], (count - _FEWEST_LAYERS) // 2
    model = SRVGGNetCompact(features, convolutions, scale)
    model.load_state_dict(dict(state), assign=True)
    return UpscalingNetwork(
        model=model,
        architecture=COMPACT,
        tags=(f"{features}nf", f"{convolutions}nc"),
        scale=scale,
        run=model,
        inner_layers=model.inner_layers,
    )
