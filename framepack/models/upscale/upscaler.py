"""An upscaling network at work: in the right precision, and in batches and tiles that fit into memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import torch
from torch import Tensor
from torch.nn import functional

from framepack.models.memory.oom import SMALLEST_TILE, BatchPlan, OomFallback, WorkShape
from framepack.models.upscale.footprint import bytes_per_pixel
from framepack.models.upscale.precision import prepare
from framepack.models.upscale.tiling import overlap_of, plan

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

    from framepack.models.memory.device import Device

T = TypeVar("T")

_SHARE_OF_FREE: Final = {"cuda": 0.8, "cpu": 0.5}
_BATCH_PIXELS: Final = {"cuda": 1 << 20, "cpu": 0}  # enough to keep it busy; a CPU is busy with a single frame
_MOST_FRAMES: Final = 16
_TILE_STEP: Final = 32


def _nothing() -> None:
    """Stand in for a callback that nobody needs."""


class Upscaler:
    """A network on its device; several threads may use it.

    Attributes:
        scale: how many times more columns and rows it makes.
        device: where it is.
        dtype: precision of the frames that it takes.
        overlap: pixels that its tiles see beyond what is kept of them.

    Args:
        network: in single precision on the CPU; taken over and rebuilt for the device.
        device: where to run; idle models leave it when memory runs out.
    """

    def __init__(self, network: ImageModelDescriptor[Any], device: Device) -> None:
        self.scale = int(network.scale)
        self.device = device
        self.overlap = overlap_of(network)
        self.dtype = prepare(network, device)
        self._network = network
        self._multiple = int(network.size_requirements.multiple_of)
        self._bytes_per_pixel = bytes_per_pixel(network, self.dtype)
        self._splitter = OomFallback(device)

    def __call__(self, batch: Tensor, *, tile_size: int = 0, check: Callable[[], None] = _nothing) -> Tensor:
        """Upscale frames of one size by the network's scale.

        Args:
            batch: RGB, shape (N, 3, H, W), any float dtype, range 0..1, on any device.
            tile_size: most columns and rows computed at once, beside their overlap (fewer if memory is short); 0: as
                many as fit into memory.
            check: called between pieces of work; what it raises ends the work.

        Returns:
            RGB, shape (N, 3, H * scale, W * scale), float, range 0..1, on the network's device.

        Raises:
            OutOfMemory: not even the smallest tiles fit.
        """
        height, width = batch.shape[-2:]

        def work(part: slice, tile: int) -> list[Tensor]:
            return [self.run(batch[part], tile, check)]

        parts = self.fit(work, len(batch), WorkShape(width, height, tile_size))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def fit(self, work: Callable[[slice, int], list[T]], count: int, case: WorkShape) -> list[T]:
        """Do work on ``count`` frames in the pieces that fit; see ``OomFallback.fit``.

        Raises:
            OutOfMemory: not even the smallest tiles fit.
        """
        return self._splitter.fit(work, count, case, self._rung(case))

    def frames_at_once(self, case: WorkShape) -> int:
        """How many such frames are best worked on together."""
        return self._rung(case).frames

    def forget(self) -> None:
        """Look anew at how much memory is free; what did not fit may fit by now."""
        self._splitter.forget()

    @torch.inference_mode()
    def run(self, batch: Tensor, tile: int, check: Callable[[], None]) -> Tensor:
        """Upscale as ``__call__`` does, all frames together and in tiles of exactly this size (0: whole).

        Memory may run out.
        """
        check()
        height, width = batch.shape[-2:]
        batch = _padded(batch.to(self.device.place, self.dtype), self._multiple)
        tiles = plan(batch.shape[-1], batch.shape[-2], tile, self.overlap, self._multiple)
        if len(tiles) == 1:
            whole = self._upscale(batch)
        else:
            whole = torch.empty(0)
            for index, piece in enumerate(tiles):
                check()
                made = self._upscale(batch[..., *piece.seen()])
                if not index:
                    size = (side * self.scale for side in batch.shape[-2:])
                    whole = made.new_empty((*made.shape[:2], *size))
                whole[..., *piece.kept(self.scale)] = made[..., *piece.kept_inside(self.scale)]
        return whole[..., : height * self.scale, : width * self.scale]

    def _upscale(self, frames: Tensor) -> Tensor:
        return cast("Tensor", self._network(frames.contiguous(memory_format=torch.channels_last)))

    def _rung(self, case: WorkShape) -> BatchPlan:
        return self._splitter.known(case) or self._first_rung(case)

    def _first_rung(self, case: WorkShape) -> BatchPlan:
        """As many pixels at once as were asked for, as the device likes, and as its free memory holds.

        Idle models leave before a frame is cut into smaller pieces than it must.
        """
        kind, tile = self.device.place.type, case.tile_size
        wanted = self._pixels_seen(case, tile)
        bytes_per_pixel = self._bytes_per_pixel / _SHARE_OF_FREE[kind]
        pixels = int(self.device.evict_until(math.ceil(wanted * bytes_per_pixel)) / bytes_per_pixel)
        if wanted > pixels:
            side = math.isqrt(pixels) - 2 * self.overlap
            fitting = max(SMALLEST_TILE, side // _TILE_STEP * _TILE_STEP)
            tile = min(tile or fitting, fitting)
        frames = min(pixels, _BATCH_PIXELS[kind]) // self._pixels_seen(case, tile)
        return BatchPlan(min(max(frames, 1), _MOST_FRAMES), tile)

    def _pixels_seen(self, case: WorkShape, tile: int) -> int:
        """The most that the network sees of one frame at once."""
        side = tile + 2 * self.overlap if tile else max(case.width, case.height)
        return min(side, case.width) * min(side, case.height)


def _padded(batch: Tensor, multiple: int) -> Tensor:
    """Mirror the right and lower edges until both sizes are multiples; beyond a frame's own size, repeat them."""
    height, width = batch.shape[-2:]
    right, below = -width % multiple, -height % multiple
    if not right and not below:
        return batch
    mirrored = min(right, width - 1), min(below, height - 1)
    batch = functional.pad(batch, (0, mirrored[0], 0, mirrored[1]), "reflect")
    return functional.pad(batch, (0, right - mirrored[0], 0, below - mirrored[1]), "replicate")
