"""ESRGAN: an upscaler made of residual blocks of densely connected convolutions.

Published by Wang et al. (ESRGAN, 2018; Real-ESRGAN, 2021). Implemented here from the architecture: features of the
frame pass through a trunk of blocks, are added to what the trunk made of them, and are enlarged twofold as often as
the scale asks. Real-ESRGAN's 2x network gathers 2 x 2 pixels as channels first, and enlarges fourfold.

Module names are those of Real-ESRGAN's checkpoints, so that these load strictly. Checkpoints of older versions of the
code are renamed.

On a CPU the layers after the trunk are computed in strips of rows: a frame of 64 channels at full size would take ten
times the memory of the trunk. A GPU has the memory, and is faster with large layers.

Features are converted to the precision of each layer's weights, so that the layers between the first and the last may
be in half the precision while all sums stay in single precision. The sums are the sensitive part: over 69 dense
blocks each adds a small correction (times 0.2), and sums in bfloat16 would lose much of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from framepack.models.networks.fused_trunk import FEATURES, GROWTH, FusedTrunk
from framepack.models.networks.network import ESRGAN, Cast, UpscalingNetwork, convolution
from framepack.models.networks.strips import WHOLE, Strip, Strips

if TYPE_CHECKING:
    from framepack.models.kernels.convolution import Tiling

_SLOPE: Final = 0.2
_RESIDUAL_SCALE: Final = 0.2
_RGB: Final = 3
_UNSHUFFLED: Final = {_RGB: 1, _RGB * 4: 2, _RGB * 16: 4}  # side of the squares of pixels, by channels of the input
_SIZE_MULTIPLE: Final = 4  # of networks that gather pixels
_MINIMUM_SIZE: Final = 2  # of all others, as spandrel says
_KERNEL_DIMENSIONS: Final = 4
_CONVOLUTIONS: Final = 5  # of a dense block

# Names in other checkpoints: those of ESRGAN's and BSRGAN's later code, then those of ESRGAN's first code.
_RENAMED: Final = (
    (re.compile(r"RRDB_trunk\.(\d+)\.RDB(\d)\."), r"body.\1.rdb\2."),
    (re.compile(r"trunk_conv\."), "conv_body."),
    (re.compile(r"upconv(\d)\."), r"conv_up\1."),
    (re.compile(r"HRconv\."), "conv_hr."),
    (re.compile(r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\."), r"body.\1.rdb\2.conv\3."),
    (re.compile(r"model\.1\.sub\.(\d+)\."), "conv_body."),
)
_NUMBERED: Final = re.compile(r"model\.(\d+)\.(weight|bias)")


Concatenate = Callable[[tuple[Tensor, ...]], Tensor]
"""Concatenates channels; the result may be overwritten by the next but one."""


def concatenation(features: Tensor, channels: int, dtype: torch.dtype) -> Concatenate:
    """What concatenates channels of features of one shape, on a CPU in the same two pieces of memory by turns.

    Whole frames are pieces that malloc returns to the system each time, which clears them again, page by page.

    Args:
        features: Shape (N, C, H, W).
        channels: The most that a result has.
        dtype: Precision of results.
    """
    if features.is_cuda or not features.is_contiguous(memory_format=torch.channels_last):
        return partial(torch.cat, dim=1)
    count, _, height, width = features.shape
    memory = cycle([torch.empty(count * height * width * channels, dtype=dtype) for _ in range(2)])

    def concatenate(parts: tuple[Tensor, ...]) -> Tensor:
        shape = count, height, width, sum(part.shape[1] for part in parts)
        return torch.cat(parts, 1, out=next(memory)[: math.prod(shape)].view(shape).permute(0, 3, 1, 2))

    return concatenate


class DenseBlock(nn.Module):
    """Five convolutions, each of the input and of all results before; the last one's is added to the input."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        inputs = [features + step * growth for step in range(_CONVOLUTIONS)]
        self.conv1 = convolution(inputs[0], growth)
        self.conv2 = convolution(inputs[1], growth)
        self.conv3 = convolution(inputs[2], growth)
        self.conv4 = convolution(inputs[3], growth)
        self.conv5 = convolution(inputs[4], features)
        self.activation = nn.LeakyReLU(_SLOPE, inplace=True)
        self.cast = Cast()

    @property
    def layers(self) -> tuple[nn.Conv2d, ...]:
        """The convolutions, in their order."""
        return self.conv1, self.conv2, self.conv3, self.conv4, self.conv5

    def forward(self, features: Tensor, concatenate: Concatenate) -> Tensor:
        """Return the features with a correction added, in their own precision."""
        stack = self.cast(features, self.conv1)
        for layer in self.layers[:-1]:
            stack = concatenate((stack, self.activation(layer(stack))))
        correction = cast("Tensor", self.conv5(stack))
        if correction.dtype != features.dtype:
            return features.add(correction, alpha=_RESIDUAL_SCALE)  # converts and adds in one pass
        return correction.mul_(_RESIDUAL_SCALE).add_(features)


