"""Cut a frame into overlapping tiles, so that a network sees enough around each and no seam shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

# A short stack of convolutions is given all that it can see. What a deep one makes use of grows with the square root
# of its depth. With this factor (56 pixels for the 23 blocks of x4plus, 32 for 6 blocks) tiles were measured at least
# 50 dB close to the whole frame along their edges; 10 pixels, as is usual, gave 39 dB.
_EXACT: Final = 36
_PER_ROOT: Final = 3.0
_UNKNOWN: Final = 48
_CONVOLUTIONAL: Final = frozenset({"ESRGAN", "Compact"})


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a row or a column: the network sees ``start`` to ``stop``; ``kept_start`` to ``kept_stop`` are used."""

    start: int
    stop: int
    kept_start: int
    kept_stop: int

    def seen(self) -> slice:
        """What the network sees, in the frame."""
        return slice(self.start, self.stop)

    def kept(self, scale: int) -> slice:
        """What is used, in the frame made ``scale`` times larger."""
        return slice(self.kept_start * scale, self.kept_stop * scale)

    def kept_inside(self, scale: int) -> slice:
        """What is used, in the tile made ``scale`` times larger."""
        return slice((self.kept_start - self.start) * scale, (self.kept_stop - self.start) * scale)


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of a frame; the methods return its (rows, columns)."""

    rows: Span
    columns: Span

    def seen(self) -> tuple[slice, slice]:
        """What the network sees, in the frame."""
        return self.rows.seen(), self.columns.seen()

    def kept(self, scale: int) -> tuple[slice, slice]:
        """What is used, in the frame made ``scale`` times larger."""
        return self.rows.kept(scale), self.columns.kept(scale)

    def kept_inside(self, scale: int) -> tuple[slice, slice]:
        """What is used, in the tile made ``scale`` times larger."""
        return self.rows.kept_inside(scale), self.columns.kept_inside(scale)


def plan(width: int, height: int, tile: int, overlap: int, multiple: int = 1) -> list[Tile]:
    """Cover a frame with tiles of one size, row by row.

    The kept parts cover every pixel exactly once. All tiles lie inside the frame; wherever one is cut, at least
    ``overlap`` pixels beyond the kept part are seen. Tiles are no larger than the frame makes necessary.

    Args:
        width: columns of the frame, a multiple of ``multiple``.
        height: rows of the frame, likewise.
        tile: most columns and rows that a tile is worth in the end, without its overlap; 0 means one single tile.
        overlap: least number of pixels seen beyond a cut.
        multiple: tiles begin at multiples of this and have a multiple as size.
    """
    columns = _spans(width, tile or width, overlap, multiple)
    rows = _spans(height, tile or height, overlap, multiple)
    return [Tile(row, column) for row in rows for column in columns]


def _spans(length: int, tile: int, overlap: int, multiple: int) -> list[Span]:
    if length <= tile:
        return [Span(0, length, 0, length)]
    # Neighbors share two overlaps, so the first and the last tile are worth one overlap more than those between.
    count = max(2, math.ceil(length / tile))
    size = _up((length + (2 * overlap + multiple) * (count - 1)) / count, multiple)  # one for rounding the starts
    if size >= length:
        return [Span(0, length, 0, length)]
    last = length - size
    starts = [round(last * index / (count - 1) / multiple) * multiple for index in range(count)]
    cuts = [0, *((left + size + right) // 2 for left, right in pairwise(starts)), length]
    kept = zip(starts, pairwise(cuts), strict=True)  # rounding may leave a tile nothing to keep
    return [Span(start, start + size, begin, end) for start, (begin, end) in kept if begin < end]


def _up(length: float, multiple: int) -> int:
    return math.ceil(length / multiple) * multiple


def overlap_of(network: ImageModelDescriptor[Any]) -> int:
    """Pixels that a tile of this network must see beyond its kept part, derived from the network's layers."""
    from torch.nn import Conv2d

    if network.architecture.id not in _CONVOLUTIONAL:
        return _UNKNOWN
    layers = [layer for layer in network.model.modules() if isinstance(layer, Conv2d)]
    radius = sum(max(layer.kernel_size) // 2 for layer in layers)
    seen = radius if radius <= _EXACT else _PER_ROOT * math.sqrt(radius)
    # A network that begins by turning blocks of pixels into channels sees that much farther.
    block = math.isqrt(layers[0].in_channels // network.input_channels)
    return _up(seen, 4) * block
