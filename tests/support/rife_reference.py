"""RIFE 4.25 written down literally, straight from a state dict: slow, single precision, every step at full size.

It shares no code and no structure with the network under test. ``random_rife`` makes weights for both.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

State = Mapping[str, Tensor]

WIDTHS = (192, 128, 96, 64, 32)
SCALES = (16, 8, 4, 2, 1)


def random_rife(seed: int = 0, *, motion: float = 1.0) -> dict[str, Tensor]:
    """Weights of RIFE 4.25 that move pixels by a few pixels and mix both frames, under plain keys.

    Args:
        seed: of the random numbers.
        motion: scales the heads: 0 makes the flow zero and the mask one half everywhere.
    """
    random = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    _layer(state, "encode.cnn0", (16, 3, 3, 3), random)
    _layer(state, "encode.cnn1", (16, 16, 3, 3), random)
    _layer(state, "encode.cnn2", (16, 16, 3, 3), random)
    _layer(state, "encode.cnn3", (16, 4, 4, 4), random, transposed=True)
    for index, width in enumerate(WIDTHS):
        name, inputs = f"block{index}", 15 if index == 0 else 28
        _layer(state, f"{name}.conv0.0.0", (width // 2, inputs, 3, 3), random)
        _layer(state, f"{name}.conv0.1.0", (width, width // 2, 3, 3), random)
        for step in range(8):
            _layer(state, f"{name}.convblock.{step}.conv", (width, width, 3, 3), random)
            state[f"{name}.convblock.{step}.beta"] = 0.3 * torch.rand(1, width, 1, 1, generator=random)
        _layer(state, f"{name}.lastconv.0", (width, 52, 4, 4), random, transposed=True, gain=0.3 * motion)
    return state


def _layer(
    state: dict[str, Tensor],
    name: str,
    shape: tuple[int, int, int, int],
    random: torch.Generator,
    *,
    transposed: bool = False,
    gain: float = 1.0,
) -> None:
    inputs = shape[0] * shape[2] * shape[3] / 4 if transposed else shape[1] * shape[2] * shape[3]
    outputs = shape[1] if transposed else shape[0]
    state[f"{name}.weight"] = gain * (2 / inputs) ** 0.5 * torch.randn(shape, generator=random)
    state[f"{name}.bias"] = gain * 0.05 * torch.randn(outputs, generator=random)


@torch.inference_mode()
def reference(state: State, first: Tensor, second: Tensor, timestep: float) -> Tensor:
    """The frame at ``timestep`` between two, (N, 3, H, W) each; sides are multiples of 64."""
    features = encode(state, first), encode(state, second)
    moment = torch.full_like(first[:, :1], timestep)
    flow = mask = hidden = None
    warped = [first, second]
    for index, scale in enumerate(SCALES):
        if flow is None or mask is None or hidden is None:
            seen = torch.cat([first, second, features[0], features[1], moment], 1)
        else:
            warped_features = [warp(features[0], flow[:, 0:2]), warp(features[1], flow[:, 2:4])]
            seen = torch.cat([*warped, *warped_features, moment, mask, hidden], 1)
        change, mask, hidden = refine(state, f"block{index}", seen, flow, scale)
        flow = change if flow is None else flow + change
        warped = [warp(first, flow[:, 0:2]), warp(second, flow[:, 2:4])]
    assert mask is not None
    share = torch.sigmoid(mask)
    return warped[0] * share + warped[1] * (1 - share)


def encode(state: State, frame: Tensor) -> Tensor:
    """Four features of every pixel."""
    x = leaky(convolve(state, "encode.cnn0", frame, stride=2))
    x = leaky(convolve(state, "encode.cnn1", x))
    x = leaky(convolve(state, "encode.cnn2", x))
    return expand(state, "encode.cnn3", x)


def refine(state: State, name: str, seen: Tensor, flow: Tensor | None, scale: int) -> tuple[Tensor, Tensor, Tensor]:
    """One block: change of the flow, mask, features for the next block."""
    x = resize(seen, 1 / scale)
    if flow is not None:
        x = torch.cat([x, resize(flow, 1 / scale) / scale], 1)
    x = leaky(convolve(state, f"{name}.conv0.0.0", x, stride=2))
    x = leaky(convolve(state, f"{name}.conv0.1.0", x, stride=2))
    for step in range(8):
        part = f"{name}.convblock.{step}"
        x = leaky(convolve(state, f"{part}.conv", x) * state[f"{part}.beta"] + x)
    x = resize(functional.pixel_shuffle(expand(state, f"{name}.lastconv.0", x), 2), scale)
    return x[:, :4] * scale, x[:, 4:5], x[:, 5:]


def warp(frame: Tensor, flow: Tensor) -> Tensor:
    """Every pixel from where the flow (x, y) points to, bilinear; beyond the edge is the edge."""
    height, width = frame.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    x, y = (x + flow[:, 0]).clamp(0, width - 1), (y + flow[:, 1]).clamp(0, height - 1)
    left, top = x.floor().long().clamp(max=max(width - 2, 0)), y.floor().long().clamp(max=max(height - 2, 0))
    across, down = (x - left)[:, None], (y - top)[:, None]
    flat = frame.flatten(2)

    def pick(row: Tensor, column: Tensor) -> Tensor:
        where = (row * width + column).flatten(1)[:, None].expand(-1, frame.shape[1], -1)
        return flat.gather(2, where).view(frame.shape)

    upper = pick(top, left) * (1 - across) + pick(top, left + 1) * across
    lower = pick(top + 1, left) * (1 - across) + pick(top + 1, left + 1) * across
    return upper * (1 - down) + lower * down


def resize(x: Tensor, factor: float) -> Tensor:
    """Bilinear, pixels being squares."""
    if factor == 1:
        return x
    return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def convolve(state: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    """A 3x3 convolution."""
    return functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride, 1)


def expand(state: State, name: str, x: Tensor) -> Tensor:
    """A transposed convolution that doubles both sides."""
    return functional.conv_transpose2d(x, state[f"{name}.weight"], state[f"{name}.bias"], 2, 1)


def leaky(x: Tensor) -> Tensor:
    """Leaky ReLU, slope 0.2."""
    return torch.where(x > 0, x, 0.2 * x)
