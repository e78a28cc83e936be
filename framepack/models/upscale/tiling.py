"""Split frames into overlapping tiles, with enough overlap that no seams are visible."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from framepack.models.networks.network import COMPACT, ESRGAN

if TYPE_CHECKING:
    from framepack.models.networks.network import UpscalingNetwork

# The overlap of a short stack of convolutions is its whole receptive field, so that tiles equal the whole frame
# exactly. In a deep stack, the part of the receptive field that matters grows only with the square root of the depth.
# With this factor (56 pixels for the 23 blocks of x4plus, 32 for 6 blocks), tile edges had a PSNR of 50 dB or more
# against the whole frame. With the usual 10 pixels it was 39 dB.
_EXACT_RADIUS: Final = 36
_OVERLAP_FACTOR: Final = 3.0
_DEFAULT_OVERLAP: Final = 48  # for networks that are not stacks of convolutions
_RGB: Final = 3  # channels of a frame
_CONVOLUTIONAL: Final = frozenset({ESRGAN, COMPACT})


@dataclass(frozen=True, slots=True)
class Span:
    """A tile in one dimension: input from ``start`` to ``stop``, of which ``kept_start`` to ``kept_stop`` is kept."""

    start: int
    stop: int
    kept_start: int
    kept_stop: int

    def input(self) -> slice:
        """Return the network's input, in coordinates of the frame."""
        return slice(self.start, self.stop)

    def kept(self, scale: int) -> slice:
        """Return the kept part, in coordinates of the upscaled frame."""
        return slice(self.kept_start * scale, self.kept_stop * scale)

    def kept_in_tile(self, scale: int) -> slice:
        """Return the kept part, in coordinates of the upscaled tile."""
        return slice((self.kept_start - self.start) * scale, (self.kept_stop - self.start) * scale)


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile of a frame; the methods return (rows, columns)."""

    rows: Span
    columns: Span

    def input(self) -> tuple[slice, slice]:
        """Return the network's input, in coordinates of the frame."""
        return self.rows.input(), self.columns.input()

    def kept(self, scale: int) -> tuple[slice, slice]:
        """Return the kept part, in coordinates of the upscaled frame."""
        return self.rows.kept(scale), self.columns.kept(scale)

    def kept_in_tile(self, scale: int) -> tuple[slice, slice]:
        """Return the kept part, in coordinates of the upscaled tile."""
        return self.rows.kept_in_tile(scale), self.columns.kept_in_tile(scale)


def plan_tiles(width: int, height: int, tile: int, overlap: int, multiple: int = 1) -> list[Tile]:
    """Cover a frame with tiles of one size, row by row.

    The kept parts cover every pixel exactly once. All tiles are inside the frame. Where two tiles meet, the input of
    each extends at least ``overlap`` pixels beyond its kept part. Tiles are as small as their number allows.

    Args:
        width: Width of the frame, a multiple of ``multiple``.
        height: Height of the frame, likewise.
        tile: Maximum width and height of the kept part of a tile; 0: a single tile.
        overlap: Minimum number of input pixels beyond a kept part.
        multiple: Positions and sizes of tiles are multiples of this.
    """
    columns = _spans(width, tile or width, overlap, multiple)
    rows = _spans(height, tile or height, overlap, multiple)
    return [Tile(row, column) for row in rows for column in columns]


def _spans(length: int, tile: int, overlap: int, multiple: int) -> list[Span]:
    # All tiles have the same size. They are spread evenly from edge to edge, their starts are rounded to the multiple
    # that the network needs, and kept parts meet in the middle of each overlap. Two neighbors share two overlaps (one
    # beyond the cut for each), while the frame's edges need none: `count` tiles of `size` cover the length plus
    # `count - 1` times two overlaps.
    if length <= tile:
        return [Span(0, length, 0, length)]
    count = max(2, math.ceil(length / tile))
    size = _round_up(
        (length + (2 * overlap + multiple) * (count - 1)) / count, multiple
    )  # plus the rounding of the starts
    if size >= length:
        return [Span(0, length, 0, length)]
    last = length - size
    starts = [round(last * index / (count - 1) / multiple) * multiple for index in range(count)]
    cuts = [0, *((left + size + right) // 2 for left, right in pairwise(starts)), length]
    kept = zip(starts, pairwise(cuts), strict=True)  # rounding may leave nothing to keep of a tile
    return [Span(start, start + size, begin, end) for start, (begin, end) in kept if begin < end]


def _round_up(length: float, multiple: int) -> int:
    return math.ceil(length / multiple) * multiple


def tile_overlap(network: UpscalingNetwork) -> int:
    """Return the overlap in pixels that tiles of this network need, derived from its layers."""
    from torch.nn import Conv2d

    if network.architecture not in _CONVOLUTIONAL:
        return _DEFAULT_OVERLAP
    layers = [layer for layer in network.model.modules() if isinstance(layer, Conv2d)]
    radius = sum(max(layer.kernel_size) // 2 for layer in layers)
    overlap = radius if radius <= _EXACT_RADIUS else _OVERLAP_FACTOR * math.sqrt(radius)
    # A network that starts with pixel unshuffle has blocks of pixels as channels, so its overlap counts blocks.
    block = math.isqrt(layers[0].in_channels // _RGB)
    return _round_up(overlap, 4) * block