class ResidualBlock(nn.Module):
    """Three dense blocks, whose result is added to the input."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(features, growth)
        self.rdb2 = DenseBlock(features, growth)
        self.rdb3 = DenseBlock(features, growth)

    @property
    def layers(self) -> tuple[tuple[nn.Conv2d, ...], ...]:
        """The convolutions of each dense block."""
        return self.rdb1.layers, self.rdb2.layers, self.rdb3.layers

    def forward(self, features: Tensor, concatenate: Concatenate) -> Tensor:
        """Return the features with a correction added."""
        corrected = features
        for block in (self.rdb1, self.rdb2, self.rdb3):
            corrected = block(corrected, concatenate)
        return corrected.mul_(_RESIDUAL_SCALE).add_(features)


class RRDBNet(nn.Module):
    """The network.

    Attributes:
        fused_trunk: What computes the trunk instead of its layers; None: they do.

    Args:
        features: Number of channels between its blocks.
        growth: Number of channels that each convolution of a dense block adds.
        blocks: Number of residual blocks.
        doublings: How often the features are enlarged twofold.
        square: Side of the squares of pixels that become channels first; 1: none.
    """

    def __init__(self, features: int, growth: int, blocks: int, doublings: int, square: int) -> None:
        super().__init__()
        self.square = square
        self.fused_trunk: FusedTrunk | None = None
        self.conv_first = convolution(_RGB * square**2, features)
        self.body = nn.Sequential(*(ResidualBlock(features, growth) for _ in range(blocks)))
        self.conv_body = convolution(features, features)
        self.upsampling = [convolution(features, features) for _ in range(doublings)]
        for number, layer in enumerate(self.upsampling, start=1):
            self.add_module(f"conv_up{number}", layer)
        self.conv_hr = convolution(features, features)
        self.conv_last = convolution(features, _RGB)
        self.activation = nn.LeakyReLU(_SLOPE, inplace=True)
        self.doubling = nn.Upsample(scale_factor=2, mode="nearest")
        self.cast = Cast()
        self.strips = Strips(2**doublings, square)

    @property
    def inner_layers(self) -> tuple[nn.Module, ...]:
        """The layers that may be in half the precision: all but the first, the trunk's last and the last."""
        dense = (block for block in self.body.modules() if isinstance(block, DenseBlock))
        return (*dense, *self.upsampling, self.conv_hr)

    @property
    def can_fuse_trunk(self) -> bool:
        """Whether the trunk has the shape of the published networks, which a `FusedTrunk` can compute."""
        first = cast("ResidualBlock", self.body[0]).rdb1.conv1
        return (first.in_channels, first.out_channels) == (FEATURES, GROWTH)

    def fuse_trunk(self, tiling: Tiling) -> FusedTrunk:
        """Convert the weights of the trunk, whose layers keep theirs, for kernels of a GPU."""
        return FusedTrunk(
            [cast("ResidualBlock", block).layers for block in self.body],
            self.conv_body,
            slope=_SLOPE,
            residual_scale=_RESIDUAL_SCALE,
            tiling=tiling,
        )

    def trunk(self, features: Tensor, blocks: int | None = None) -> Tensor:
        """Compute the trunk layer by layer: features (N, features, H, W) with its correction added.

        Args:
            features: Those of the first layer.
            blocks: Compute only so many residual blocks; None: all.
        """
        layer = cast("ResidualBlock", self.body[0]).rdb1.conv5
        concatenate = concatenation(features, layer.in_channels, layer.weight.dtype)
        corrected = features
        for block in self.body if blocks is None else self.body[:blocks]:
            corrected = block(corrected, concatenate)
        return features + cast("Tensor", self.conv_body(corrected))

    def forward(self, frames: Tensor) -> Tensor:
        """Upscale frames: (N, 3, H, W) to (N, 3, H * scale, W * scale)."""
        if self.square > 1:
            frames = functional.pixel_unshuffle(frames, self.square)
        features = self.conv_first(frames)
        features = self.trunk(features) if self.fused_trunk is None else self.fused_trunk(features)
        if features.is_cuda:
            return self._enlarged(features, WHOLE)
        return cast("Tensor", self.strips(self._enlarged, features))

    def _enlarged(self, features: Tensor, strip: Strip) -> Tensor:
        """Compute the layers after the trunk: RGB at full size, of the rows that a strip keeps."""
        features = self.cast(features, self.conv_hr)
        for layer in self.upsampling:
            features = strip.dropped(self.doubling(features))
            features = strip.dropped(self.activation(layer(features)))
        features = strip.dropped(self.activation(self.conv_hr(features)))
        return strip.dropped(cast("Tensor", self.conv_last(self.cast(features, self.conv_last))))


