"""Layers at the size of the output, computed in strips of rows, so that their features never fill a whole frame.

A convolution spoils the row at each edge of a strip that is no edge of the frame, since it takes zeros for the row
beyond. Strips therefore overlap, and the spoiled rows are dropped after each layer. What remains is what the layers
compute of the whole frame. It is equal to the bit as long as oneDNN computes both in the same order, as it does for
strips of the sizes here; for strips of a few rows, the last bit of single precision may differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Protocol

import torch
from torch import Tensor, nn

_OVERLAP: Final = 2  # rows of features on each side, for which `Strip.dropped` has the reason; strips are no smaller
# 64 channels of so many pixels in single precision are 17 MB, which malloc reuses. Pieces of 32 MiB and more go back
# to the system, which clears them again, page by page.
_PIXELS: Final = 1 << 16
_MIN_ROWS: Final = 12  # of features: overlaps are 10 % of the layers' work then, which is 1 % of a frame of x4plus


@dataclass(frozen=True, slots=True)
class Strip:
    """Some rows of a frame.

    Attributes:
        is_first: Whether its first row is the frame's.
        is_last: Whether its last row is the frame's.
    """

    is_first: bool
    is_last: bool

    def dropped(self, features: Tensor) -> Tensor:
        """Drop a row at each edge that is not the frame's.

        It must be done after each doubling and after each convolution. Two rows too many are four after a doubling,
        of which one is not needed, and a convolution spoils one, so that two are left. These are for the last two
        convolutions.
        """
        return features[:, :, 0 if self.is_first else 1 : None if self.is_last else -1]


WHOLE: Final = Strip(is_first=True, is_last=True)
"""All rows of a frame."""


class Layers(Protocol):
    """Doublings, each followed by a convolution, and two more convolutions; a strip drops rows after each."""

    def __call__(self, features: Tensor, strip: Strip, /) -> Tensor:
        """Compute frames (N, C, H, W) from features of some rows."""


class Strips(nn.Module):
    """Computes layers in strips; a module, so that its memory can be measured.

    Args:
        scale: Factor by which the layers enlarge width and height.
        square: Side of the squares of the input's pixels that are a pixel of the features.
    """

    def __init__(self, scale: int, square: int) -> None:
        super().__init__()
        self._scale = scale
        self._square = square

    def forward(self, layers: Layers, features: Tensor) -> Tensor:
        """Compute the layers: features (N, C, H, W) to frames (N, C', H * scale, W * scale), channels-last."""
        height, width = features.shape[-2:]
        count = math.ceil(height / self._rows(width))
        if count == 1:
            return layers(features, WHOLE)
        output: Tensor | None = None
        for start, stop in pairwise(height * index // count for index in range(count + 1)):
            strip = Strip(is_first=start == 0, is_last=stop == height)
            rows = layers(features[:, :, max(0, start - _OVERLAP) : stop + _OVERLAP], strip)
            if output is None:  # the first strip tells precision and channels
                size = (*rows.shape[:2], height * self._scale, width * self._scale)
                output = torch.empty(size, dtype=rows.dtype, memory_format=torch.channels_last)
            output[:, :, start * self._scale : stop * self._scale] = rows
        assert output is not None  # noqa: S101 - there are two strips or more
        return output

    def input_pixels(self, width: int) -> int:
        """Return the most pixels of a frame of this width that one strip is computed from, without overlaps."""
        columns = math.ceil(width / self._square)
        return self._rows(columns) * self._square * width

    def _rows(self, width: int) -> int:
        """Return the most rows of features that a strip keeps."""
        return max(_MIN_ROWS, _PIXELS // (width * self._scale**2))
