"""Tiny networks with seeded random weights, in the key names of the published Real-ESRGAN checkpoints."""

from __future__ import annotations

import torch
from torch import Tensor

GROWTH = 32  # spandrel's RRDB always grows by 32 channels


def tiny_compact(scale: int = 4, feat: int = 8, convs: int = 2, seed: int = 0) -> dict[str, Tensor]:
    """Weights of a small SRVGGNetCompact: ``body.0`` ... ``body.{2 * convs + 2}``, single precision."""
    random = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    _convolution(state, "body.0", 3, feat, random)
    state["body.1.weight"] = 0.1 + 0.2 * torch.rand(feat, generator=random)
    for index in range(1, convs + 1):
        _convolution(state, f"body.{2 * index}", feat, feat, random)
        state[f"body.{2 * index + 1}.weight"] = 0.1 + 0.2 * torch.rand(feat, generator=random)
    _convolution(state, f"body.{2 * convs + 2}", feat, 3 * scale * scale, random, gain=0.05)
    return state


def tiny_rrdb(scale: int = 4, feat: int = 8, blocks: int = 1, seed: int = 0) -> dict[str, Tensor]:
    """Weights of a small RRDBNet: ``conv_first``, ``body.*``, ``conv_body``, ``conv_up1`` ... (scale 2 or 4)."""
    random = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    channels_in = 12 if scale == 2 else 3  # the published x2 network works on unshuffled pixels
    _convolution(state, "conv_first", channels_in, feat, random)
    for block in range(blocks):
        for dense in range(1, 4):
            for step in range(5):
                name = f"body.{block}.rdb{dense}.conv{step + 1}"
                _convolution(state, name, feat + step * GROWTH, GROWTH if step < 4 else feat, random)
    for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
        _convolution(state, name, feat, feat, random)
    _convolution(state, "conv_last", feat, 3, random, gain=0.2)
    state["conv_last.bias"] += 0.5  # the middle of the frame's range
    return state


def _convolution(
    state: dict[str, Tensor], name: str, inputs: int, outputs: int, random: torch.Generator, *, gain: float = 1.0
) -> None:
    """Add a 3x3 convolution's weight (outputs, inputs, 3, 3) and bias (outputs,); gain 1 keeps the values' size."""
    spread = gain * (2 / (9 * inputs)) ** 0.5
    state[f"{name}.weight"] = spread * torch.randn(outputs, inputs, 3, 3, generator=random)
    state[f"{name}.bias"] = gain * 0.05 * torch.randn(outputs, generator=random)
