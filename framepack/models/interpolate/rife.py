"""RIFE 4.25: a network that generates the frame between two frames, at any time between them.

Published by Huang et al. as part of Practical-RIFE (MIT license). Implemented here from the architecture: an encoder
computes four feature channels per frame. Five blocks, from coarse to fine, refine two optical flows (from the
generated frame to each input frame) and a blending mask. Both frames are warped along their flow and blended.

The published network warps whole frames for every block and then shrinks them. Shrinking uses only the four pixels in
the center of every 16 x 16 for the coarsest block, of every 8 x 8 for the next, and so on. This implementation warps
only those pixels, does not enlarge intermediate results to full size, and skips outputs that are not used. The result
is the same frame (up to rounding) in two thirds of the time on a CPU.

Module names are those of the published checkpoint, so that it loads strictly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from framepack.errors import ModelUnavailable

SIZE_MULTIPLE: Final = 64
"""Width and height of the network's input must be multiples of this."""

_WIDTHS: Final = (192, 128, 96, 64, 32)
_SCALES: Final = (16, 8, 4, 2, 1)
_FLOW_CHANNELS: Final = 4  # channels of flow: x and y to the first frame, then to the second
_FRAME_CHANNELS: Final = 3 + 4  # RGB and features
_CARRIED: Final = 1 + 8  # channels that a block passes to the next, besides flow: the mask, then features
_SLOPE: Final = 0.2
FRAME_ELEMENTS: Final = _FRAME_CHANNELS
"""Elements per pixel of a frame with its features."""
MOTION_ELEMENTS: Final = 2 * _FRAME_CHANNELS + 1 + _CARRIED + _FLOW_CHANNELS
"""Elements per pixel of the largest tensor while motion is estimated: the last block's input, with the time."""
_TRAINING_ONLY: Final = ("teacher.", "caltime.")


class _Residual(nn.Module):
    """A convolution added to its input, scaled per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, 1, 1)
        self.beta = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu_(torch.addcmul(x, self.conv(x), self.beta), _SLOPE)

    def folded(self) -> nn.Sequential:
        """Return the same computation as a single convolution."""
        plain = self.conv.state_dict()
        weight = plain["weight"] * self.beta.detach().view(-1, 1, 1, 1)
        weight[:, :, 1, 1] += torch.eye(len(weight))
        self.conv.load_state_dict({"weight": weight, "bias": plain["bias"] * self.beta.flatten()}, assign=True)
        return nn.Sequential(self.conv, nn.LeakyReLU(_SLOPE, inplace=True))


def _halving(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.LeakyReLU(_SLOPE, inplace=True))


class _Encoder(nn.Module):
    """Computes a frame's features: (N, 3, H, W) to (N, 4, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn0 = nn.Conv2d(3, 16, 3, 2, 1)
        self.cnn1 = nn.Conv2d(16, 16, 3, 1, 1)
        self.cnn2 = nn.Conv2d(16, 16, 3, 1, 1)
        self.cnn3 = nn.ConvTranspose2d(16, 4, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.cnn0, self.cnn1, self.cnn2):
            x = functional.leaky_relu_(layer(x), _SLOPE)
        return torch.as_tensor(self.cnn3(x))


