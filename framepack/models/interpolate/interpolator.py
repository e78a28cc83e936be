"""Run RIFE: choose the precision, pad frames to the sizes it accepts, and keep batches within memory.

On a GPU its convolutions run in half precision: with random weights the result was within 63 dB or more of single
precision for motion of up to 60 pixels. On a CPU everything is in single precision: bfloat16 was a third faster, but
15 dB worse.

There RIFE would also wait for the CPU: 245 small kernels for a frame of 1280x720 take it longer to launch than the
GPU computes. So they are recorded as CUDA graphs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor
from torch.nn import functional

from framepack.errors import TooLarge
from framepack.models.frames.device_frame import DeviceFrame, UploadedPlanes, to_device
from framepack.models.frames.yuv import rgb_from_yuv
from framepack.models.graphs import Graphs
from framepack.models.interpolate.rife import FRAME_ELEMENTS, MOTION_ELEMENTS, SIZE_MULTIPLE, warp_and_blend
from framepack.models.memory.device import MAX_CUDA_ELEMENTS
from framepack.models.memory.oom import first_that_fits, retry_after_oom

if TYPE_CHECKING:
    from framepack.media.clip import Colors, Frame
    from framepack.models.interpolate.rife import Rife
    from framepack.models.memory.device import Device

log = logging.getLogger("framepack.models")

_BATCH_PIXELS: Final = {"cuda": 1 << 20, "cpu": 1 << 14}  # larger batches are not faster
_MAX_BATCH: Final = 16
_SHARE_OF_FREE: Final = 0.5
_BYTES_PER_PIXEL: Final = 450  # of the padded frame; measured in single precision
_MAX_GRAPH_PIXELS: Final = 1 << 21  # of a batch; with more, the GPU computes for longer than the CPU launches
_ROOM_FOR_GRAPH: Final = (
    4  # how many times what a batch takes must be free before a graph is recorded, which keeps it
)
_TOO_SMALL: Final = "The worker's memory is too small to interpolate frames of this size: use a smaller video."


@dataclass(frozen=True, slots=True, eq=False)
class EncodedFrame:
    """A frame with RIFE's features, computed once for all pairs that it is part of.

    Attributes:
        tensor: RGB and features, shape (1, 7, H, W), float32; both sides are multiples of ``SIZE_MULTIPLE``.
        width: Width of the frame without padding, which is at the right.
        height: Height of the frame without padding, which is at the bottom.
    """

    tensor: Tensor
    width: int
    height: int


@dataclass(frozen=True, slots=True, eq=False)
class EncodedPair:
    """Two frames of one size, and the time of the frame to generate: 0 is the first, 1 the second."""

    first: EncodedFrame
    second: EncodedFrame
    timestep: float


class Interpolator:
    """RIFE on its device. Thread-safe.

    Attributes:
        device: Where it runs.
        graphs: Its CUDA graphs, if it runs on a GPU.

    Args:
        network: In single precision on the CPU; converted and moved in place.
        device: Where to run; idle models there are evicted when memory runs out.
        use_fast_path: Whether a GPU may use CUDA graphs, where they prove themselves.
    """

    def __init__(self, network: Rife, device: Device, *, use_fast_path: bool = True) -> None:
        self.device = device
        if device.is_cuda:
            network.half().to(memory_format=torch.channels_last)
        self._network = network.to(device.torch_device).eval()
        self.graphs = Graphs(self._has_room_for_graph) if device.is_cuda and use_fast_path else None
        self._fallback_level = 0  # index of the way to compute that fitted into memory last

    def batch_size(self, width: int, height: int) -> int:
        """Return the best number of frames of this size to generate at a time."""
        if self._fallback_level:
            return 1
        pixels = _padded(width) * _padded(height)
        wanted = max(_BATCH_PIXELS[self.device.torch_device.type], pixels)
        bytes_per_pixel = _BYTES_PER_PIXEL / _SHARE_OF_FREE
        fitting = int(self.device.evict_until(int(wanted * bytes_per_pixel)) / bytes_per_pixel)
        return min(max(min(wanted, fitting) // pixels, 1), _MAX_BATCH)

    def encode(self, frame: Frame, colors: Colors) -> EncodedFrame:
        """Upload a frame and compute its features.

        Args:
            frame: In host or device memory; RGB values outside of 0..1 are kept.
            colors: Color space of its YUV samples if it is in host memory.

        Raises:
            OutOfMemory: It does not fit into memory.
            TooLarge: It has too many pixels for a GPU.
        """
        self._check_size(frame)
        tensor = retry_after_oom(lambda: self._uploaded(frame, colors), self._free_memory, _TOO_SMALL)
        return EncodedFrame(tensor, frame.width, frame.height)

    def interpolate(self, pairs: Sequence[EncodedPair]) -> Tensor:
        """Generate a frame for each pair.

        If memory runs out, frames are computed one by one, then with the motion estimated at half the size. So are
        frames for which a tensor on a GPU would have 2^31 elements or more.

        Args:
            pairs: At least one; all of one size.

        Returns:
            RGB, shape (N, 3, H, W), float32, on the network's device.

        Raises:
            OutOfMemory: Not even one frame at half the size fits.
        """
        ways = (
            lambda: self._interpolate(pairs),
            lambda: torch.cat([self._interpolate([pair]) for pair in pairs]),
            lambda: torch.cat([self._interpolate_at_half_size(pair) for pair in pairs]),
        )
        start = self._fallback_level
        if self._is_over(MOTION_ELEMENTS * _pixels(pairs[0].first.tensor)):
            start = len(ways) - 1
        frames, level = first_that_fits(ways, self._free_memory, _TOO_SMALL, start=start)
        if level == len(ways) - 1 and level != self._fallback_level:
            size = pairs[0].first.width, pairs[0].first.height
            log.warning("The motion between frames of %d x %d pixels is estimated at half the size.", *size)
        self._fallback_level = level
        return frames

    def forget(self) -> None:
        """Forget what did not fit into memory: it may fit now."""
        self._fallback_level = 0
        if self.graphs is not None:
            self.graphs.resume()

    @torch.inference_mode()
    def _uploaded(self, frame: Frame, colors: Colors) -> Tensor:
        """Return a frame with its features on the device, padded: (1, 7, H, W)."""
        place, size = self.device.torch_device, f"{frame.width}x{frame.height}"
        if isinstance(frame, DeviceFrame):
            rgb = to_device([frame], place, torch.float32, colors, clip=False)
            return self._run(f"Features of {size} on the GPU", self._encoded, (rgb,))
        planes = UploadedPlanes.of([frame], place)
        constants = planes.depth, planes.halved, colors
        encoded = partial(self._encoded_planes, *constants)
        return self._run(f"Features of {size}", encoded, (planes.y, planes.uv), constants)

    def _encoded_planes(self, depth: int, halved: tuple[bool, bool], colors: Colors, y: Tensor, uv: Tensor) -> Tensor:
        rgb = rgb_from_yuv(y, uv, depth, halved, colors, clip=False)
        return self._encoded(rgb.contiguous(memory_format=torch.channels_last))

    @torch.inference_mode()
    def _encoded(self, rgb: Tensor) -> Tensor:
        height, width = rgb.shape[-2:]
        padding = (0, -width % SIZE_MULTIPLE, 0, -height % SIZE_MULTIPLE)
        return self._network.with_features(functional.pad(rgb, padding, "replicate"))

    @torch.inference_mode()
    def _interpolate(self, pairs: Sequence[EncodedPair]) -> Tensor:
        first, second = _batch([pair.first for pair in pairs]), _batch([pair.second for pair in pairs])
        width, height = pairs[0].first.width, pairs[0].first.height
        name = f"Interpolation of {width}x{height}, {len(pairs)} at once"
        frames = self._run(name, self._network, (first, second, self._timesteps(pairs)))
        return frames[..., :height, :width]

    @torch.inference_mode()
    def _interpolate_at_half_size(self, pair: EncodedPair) -> Tensor:
        """Estimate the motion at half the size, as RIFE's authors recommend for 4K, but warp at full size."""
        first, second = (each.tensor[:, :3, : each.height, : each.width] for each in (pair.first, pair.second))
        flow, mask = self._network.motion(
            self._encoded(_halved(first)), self._encoded(_halved(second)), self._timesteps([pair])
        )
        height, width = first.shape[-2:]
        half = torch.cat((2 * flow, mask), 1)[..., : height // 2, : width // 2]
        full = functional.interpolate(half, (height, width), mode="bilinear")
        return warp_and_blend(first, second, full[:, :-1], full[:, -1:])

    def _run(
        self, name: str, function: Callable[..., Tensor], inputs: Sequence[Tensor], constants: Hashable = ()
    ) -> Tensor:
        """Return ``function(*inputs)``, on a GPU by a CUDA graph where that is faster; see ``Graphs``."""
        if self.graphs is None or _pixels(inputs[0]) > _MAX_GRAPH_PIXELS:
            return function(*inputs)
        return self.graphs.run(name, function, inputs, constants)

    def _is_over(self, elements: int) -> bool:
        """Whether a tensor would be too large for a GPU, if this is one."""
        return self.device.is_cuda and elements > MAX_CUDA_ELEMENTS

    def _check_size(self, frame: Frame) -> None:
        if self._is_over(FRAME_ELEMENTS * _padded(frame.width) * _padded(frame.height)):
            most = MAX_CUDA_ELEMENTS // FRAME_ELEMENTS // 1_000_000
            raise TooLarge(
                f"Frames of {frame.width} x {frame.height} pixels cannot be interpolated: at most {most} million "
                "pixels can."
            )

    def _has_room_for_graph(self, inputs: Sequence[Tensor]) -> bool:
        return self.device.free_bytes() > _ROOM_FOR_GRAPH * _BYTES_PER_PIXEL * _pixels(inputs[0])

    def _free_memory(self) -> bool:
        """After memory ran out, free what can be freed; see ``Device.free_memory``."""
        if self.graphs is not None:
            self.graphs.pause()
        return self.device.free_memory()

    def _timesteps(self, pairs: Sequence[EncodedPair]) -> Tensor:
        """Return the times, (N, 1, 1, 1), filled in on the device: a copy from the host would wait for the GPU."""
        times = torch.empty((len(pairs), 1, 1, 1), device=self.device.torch_device)
        for time, pair in zip(times, pairs, strict=True):
            time.fill_(pair.timestep)
        return times


def _batch(frames: list[EncodedFrame]) -> Tensor:
    return frames[0].tensor if len(frames) == 1 else torch.cat([frame.tensor for frame in frames])


def _padded(side: int) -> int:
    """A width or height with padding."""
    return side + -side % SIZE_MULTIPLE


def _pixels(frames: Tensor) -> int:
    """The number of pixels of all frames (N, C, H, W) or (N, H, W)."""
    return len(frames) * frames.shape[-2] * frames.shape[-1]


def _halved(rgb: Tensor) -> Tensor:
    return functional.interpolate(rgb, scale_factor=0.5, mode="area")
