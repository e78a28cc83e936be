"""RIFE 4.25: the network that draws the frame between two frames, at any time between them.

Published by Huang et al. as part of Practical-RIFE (MIT license). Written here from the architecture: an encoder
gives each frame four feature channels; five blocks, from coarse to fine, refine two optical flows (from the wanted
moment to either frame) and a mask; both frames are warped along their flow and blended by the mask.

The published network warps whole frames for every block and then shrinks them, which keeps the four pixels in the
middle of every 16 x 16 of them for the coarsest block, of every 8 x 8 for the next. Here only those are warped, what
blocks hand on is never blown up to full size in between, and what nobody reads is not computed: the same frame (to
rounding) in two thirds of the time on a CPU.

Module names are those of the published checkpoint, so that it loads strictly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from framepack.errors import ModelUnavailable

MULTIPLE: Final = 64
"""Width and height of what the network sees must be multiples of this."""

_WIDTHS: Final = (192, 128, 96, 64, 32)
_SCALES: Final = (16, 8, 4, 2, 1)
_FLOW: Final = 4  # channels: x and y towards the first frame, then towards the second
_SEEN: Final = 3 + 4  # channels of a frame with its features
_HANDED_ON: Final = 1 + 8  # channels that one block hands to the next: the mask, then features
_SLOPE: Final = 0.2
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
        """The same as one plain convolution."""
        plain = self.conv.state_dict()
        weight = plain["weight"] * self.beta.detach().view(-1, 1, 1, 1)
        weight[:, :, 1, 1] += torch.eye(len(weight))
        self.conv.load_state_dict({"weight": weight, "bias": plain["bias"] * self.beta.flatten()}, assign=True)
        return nn.Sequential(self.conv, nn.LeakyReLU(_SLOPE, inplace=True))


def _halving(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.LeakyReLU(_SLOPE, inplace=True))


class _Encoder(nn.Module):
    """A frame's features: (N, 3, H, W) to (N, 4, H, W)."""

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
    """One step of refinement, computed at ``1 / scale`` of the frames' size."""

    def __init__(self, inputs: int, width: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.conv0 = nn.Sequential(_halving(inputs, width // 2), _halving(width // 2, width))
        self.convblock = nn.Sequential(*(_Residual(width) for _ in range(8)))
        made = 4 * (_FLOW + _HANDED_ON)
        self.lastconv = nn.Sequential(nn.ConvTranspose2d(width, made, 4, 2, 1), nn.PixelShuffle(2))

    def forward(self, parts: list[Tensor]) -> Tensor:
        """Refine what it sees, (N, ..., h, w), to flow in its own pixels, mask and features, (N, 13, h, w)."""
        weight = next(self.conv0.parameters())
        is_last = weight.is_contiguous(memory_format=torch.channels_last)
        x = _joined(parts, weight.dtype, torch.channels_last if is_last else torch.contiguous_format)
        return torch.as_tensor(self.lastconv(self.convblock(self.conv0(x)))).float()

    def simplify(self) -> None:
        """Make every residual one convolution: the same, faster."""
        residuals = cast("Iterable[_Residual]", self.convblock)
        self.convblock = nn.Sequential(*(residual.folded() for residual in residuals))

    def drop_features(self) -> None:
        """Make no features any more, only flow and mask."""
        last, kept = cast("nn.ConvTranspose2d", self.lastconv[0]), 4 * (_FLOW + 1)
        last.weight, last.bias = nn.Parameter(last.weight[:, :kept]), nn.Parameter(cast("Tensor", last.bias)[:kept])


class Rife(nn.Module):
    """The network; fully convolutional, for frames whose sides are multiples of ``MULTIPLE``.

    Its convolutions may be in half precision; frames, flows and positions are in single precision all the way.
    """

    def __init__(self) -> None:
        super().__init__()
        moment = 1
        later = 2 * _SEEN + moment + _HANDED_ON + _FLOW
        self.block0 = _Block(2 * _SEEN + moment, _WIDTHS[0], _SCALES[0])
        self.block1 = _Block(later, _WIDTHS[1], _SCALES[1])
        self.block2 = _Block(later, _WIDTHS[2], _SCALES[2])
        self.block3 = _Block(later, _WIDTHS[3], _SCALES[3])
        self.block4 = _Block(later, _WIDTHS[4], _SCALES[4])
        self.encode = _Encoder()

    def seen(self, frames: Tensor) -> Tensor:
        """Frames (N, 3, H, W) with their features: (N, 7, H, W), float32. Worth keeping: pairs share frames."""
        features = self.encode(frames.to(self.encode.cnn0.weight.dtype))
        return _joined([frames, features], torch.float32, torch.contiguous_format)

    def forward(self, first: Tensor, second: Tensor, timestep: Tensor) -> Tensor:
        """Draw the frames at ``timestep`` between two.

        Args:
            first: Earlier frames as ``seen`` gives them, (N, 7, H, W).
            second: Later frames, alike.
            timestep: (N, 1, 1, 1); 0 is the first frame's moment, 1 the second's.

        Returns:
            (N, 3, H, W), float32; every pixel is a mean of pixels of the two.
        """
        flow, share = self.motion(first, second, timestep)
        return blend(first[:, :3], second[:, :3], flow, share)

    def motion(self, first: Tensor, second: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Find where the frames at ``timestep`` come from; arguments as in ``forward``.

        Returns:
            Flow, (N, 4, H, W), in pixels: x and y to the first frame, then to the second; and the first frame's
            share in the mix, (N, 1, H, W), in 0..1. Both float32.
        """
        grid = _grid(first)
        scale = self.block0.scale
        near = _shrunk(_middle(first, scale)), _shrunk(_middle(second, scale))
        made = self.block0(_arranged(*near, timestep))
        flow = _enlarged(made[:, :_FLOW], scale) * scale
        for block in (self.block1, self.block2, self.block3, self.block4):
            scale = block.scale
            points = _middle(grid, scale)
            flow_there = _middle(flow, scale)
            warped = (
                _warped(first, flow_there[:, :2], points),
                _warped(second, flow_there[:, 2:], points),
            )
            if scale > 1:
                warped = _shrunk(warped[0]), _shrunk(warped[1])
                flow_there = _shrunk(flow_there) / scale
            made = block([*_arranged(*warped, timestep), _enlarged(made[:, _FLOW:], 2), flow_there])
            flow.add_(_enlarged(made[:, :_FLOW], scale), alpha=scale)
        return flow, torch.sigmoid(made[:, _FLOW : _FLOW + 1])


def blend(first: Tensor, second: Tensor, flow: Tensor, share: Tensor) -> Tensor:
    """Warp two frames along their flow and mix them.

    Args:
        first: (N, C, H, W), float32.
        second: Alike.
        flow: As ``Rife.motion`` gives it.
        share: Likewise.

    Returns:
        (N, C, H, W), float32.
    """
    grid = _grid(first)
    return torch.lerp(_warped(second, flow[:, 2:], grid), _warped(first, flow[:, :2], grid), share)


def load_rife(state: Mapping[str, Tensor]) -> Rife:
    """Build the network from a checkpoint as published (its ``module.`` prefixes and all) or from plain keys.

    Returns:
        The network in single precision on the CPU, in evaluation mode, without what only training needs.

    Raises:
        ModelUnavailable: a weight is missing, misshapen, or of no part of this network.
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


def _arranged(first: Tensor, second: Tensor, timestep: Tensor) -> list[Tensor]:
    """Two frames with features, and their time, in the order of the checkpoint's input channels."""
    moment = timestep.expand(-1, 1, *first.shape[2:])
    return [first[:, :3], second[:, :3], first[:, 3:], second[:, 3:], moment]


def _joined(parts: list[Tensor], dtype: torch.dtype, layout: torch.memory_format) -> Tensor:
    """All channels of ``parts``, (N, C, H, W) each, in this precision and memory layout, written once."""
    count, _, height, width = parts[0].shape
    shape = (count, sum(part.shape[1] for part in parts), height, width)
    joined = torch.empty(shape, dtype=dtype, device=parts[0].device, memory_format=layout)
    return torch.cat(parts, 1, out=joined)


def _middle(x: Tensor, scale: int) -> Tensor:
    """The 2 x 2 pixels in the middle of every ``scale`` x ``scale``: (N, C, H, W) to (N, C, 2H/scale, 2W/scale)."""
    if scale <= 2:  # noqa: PLR2004 - there is nothing around the middle
        return x
    count, channels, height, width = x.shape
    rows, columns = height // scale, width // scale
    inner = slice(scale // 2 - 1, scale // 2 + 1)
    blocks = x.view(count, channels, rows, scale, columns, scale)[:, :, :, inner, :, inner]
    return blocks.reshape(count, channels, 2 * rows, 2 * columns)


def _shrunk(x: Tensor) -> Tensor:
    """Half the size, the mean of every four pixels."""
    return functional.interpolate(x, scale_factor=0.5, mode="bilinear")


def _enlarged(x: Tensor, factor: int) -> Tensor:
    return functional.interpolate(x, scale_factor=float(factor), mode="bilinear") if factor > 1 else x


def _grid(like: Tensor) -> Tensor:
    """Position (x, y) of every pixel in the -1..1 of ``grid_sample``, (1, 2, H, W), float32."""
    height, width = like.shape[2:]
    y = torch.linspace(-1, 1, height, device=like.device)
    x = torch.linspace(-1, 1, width, device=like.device)
    return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1]).unsqueeze(0)


def _warped(frame: Tensor, flow: Tensor, points: Tensor) -> Tensor:
    """``frame`` (N, C, H, W) sampled ``flow`` (N, 2, h, w) pixels away from ``points``; outside is the edge."""
    height, width = frame.shape[2:]
    x = torch.add(points[:, 0], flow[:, 0], alpha=2 / (width - 1))
    y = torch.add(points[:, 1], flow[:, 1], alpha=2 / (height - 1))
    where = torch.stack((x, y), -1)
    return functional.grid_sample(frame, where, mode="bilinear", padding_mode="border", align_corners=True)