class _Block(nn.Module):
    """One refinement step, computed at ``1 / scale`` of the frames' size."""

    def __init__(self, inputs: int, width: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.conv0 = nn.Sequential(_halving(inputs, width // 2), _halving(width // 2, width))
        self.convblock = nn.Sequential(*(_Residual(width) for _ in range(8)))
        output = 4 * (_FLOW_CHANNELS + _CARRIED)
        self.lastconv = nn.Sequential(nn.ConvTranspose2d(width, output, 4, 2, 1), nn.PixelShuffle(2))

    def forward(self, parts: list[Tensor]) -> Tensor:
        """Compute flow (in pixels of this scale), mask and features, (N, 13, h, w), from all inputs."""
        weight = next(self.conv0.parameters())
        is_last = weight.is_contiguous(memory_format=torch.channels_last)
        x = _concatenated(parts, weight.dtype, torch.channels_last if is_last else torch.contiguous_format)
        return torch.as_tensor(self.lastconv(self.convblock(self.conv0(x)))).float()

    def simplify(self) -> None:
        """Replace every residual unit by a single convolution: the same result, faster."""
        residuals = cast("Iterable[_Residual]", self.convblock)
        self.convblock = nn.Sequential(*(residual.folded() for residual in residuals))

    def drop_features(self) -> None:
        """Output only flow and mask, without features, which the last block's successor would use."""
        last, kept = cast("nn.ConvTranspose2d", self.lastconv[0]), 4 * (_FLOW_CHANNELS + 1)
        last.weight, last.bias = nn.Parameter(last.weight[:, :kept]), nn.Parameter(cast("Tensor", last.bias)[:kept])


class Rife(nn.Module):
    """The network; fully convolutional, for frames whose width and height are multiples of ``SIZE_MULTIPLE``.

    Its convolutions may be in half precision; frames, flows and positions are always in single precision.
    """

    def __init__(self) -> None:
        super().__init__()
        time_channel = 1
        later = 2 * _FRAME_CHANNELS + time_channel + _CARRIED + _FLOW_CHANNELS
        self.block0 = _Block(2 * _FRAME_CHANNELS + time_channel, _WIDTHS[0], _SCALES[0])
        self.block1 = _Block(later, _WIDTHS[1], _SCALES[1])
        self.block2 = _Block(later, _WIDTHS[2], _SCALES[2])
        self.block3 = _Block(later, _WIDTHS[3], _SCALES[3])
        self.block4 = _Block(later, _WIDTHS[4], _SCALES[4])
        self.encode = _Encoder()

    def with_features(self, frames: Tensor) -> Tensor:
        """Add features to frames: (N, 3, H, W) to (N, 7, H, W), float32. Keep the result: pairs share frames."""
        features = self.encode(frames.to(self.encode.cnn0.weight.dtype))
        return _concatenated([frames, features], torch.float32, torch.contiguous_format)

    def forward(self, first: Tensor, second: Tensor, timestep: Tensor) -> Tensor:
        """Generate the frames at ``timestep`` between two frames.

        Args:
            first: Earlier frames as returned by ``with_features``, (N, 7, H, W).
            second: Later frames, likewise.
            timestep: (N, 1, 1, 1); 0 is the time of the first frame, 1 that of the second.

        Returns:
            (N, 3, H, W), float32; every pixel is a weighted mean of pixels of the two frames.
        """
        flow, mask = self.motion(first, second, timestep)
        return warp_and_blend(first[:, :3], second[:, :3], flow, mask)

    def motion(self, first: Tensor, second: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate the motion from the frames at ``timestep`` to the given ones; arguments as for ``forward``.

        Returns:
            Flow, (N, 4, H, W), in pixels: x and y to the first frame, then to the second; and the mask, (N, 1, H, W),
            which is the weight of the first frame, 0..1. Both float32.
        """
        # A block works at 1 / scale of the size. Its input is defined as full-size frames, bilinearly shrunk, which
        # depends only on the central 2 x 2 pixels of every scale x scale. So only these are warped.
        pixels = _positions(first)
        scale = self.block0.scale
        near = _halved(_center_pixels(first, scale)), _halved(_center_pixels(second, scale))
        output = self.block0(_block_input(*near, timestep))
        flow = _enlarged(output[:, :_FLOW_CHANNELS], scale) * scale
        for block in (self.block1, self.block2, self.block3, self.block4):
            scale = block.scale
            points = pixels.centers(scale)
            flow_at_points = _center_pixels(flow, scale)
            warped = (
                _warp(first, flow_at_points[:, :2], points),
                _warp(second, flow_at_points[:, 2:], points),
            )
            if scale > 1:
                warped = _halved(warped[0]), _halved(warped[1])
                flow_at_points = _halved(flow_at_points) / scale
            output = block(
                [*_block_input(*warped, timestep), _enlarged(output[:, _FLOW_CHANNELS:], 2), flow_at_points]
            )
            flow.add_(_enlarged(output[:, :_FLOW_CHANNELS], scale), alpha=scale)
        return flow, torch.sigmoid(output[:, _FLOW_CHANNELS : _FLOW_CHANNELS + 1])


def warp_and_blend(first: Tensor, second: Tensor, flow: Tensor, mask: Tensor) -> Tensor:
    """Warp two frames along their flow and blend them.

    Args:
        first: (N, C, H, W), float32.
        second: Likewise.
        flow: As returned by ``Rife.motion``.
        mask: Likewise.

    Returns:
        (N, C, H, W), float32.
    """
    points = _positions(first)
    return torch.lerp(_warp(second, flow[:, 2:], points), _warp(first, flow[:, :2], points), mask)


def load_rife(state: Mapping[str, Tensor]) -> Rife:
    """Build the network from the published checkpoint, whose keys begin with ``module.``, or from plain keys.

    Returns:
        The network in single precision on the CPU, in evaluation mode, without the parts that only training needs.

    Raises:
        ModelUnavailable: A weight is missing, has the wrong shape, or does not belong to this network.
    """
    plain = {key.removeprefix("module."): value for key, value in state.items()}
    needed = {key: value for key, value in plain.items() if not key.startswith(_TRAINING_ONLY)}
    with torch.device("meta"):
        network = Rife()
    try:
        network.load_state_dict(needed, strict=True, assign=True)
    except RuntimeError as error:
        raise ModelUnavailable("The weights are not those of RIFE 4.25.") from error
    network.float().eval()
    for block in (network.block0, network.block1, network.block2, network.block3, network.block4):
        block.simplify()
    network.block4.drop_features()
    return network.requires_grad_(requires_grad=False)


def _block_input(first: Tensor, second: Tensor, timestep: Tensor) -> list[Tensor]:
    """Return two frames, their features and the timestep in the order of the checkpoint's input channels."""
    time_channel = timestep.expand(-1, 1, *first.shape[2:])
    return [first[:, :3], second[:, :3], first[:, 3:], second[:, 3:], time_channel]


def _concatenated(parts: list[Tensor], dtype: torch.dtype, layout: torch.memory_format) -> Tensor:
    """Concatenate ``parts``, (N, C, H, W) each, into this precision and memory layout with a single copy."""
    count, _, height, width = parts[0].shape
    shape = (count, sum(part.shape[1] for part in parts), height, width)
    joined = torch.empty(shape, dtype=dtype, device=parts[0].device, memory_format=layout)
    return torch.cat(parts, 1, out=joined)


def _center_pixels(x: Tensor, scale: int) -> Tensor:
    """Take the central 2 x 2 pixels of every ``scale`` x ``scale``: (N, C, H, W) to (N, C, 2H/scale, 2W/scale)."""
    if scale <= 2:  # noqa: PLR2004 - the center is everything
        return x
    count, channels, height, width = x.shape
    rows, columns = height // scale, width // scale
    center = slice(scale // 2 - 1, scale // 2 + 1)
    blocks = x.view(count, channels, rows, scale, columns, scale)[:, :, :, center, :, center]
    return blocks.reshape(count, channels, 2 * rows, 2 * columns)


def _halved(x: Tensor) -> Tensor:
    """Halve width and height; each pixel is the mean of four."""
    return functional.interpolate(x, scale_factor=0.5, mode="bilinear")


def _enlarged(x: Tensor, factor: int) -> Tensor:
    return functional.interpolate(x, scale_factor=float(factor), mode="bilinear") if factor > 1 else x


class _Positions(NamedTuple):
    """Where pixels are, in the coordinates of ``grid_sample``: -1 is the center of the first one, 1 of the last."""

    x: Tensor
    """Of every column, (W,), float32."""
    y: Tensor
    """Of every row, (H, 1), float32."""

    def centers(self, scale: int) -> _Positions:
        """The positions of what ``_center_pixels`` takes."""
        if scale <= 2:  # noqa: PLR2004 - the center is everything
            return self
        center = slice(scale // 2 - 1, scale // 2 + 1)
        x, y = (side.view(-1, scale)[:, center].flatten() for side in self)
        return _Positions(x, y.unsqueeze(1))


def _positions(like: Tensor) -> _Positions:
    height, width = like.shape[2:]
    y = torch.linspace(-1, 1, height, device=like.device)
    return _Positions(torch.linspace(-1, 1, width, device=like.device), y.unsqueeze(1))


def _warp(frame: Tensor, flow: Tensor, points: _Positions) -> Tensor:
    """Sample ``frame`` (N, C, H, W) at ``points`` shifted by ``flow`` (N, 2, h, w); edge pixels are repeated."""
    height, width = frame.shape[2:]
    x = torch.add(points.x, flow[:, 0], alpha=2 / (width - 1))
    y = torch.add(points.y, flow[:, 1], alpha=2 / (height - 1))
    positions = torch.stack((x, y), -1)
    return functional.grid_sample(frame, positions, mode="bilinear", padding_mode="border", align_corners=True)
