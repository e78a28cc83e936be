"""Main video models as a deployment would register them (FRAMEPACK_GENERATOR)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

LAYERS = 2000
BYTES = LAYERS * 4 * (128 * 200 + 200)
"""What the model holds: 206 MB in tensors that are too small to be given back to the system one by one."""


class HunyuanVideoTransformer3DModel(nn.Module):
    """A real module with the documented model's name; only its size matters."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(128, 200) for _ in range(LAYERS))


def transformer(device: torch.device) -> HunyuanVideoTransformer3DModel:
    """Build the model on a device."""
    return HunyuanVideoTransformer3DModel().to(device)


def broken(device: torch.device) -> Any:
    """Fail."""
    raise OSError(f"no weights for {device}")


def nothing(device: torch.device) -> None:
    """Make no model."""
