"""RIFE 4.25: the network that draws the picture between two pictures, at any time between them.

Published by Huang et al. as part of Practical-RIFE (MIT licence). Written here from the architecture: an encoder
gives each picture four feature channels; five blocks, from coarse to fine, refine two optical flows (from the wanted
moment to either picture) and a mask; both pictures are warped along their flow and blended by the mask.

Module names are those of the published checkpoint, so that it loads strictly.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from framepack.errors import ModelUnavailable

MULTIPLE = 64
"""Width and height of what the network sees must be multiples of this."""

_WIDTHS = (192, 128, 96, 64, 32)
_SCALES = (16, 8, 4, 2, 1)
_FEATURES = 8  # channels one block hands to the next
_TRAINING_ONLY = ("teacher.", "caltime.")


class _Residual(nn.Module):
    """A convolution added to its input, scaled per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, 1, 1)
        self.beta = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(torch.addcmul(x, self.conv(x), self.beta), 0.2)


def _halving(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.LeakyReLU(0.2))


class _Encoder(nn.Module):
    """A picture's features: (N, 3, H, W) to (N, 4, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn0 = nn.Conv2d(3, 16, 3, 2, 1)
        self.cnn1 = nn.Conv2d(16, 16, 3, 1, 1)
        self.cnn2 = nn.Conv2d(16, 16, 3, 1, 1)
        self.cnn3 = nn.ConvTranspose2d(16, 4, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.cnn0, self.cnn1, self.cnn2):
            x = functional.leaky_relu(layer(x), 0.2)
        return torch.as_tensor(self.cnn3(x))


class _Block(nn.Module):
    """One step of refinement, computed at ``1 / scale`` of the pictures' size."""

    def __init__(self, inputs: int, width: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.conv0 = nn.Sequential(_halving(inputs, width // 2), _halving(width // 2, width))
        self.convblock = nn.Sequential(*(_Residual(width) for _ in range(8)))
        self.lastconv = nn.Sequential(nn.ConvTranspose2d(width, 4 * (5 + _FEATURES), 4, 2, 1), nn.PixelShuffle(2))

    def forward(self, parts: list[Tensor], timestep: Tensor, flow: Tensor | None) -> Tensor:
        """Refine.

        Args:
            parts: What it looks at, full size, in the order of the checkpoint's input channels; the timestep's
                channel goes between the second and the third.
            timestep: (N, 1, 1, 1), from 0 to 1.
            flow: The flow so far, (N, 4, H, W) in pixels, or None in the first block.

        Returns:
            (N, 13, H, W): 4 channels of flow in pixels, 1 of mask, 8 of features.
        """
        shrunk = [self._shrink(part) for part in parts]
        moment = timestep.expand(-1, 1, *shrunk[0].shape[2:]).to(shrunk[0].dtype)
        shrunk.insert(2, moment)
        if flow is not None:
            shrunk.append((self._shrink(flow) / self.scale).to(moment.dtype))
        result = self.lastconv(self.convblock(self.conv0(torch.cat(shrunk, 1))))
        if self.scale > 1:
            result = functional.interpolate(result, scale_factor=float(self.scale), mode="bilinear")
        result[:, :4] *= self.scale
        return torch.as_tensor(result)

    def _shrink(self, x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=1 / self.scale, mode="bilinear") if self.scale > 1 else x


class Rife(nn.Module):
    """The network; fully convolutional, for pictures whose sides are multiples of ``MULTIPLE``."""

    def __init__(self) -> None:
        super().__init__()
        picture = 3 + 4
        later = 2 * picture + 1 + 1 + _FEATURES + 4
        self.block0 = _Block(2 * picture + 1, _WIDTHS[0], _SCALES[0])
        self.block1 = _Block(later, _WIDTHS[1], _SCALES[1])
        self.block2 = _Block(later, _WIDTHS[2], _SCALES[2])
        self.block3 = _Block(later, _WIDTHS[3], _SCALES[3])
        self.block4 = _Block(later, _WIDTHS[4], _SCALES[4])
        self.encode = _Encoder()

    def seen(self, pictures: Tensor) -> Tensor:
        """Pictures with their features: (N, 3, H, W) in 0..1 to (N, 7, H, W). Worth keeping: pairs share pictures."""
        return torch.cat((pictures, self.encode(pictures)), 1)

    def forward(self, first: Tensor, second: Tensor, timestep: Tensor) -> Tensor:
        """Draw the pictures at ``timestep`` between two.

        Args:
            first: Earlier pictures as ``seen`` gives them, (N, 7, H, W).
            second: Later pictures, alike.
            timestep: (N, 1, 1, 1); 0 is the first picture's moment, 1 the second's.

        Returns:
            (N, 3, H, W) in 0..1.
        """
        grid = _grid(first)
        warped = (first, second)
        flow: Tensor | None = None
        rest: Tensor | None = None
        for block in (self.block0, self.block1, self.block2, self.block3, self.block4):
            parts = [
                torch.cat((warped[0][:, :3], warped[1][:, :3]), 1),
                torch.cat((warped[0][:, 3:], warped[1][:, 3:]), 1),
            ]
            if rest is not None:
                parts.append(rest)
            change = block(parts, timestep, flow)
            flow = change[:, :4].float() if flow is None else flow + change[:, :4].float()
            rest = change[:, 4:]
            warped = (_warp(first, flow[:, :2], grid), _warp(second, flow[:, 2:], grid))
        mask = torch.sigmoid(rest[:, :1]) if rest is not None else torch.full_like(first[:, :1], 0.5)
        return torch.lerp(warped[1][:, :3], warped[0][:, :3], mask)


def _grid(like: Tensor) -> Tensor:
    """Sampling positions of every pixel in the -1..1 of ``grid_sample``, (1, H, W, 2)."""
    height, width = like.shape[2:]
    y = torch.linspace(-1, 1, height, device=like.device)
    x = torch.linspace(-1, 1, width, device=like.device)
    return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1).unsqueeze(0)


def _warp(picture: Tensor, flow: Tensor, grid: Tensor) -> Tensor:
    """``picture`` (N, C, H, W) sampled ``flow`` (N, 2, H, W) pixels away; outside is the nearest edge."""
    height, width = picture.shape[2:]
    pixel = flow.new_tensor([2 / (width - 1), 2 / (height - 1)])
    where = torch.addcmul(grid, flow.permute(0, 2, 3, 1), pixel)
    # Positions need single precision also where pictures do not.
    sampled = functional.grid_sample(
        picture.float(), where, mode="bilinear", padding_mode="border", align_corners=True
    )
    return sampled.to(picture.dtype)


def load_rife(state: Mapping[str, Tensor]) -> Rife:
    """Build the network from a checkpoint as published (its ``module.`` prefixes and all) or from plain keys.

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
    return network.float().eval()