def load_esrgan(state: Mapping[str, Tensor]) -> UpscalingNetwork | None:
    """Build the network of a state dict; None if it is another architecture, or not for RGB.

    Raises:
        RuntimeError, LookupError: It is such a network, but its weights are incomplete or of wrong shapes.
    """
    state = _renamed(state)
    kernels = [state.get(f"{name}.weight") for name in ("conv_first", "body.0.rdb1.conv1", "conv_last")]
    shapes = [() if kernel is None else tuple(kernel.shape) for kernel in kernels]
    if any(len(shape) != _KERNEL_DIMENSIONS for shape in shapes) or any("conv1x1" in key for key in state):
        return None
    (features, channels, *_), (growth, *_), (outputs, *_) = shapes
    square = _UNSHUFFLED.get(channels)
    if square is None or outputs != _RGB:
        return None
    blocks = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("body."))
    doublings = sum(re.fullmatch(r"conv_up\d\.weight", key) is not None for key in state)
    model = RRDBNet(features, growth, blocks, doublings, square)
    model.load_state_dict(state, assign=True)
    return UpscalingNetwork(
        model=model,
        architecture=ESRGAN,
        tags=(f"{features}nf", f"{blocks}nb", *(["unshuffle"] if square > 1 else [])),
        scale=2**doublings // square,
        run=model,
        size_multiple=_SIZE_MULTIPLE if square > 1 else 1,
        minimum_size=_SIZE_MULTIPLE if square > 1 else _MINIMUM_SIZE,
        inner_layers=model.inner_layers,
    )


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by the names of Real-ESRGAN's checkpoints."""
    numbers = _names_of({int(found[1]) for key in state if (found := _NUMBERED.fullmatch(key))})

    def name_of(key: str) -> str:
        found = _NUMBERED.fullmatch(key)
        if found is not None:
            return f"{numbers[int(found[1])]}.{found[2]}"
        renamed = (pattern.subn(name, key) for pattern, name in _RENAMED)
        return next((name for name, count in renamed if count), key)

    return {name_of(key): value for key, value in state.items()}


def _names_of(numbers: set[int]) -> dict[int, str]:
    """The names of the layers that ESRGAN's first code numbers: the first, those that enlarge, and the last two."""
    order = sorted(numbers)
    upsampling = (f"conv_up{number}" for number in range(1, len(order) - 2))
    return dict(zip(order, ["conv_first", *upsampling, "conv_hr", "conv_last"], strict=False))
