"""GFPGAN v1 ("clean"): restores aligned faces of 512 x 512 pixels.

Published by Wang et al. (GFP-GAN, 2021). Implemented here from the architecture: an encoder and a decoder with skip
connections look at the face, and make from it a style for each layer of a StyleGAN2 generator, and at each of its
sizes a scale and a shift for half of its features. The generator then draws the face anew.

Module names are those of GFPGAN's checkpoints, so that these load strictly. Two of their parts only serve training:
the network that makes styles of random numbers, and the layers that show what the decoder sees.

StyleGAN2 multiplies the weights of a convolution with the style of each face, which needs one convolution for every
face. Here the features are multiplied instead, which is the same sum: a batch of faces is one convolution. The
factors that bring the result back to unit variance are applied afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from framepack.models.networks.network import convolution

SIZE: Final = 512
"""Width and height of faces."""

_RGB: Final = 3
_SLOPE: Final = 0.2
_FIRST_SIZE: Final = 4  # of the generator's features
_SIZES: Final = (8, 16, 32, 64, 128, 256, 512)
_WIDTH: Final = 512  # maximum number of channels of the published network
_WIDEST_SIZE: Final = 64  # of features with as many channels; each doubling of the size halves their number
_EPSILON: Final = 1e-8
_FOR_TRAINING: Final = ("toRGB.", "stylegan_decoder.style_mlp.")


def _channels(width: int, size: int) -> int:
    return width * min(_WIDTH, _WIDTH * _WIDEST_SIZE // size) // _WIDTH


def _resized(features: Tensor, factor: float) -> Tensor:
    return functional.interpolate(features, scale_factor=factor, mode="bilinear", align_corners=False)


class ResizingBlock(nn.Module):
    """Two convolutions with a change of size between them, added to the resized input."""

    def __init__(self, inputs: int, outputs: int, factor: float) -> None:
        super().__init__()
        self.conv1 = convolution(inputs, inputs)
        self.conv2 = convolution(inputs, outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the new size."""
        changed = functional.leaky_relu_(self.conv1(features), _SLOPE)
        changed = functional.leaky_relu_(self.conv2(_resized(changed, self.factor)), _SLOPE)
        return changed.add_(self.skip(_resized(features, self.factor)))


