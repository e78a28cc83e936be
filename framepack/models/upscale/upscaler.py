"""Run an upscaling network in the right precision, and in batches and tiles that fit into memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from framepack.models.memory.device import MAX_CUDA_ELEMENTS
from framepack.models.memory.oom import MIN_TILE, BatchPlan, OomFallback, WorkShape
from framepack.models.networks.network import ESRGAN
from framepack.models.upscale.fused import fuse_if_faster
from framepack.models.upscale.memory import MemoryEstimate, measure_elements_per_pixel
from framepack.models.upscale.precision import prepare
from framepack.models.upscale.side_by_side import COUNT, can_halve_threads, side_by_side
from framepack.models.upscale.tiling import plan_tiles, tile_overlap

if TYPE_CHECKING:
    from framepack.models.memory.device import Device
    from framepack.models.networks.network import UpscalingNetwork

T = TypeVar("T")

_SHARE_OF_FREE: Final = {"cuda": 0.8, "cpu": 0.5}
_SIDE_BY_SIDE_PIXELS: Final = 1 << 16  # of two frames on a CPU; larger ones keep all threads busy one by one
_CUDA_BATCH_PIXELS: Final = 1 << 20  # enough to keep a GPU busy
# The blocks of ESRGAN keep 192 channels: with more pixels, one block does not fit into a GPU's cache of 50 to 72 MB.
_CUDA_BATCH_PIXELS_OF: Final = {ESRGAN: 1 << 17}
_MAX_BATCH: Final = {"cuda": 16, "cpu": COUNT}
_TILE_STEP: Final = 32


def _nothing() -> None:
    """Do nothing: the default for callbacks."""


class Upscaler:
    """An upscaling network on its device. Thread-safe.

    Attributes:
        scale: Factor by which it enlarges width and height.
        device: Where it runs.
        dtype: Precision of its input.
        memory: Estimates the memory that a frame needs.
        overlap: Number of pixels by which the input of a tile exceeds the part that is kept, on each side.

    Args:
        network: In single precision on the CPU; converted and moved in place.
        device: Where to run; idle models there are evicted when memory runs out.
        use_fast_path: Whether a GPU may use kernels of our own, if they prove themselves.
    """

    def __init__(self, network: UpscalingNetwork, device: Device, *, use_fast_path: bool = True) -> None:
        self.scale = network.scale
        self.device = device
        self.overlap = tile_overlap(network)
        self.dtype = prepare(network, device)
        if device.is_cuda and use_fast_path:
            fuse_if_faster(network, self.dtype)
        self._network = network
        self._multiple = network.size_multiple
        self._minimum = network.minimum_size
        self.memory = MemoryEstimate.measure(network, self.dtype)
        self._runs_side_by_side = not device.is_cuda and can_halve_threads()
        self._batch_pixels = _SIDE_BY_SIDE_PIXELS if self._runs_side_by_side else 0
        self._max_pixels: int | None = None  # of one call of the network
        if device.is_cuda:
            self._batch_pixels = _CUDA_BATCH_PIXELS_OF.get(network.architecture, _CUDA_BATCH_PIXELS)
            self._max_pixels = MAX_CUDA_ELEMENTS // measure_elements_per_pixel(network, self.dtype)
        self._fallback = OomFallback(device)

    def __call__(self, batch: Tensor, *, tile_size: int = 0, check: Callable[[], None] = _nothing) -> Tensor:
        """Upscale frames of one size by the network's scale.

        Args:
            batch: RGB, shape (N, 3, H, W), any float dtype, range 0..1, on any device.
            tile_size: Maximum width and height of a tile without overlap (smaller if memory is short); 0: as large as
                memory allows.
            check: Called between tiles; may raise an error to stop.

        Returns:
            RGB, shape (N, 3, H * scale, W * scale), float, range 0..1, on the network's device.

        Raises:
            OutOfMemory: Even the smallest tiles do not fit.
        """
        height, width = batch.shape[-2:]

        def work(batch_slice: slice, tile: int) -> list[Tensor]:
            return [self.run(batch[batch_slice], tile, check)]

        parts = self.run_with_fallback(work, len(batch), WorkShape(width, height, tile_size))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def run_with_fallback(self, work: Callable[[slice, int], list[T]], count: int, shape: WorkShape) -> list[T]:
        """Do work on ``count`` frames in batches and tiles that fit into memory; see ``OomFallback.run``.

        Raises:
            OutOfMemory: Even the smallest tiles do not fit.
        """
        return self._fallback.run(work, count, shape, self._plan(shape))

    def batch_size(self, shape: WorkShape) -> int:
        """Return the best number of such frames per batch."""
        return self._plan(shape).frames

    def forget(self) -> None:
        """Forget what did not fit into memory: it may fit now."""
        self._fallback.forget()

    @torch.inference_mode()
    def run(self, batch: Tensor, tile: int, check: Callable[[], None]) -> Tensor:
        """Upscale like ``__call__``, all frames together and in tiles of exactly this size (0: whole frames).

        Does not handle running out of memory.
        """
        check()
        height, width = batch.shape[-2:]
        batch = _padded(batch.to(self.device.torch_device, self.dtype), self._multiple, self._minimum)
        tiles = plan_tiles(batch.shape[-1], batch.shape[-2], tile, self.overlap, self._multiple)
        if len(tiles) == 1:
            output = self._upscale(batch)
        else:
            output = torch.empty(0)  # allocated with the first tile, which tells dtype and channels
            for index, each in enumerate(tiles):
                check()
                upscaled = self._upscale(batch[..., *each.input()])
                if not index:
                    size = (side * self.scale for side in batch.shape[-2:])
                    output = upscaled.new_empty((*upscaled.shape[:2], *size))
                output[..., *each.kept(self.scale)] = upscaled[..., *each.kept_in_tile(self.scale)]
        return output[..., : height * self.scale, : width * self.scale]

    def _upscale(self, frames: Tensor) -> Tensor:
        frames = frames.contiguous(memory_format=torch.channels_last)
        if len(frames) == COUNT and self._runs_side_by_side:
            return side_by_side(self._network, frames)
        return self._network(frames)

    def _plan(self, shape: WorkShape) -> BatchPlan:
        return self._fallback.known(shape) or self._initial_plan(shape)

    def _initial_plan(self, shape: WorkShape) -> BatchPlan:
        """Choose tiles and batches by the requested tile size, the device, its free memory, and the largest tensor.

        Idle models are evicted before a frame is split into smaller tiles than requested.
        """
        device_type, tile = self.device.torch_device.type, shape.tile_size
        wanted, share = self._input_pixels(shape, tile), _SHARE_OF_FREE[device_type]
        free = share * self.device.evict_until(math.ceil(self.memory.bytes_of(wanted, shape.width) / share))
        pixels = self.memory.pixels_in(free, shape.width)
        if self._max_pixels is not None:
            pixels = min(pixels, self._max_pixels)
        if wanted > pixels:
            side = math.isqrt(pixels) - 2 * (self.overlap + self._multiple)  # starts are rounded to the multiple
            fitting = max(MIN_TILE, side // _TILE_STEP * _TILE_STEP)
            tile = min(tile or fitting, fitting)
        used = self._input_pixels(shape, tile)
        fitting_frames = int(free / self.memory.bytes_of(used, shape.width))
        frames = min(fitting_frames, min(pixels, self._batch_pixels) // used, _MAX_BATCH[device_type])
        return BatchPlan(max(frames, 1), tile)

    def _input_pixels(self, shape: WorkShape, tile: int) -> int:
        """Return the number of input pixels of one tile with its overlap, at most those of the frame."""
        side = tile + 2 * (self.overlap + self._multiple) if tile else max(shape.width, shape.height) + self._multiple
        width, height = (length + -length % self._multiple for length in (shape.width, shape.height))
        return min(side, width) * min(side, height)


def _padded(batch: Tensor, multiple: int, minimum: int) -> Tensor:
    """Pad right and bottom by mirroring, or by repeating the edge where a frame is too small to mirror.

    Args:
        batch: The frames.
        multiple: Width and height of the result are multiples of this.
        minimum: Minimum width and height of the result, itself such a multiple.
    """
    height, width = batch.shape[-2:]
    right, below = max(-width % multiple, minimum - width), max(-height % multiple, minimum - height)
    if not right and not below:
        return batch
    mirrored = min(right, width - 1), min(below, height - 1)
    batch = functional.pad(batch, (0, mirrored[0], 0, mirrored[1]), "reflect")
    return functional.pad(batch, (0, right - mirrored[0], 0, below - mirrored[1]), "replicate")
