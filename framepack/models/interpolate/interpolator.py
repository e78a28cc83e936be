"""RIFE at work: in the right precision, padded to the sizes it takes, in batches that fit into memory.

On a GPU its convolutions run in half precision: with random weights that was 63 dB and more from single precision
for motion up to 60 pixels. On a CPU everything is in single precision: bfloat16 was a third faster but 15 dB farther.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor
from torch.nn import functional

from framepack.errors import OutOfMemory
from framepack.models.frames.device_frame import to_device
from framepack.models.interpolate.rife import MULTIPLE, blend
from framepack.models.memory.oom import attempt, retry_after_oom

if TYPE_CHECKING:
    from framepack.media.clip import Colors, Frame
    from framepack.models.interpolate.rife import Rife
    from framepack.models.memory.device import Device

log = logging.getLogger("framepack.models")

_BATCH_PIXELS: Final = {"cuda": 1 << 20, "cpu": 1 << 14}  # a device is busy with these; more at once is no faster
_MOST_AT_ONCE: Final = 16
_SHARE_OF_FREE: Final = 0.5
_BYTES_PER_PIXEL: Final = 450  # of the padded frame; measured in single precision
_TOO_SMALL: Final = "The worker's memory is too small to interpolate frames of this size: use a smaller video."


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A frame as the network sees it: (1, 7, H, W), colors and features, both sides multiples of ``MULTIPLE``.

    ``width`` and ``height`` are those of the frame itself, which lies in the upper left corner.
    """

    tensor: Tensor
    width: int
    height: int


@dataclass(frozen=True, slots=True, eq=False)
class FlowTime:
    """A moment between two frames of one size; ``time`` is 0 at the first and 1 at the second."""

    first: Seen
    second: Seen
    time: float


class Interpolator:
    """The network on its device; several threads may use it.

    Attributes:
        device: where it is.

    Args:
        network: in single precision on the CPU; taken over.
        device: where to run; idle models leave it when memory runs out.
    """

    def __init__(self, network: Rife, device: Device) -> None:
        self.device = device
        if device.is_cuda:
            network.half().to(memory_format=torch.channels_last)
        self._network = network.to(device.place).eval()
        self._way = 0  # the first way to work that fits into memory

    def at_once(self, width: int, height: int) -> int:
        """How many moments between frames of this size are best drawn together."""
        if self._way:
            return 1
        pixels = (width + -width % MULTIPLE) * (height + -height % MULTIPLE)
        wanted = max(_BATCH_PIXELS[self.device.place.type], pixels)
        bytes_per_pixel = _BYTES_PER_PIXEL / _SHARE_OF_FREE
        room = int(self.device.evict_until(int(wanted * bytes_per_pixel)) / bytes_per_pixel)
        return min(max(min(wanted, room) // pixels, 1), _MOST_AT_ONCE)

    def look(self, frame: Frame, colors: Colors) -> Seen:
        """Prepare a frame for all moments it takes part in.

        Args:
            frame: on the host or on a device; colors beyond RGB's range are kept.
            colors: what its YUV samples mean if it is on the host.

        Raises:
            OutOfMemory: it does not fit into memory.
        """
        tensor = retry_after_oom(
            lambda: self._seen(self._uploaded(frame, colors)), self.device.free_memory, _TOO_SMALL
        )
        return Seen(tensor, frame.width, frame.height)

    def between(self, moments: Sequence[FlowTime]) -> Tensor:
        """Draw frames.

        Args:
            moments: at least one, all between frames of one size.

        Returns:
            RGB, shape (N, 3, H, W), float32, on the network's device.

        Raises:
            OutOfMemory: not even one frame fits, with its motion looked for at half the size.
        """
        ways = (
            lambda: self._draw(moments),
            lambda: torch.cat([self._draw([moment]) for moment in moments]),
            lambda: torch.cat([self._draw_coarsely(moment) for moment in moments]),
        )
        for number in range(self._way, len(ways)):
            made = self._attempt(ways[number])
            if made is not None:
                self._way = number
                return made
        raise OutOfMemory(_TOO_SMALL)

    def forget(self) -> None:
        """Start over: what did not fit into memory may fit by now."""
        self._way = 0

    def _attempt(self, way: Callable[[], Tensor]) -> Tensor | None:
        """Return None if memory runs out, also after others have freed what they can."""
        for _ in range(2):
            result = attempt(way)
            if result is not None:
                return result
            self.device.free_memory()
        return None

    def _uploaded(self, frame: Frame, colors: Colors) -> Tensor:
        return to_device([frame], self.device.place, torch.float32, colors, clip=False)

    @torch.inference_mode()
    def _seen(self, frame: Tensor) -> Tensor:
        height, width = frame.shape[-2:]
        padding = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
        return self._network.seen(functional.pad(frame, padding, "replicate"))

    @torch.inference_mode()
    def _draw(self, moments: Sequence[FlowTime]) -> Tensor:
        first, second = _batch([each.first for each in moments]), _batch([each.second for each in moments])
        made: Tensor = self._network(first, second, self._times(moments))
        return made[..., : moments[0].first.height, : moments[0].first.width]

    @torch.inference_mode()
    def _draw_coarsely(self, moment: FlowTime) -> Tensor:
        """Look for motion at half the size, which the network is meant for with frames of 4K and more."""
        log.warning("memory is short: motion is looked for at half the size")
        first, second = (each.tensor[:, :3, : each.height, : each.width] for each in (moment.first, moment.second))
        flow, share = self._network.motion(
            self._seen(_halved(first)), self._seen(_halved(second)), self._times([moment])
        )
        height, width = first.shape[-2:]
        half = torch.cat((2 * flow, share), 1)[..., : height // 2, : width // 2]
        whole = functional.interpolate(half, (height, width), mode="bilinear")
        return blend(first, second, whole[:, :-1], whole[:, -1:])

    def _times(self, moments: Sequence[FlowTime]) -> Tensor:
        return torch.tensor([each.time for each in moments], device=self.device.place).view(-1, 1, 1, 1)


def _batch(frames: list[Seen]) -> Tensor:
    return frames[0].tensor if len(frames) == 1 else torch.cat([frame.tensor for frame in frames])


def _halved(frame: Tensor) -> Tensor:
    return functional.interpolate(frame, scale_factor=0.5, mode="area")