class ModulatedConvolution(nn.Module):
    """A convolution of features that are scaled by a style, as StyleGAN2 has it.

    Args:
        inputs: Number of channels.
        outputs: Number of channels.
        kernel: Width and height of the kernel.
        styles: Number of values of a style.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, styles: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(styles, inputs)
        self.weight = nn.Parameter(torch.empty(1, outputs, inputs, kernel, kernel))

    def scales(self, style: Tensor) -> Tensor:
        """The factors of the input's channels, shape (N, inputs)."""
        return cast("Tensor", self.modulation(style))

    def normalization(self, scales: Tensor) -> Tensor:
        """The factors that bring the output's channels back to unit variance, shape (N, outputs)."""
        power = self.weight[0].square().sum((2, 3))
        return functional.linear(scales.square(), power).add_(_EPSILON).rsqrt_()

    def forward(self, features: Tensor) -> Tensor:
        """Convolve scaled features."""
        return functional.conv2d(features, self.weight[0], padding=self.weight.shape[-1] // 2)


class StyledLayer(nn.Module):
    """A modulated convolution with noise, a bias and an activation; it may double the size first."""

    def __init__(self, inputs: int, outputs: int, styles: int, *, doubles: bool = False) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConvolution(inputs, outputs, 3, styles)
        self.weight = nn.Parameter(torch.empty(1))  # of the noise
        self.bias = nn.Parameter(torch.empty(1, outputs, 1, 1))
        self.doubles = doubles

    def forward(self, features: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """Return features, of twice the size if it doubles."""
        scales = self.modulated_conv.scales(style)
        features = features * scales[:, :, None, None]
        if self.doubles:
            features = _resized(features, 2)
        gain = self.modulated_conv.normalization(scales).mul_(math.sqrt(2))
        features = self.modulated_conv(features) * gain[:, :, None, None]
        return functional.leaky_relu_(features.add_(self.bias + self.weight * noise), _SLOPE)


class RgbLayer(nn.Module):
    """Turns features into a layer of the face, and adds it to the layers of smaller sizes."""

    def __init__(self, inputs: int, styles: int) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConvolution(inputs, _RGB, 1, styles)
        self.bias = nn.Parameter(torch.empty(1, _RGB, 1, 1))

    def forward(self, features: Tensor, style: Tensor, face: Tensor | None = None) -> Tensor:
        """Return the face so far; ``face`` has half the size."""
        scales = self.modulated_conv.scales(style)
        layer = cast("Tensor", self.modulated_conv(features * scales[:, :, None, None])).add_(self.bias)
        return layer if face is None else layer.add_(_resized(face, 2))


class _Constant(nn.Module):
    """The features that every face begins with."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, channels, _FIRST_SIZE, _FIRST_SIZE))


class Generator(nn.Module):
    """StyleGAN2's generator, half of whose features are scaled and shifted at every size.

    Args:
        width: Number of channels at small sizes.
        styles: Number of values of a style.
    """

    def __init__(self, width: int, styles: int) -> None:
        super().__init__()
        self.constant_input = _Constant(width)
        self.style_conv1 = StyledLayer(width, width, styles)
        self.to_rgb1 = RgbLayer(width, styles)
        self.style_convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        inputs = width
        for size in _SIZES:
            outputs = _channels(width, size)
            self.style_convs.append(StyledLayer(inputs, outputs, styles, doubles=True))
            self.style_convs.append(StyledLayer(outputs, outputs, styles))
            self.to_rgbs.append(RgbLayer(outputs, styles))
            inputs = outputs
        self.noises = nn.Module()
        for number, size in enumerate([_FIRST_SIZE, *(size for size in _SIZES for _ in range(2))]):
            self.noises.register_buffer(f"noise{number}", torch.empty(1, 1, size, size))

    def forward(self, styles: Tensor, scales: list[Tensor], shifts: list[Tensor]) -> Tensor:
        """Draw faces.

        Args:
            styles: One for each layer, shape (N, layers, values).
            scales: For half of the features of each size, from small to large.
            shifts: Likewise.

        Returns:
            Shape (N, 3, 512, 512), about -1..1.
        """
        noises = list(self.noises.buffers())
        features = self.constant_input.weight.expand(len(styles), -1, -1, -1)
        features = self.style_conv1(features, styles[:, 0], noises[0])
        face = self.to_rgb1(features, styles[:, 1])
        layers = zip(self.style_convs[::2], self.style_convs[1::2], self.to_rgbs, scales, shifts, strict=True)
        for number, (doubling, second, to_rgb, scale, shift) in enumerate(layers):
            first_style = 2 * number + 1  # the style of a size's last layer is that of the next size's first one, too
            features = doubling(features, styles[:, first_style], noises[first_style])
            features[:, features.shape[1] // 2 :].mul_(scale).add_(shift)
            features = second(features, styles[:, first_style + 1], noises[first_style + 1])
            face = to_rgb(features, styles[:, first_style + 2], face)
        return cast("Tensor", face)


def _condition(channels: int) -> nn.Sequential:
    return nn.Sequential(
        convolution(channels, channels), nn.LeakyReLU(_SLOPE, inplace=True), convolution(channels, channels)
    )


class GFPGAN(nn.Module):
    """The network.

    Args:
        width: Number of channels of the generator at small sizes; the published network has 512.
        styles: Number of values of a style; the published network has 512.
    """

    def __init__(self, width: int, styles: int) -> None:
        super().__init__()
        channels = {size: _channels(width, size) // 2 for size in (_FIRST_SIZE, *_SIZES)}
        doublings = list(zip((_FIRST_SIZE, *_SIZES), _SIZES, strict=False))
        self.styles = styles
        self.conv_body_first = nn.Conv2d(_RGB, channels[SIZE], 1)
        self.conv_body_down = nn.ModuleList(
            ResizingBlock(channels[large], channels[small], 0.5) for small, large in reversed(doublings)
        )
        self.final_conv = convolution(channels[_FIRST_SIZE], channels[_FIRST_SIZE])
        self.final_linear = nn.Linear(channels[_FIRST_SIZE] * _FIRST_SIZE**2, 2 * (len(_SIZES) + 1) * styles)
        self.conv_body_up = nn.ModuleList(
            ResizingBlock(channels[small], channels[large], 2) for small, large in doublings
        )
        self.condition_scale = nn.ModuleList(_condition(channels[size]) for size in _SIZES)
        self.condition_shift = nn.ModuleList(_condition(channels[size]) for size in _SIZES)
        self.stylegan_decoder = Generator(width, styles)

    def forward(self, faces: Tensor) -> Tensor:
        """Restore aligned faces.

        Args:
            faces: RGB, shape (N, 3, 512, 512), -1..1.

        Returns:
            Likewise, but may be a little outside of -1..1.
        """
        features = functional.leaky_relu_(self.conv_body_first(faces), _SLOPE)
        seen = []
        for shrinking in self.conv_body_down:
            features = shrinking(features)
            seen.append(features)
        features = functional.leaky_relu_(self.final_conv(features), _SLOPE)
        styles = self.final_linear(features.flatten(1)).unflatten(1, (-1, self.styles))
        scales, shifts = [], []
        for enlarging, to_scale, to_shift in zip(
            self.conv_body_up, self.condition_scale, self.condition_shift, strict=True
        ):
            features = enlarging(features + seen.pop())
            scales.append(to_scale(features))
            shifts.append(to_shift(features))
        return cast("Tensor", self.stylegan_decoder(styles, scales, shifts))


def load_gfpgan(state: Mapping[str, Tensor]) -> GFPGAN:
    """Build the network of a state dict, on the CPU; networks with fewer channels are accepted too.

    Raises:
        RuntimeError, LookupError, AttributeError: The weights are not those of this network.
    """
    width = state["stylegan_decoder.constant_input.weight"].shape[1]
    styles = state["stylegan_decoder.style_conv1.modulated_conv.modulation.weight"].shape[1]
    with torch.device("meta"):  # skips initializing 87 million values
        network = GFPGAN(width, styles)
    network.load_state_dict(
        {key: value for key, value in state.items() if not key.startswith(_FOR_TRAINING)}, assign=True
    )
    return network
