"""Networks, frames and counters for the tests of interpolation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from framepack.media.clip import Colors, Frame, HostFrame
from framepack.media.timeline.retiming import Retiming
from framepack.models.frames.device_frame import DeviceFrame
from framepack.models.interpolate.interpolate_frames import interpolate_frames
from framepack.models.interpolate.interpolator import EncodedPair, Interpolator
from framepack.models.interpolate.rife import load_rife
from framepack.models.memory.device import Device
from tests.support.clips import real_clip
from tests.support.rife_reference import random_rife

CPU = Device(torch.device("cpu"))
FLOW_HEADS = slice(0, 16)  # outputs of a block's last layer: four per channel of flow
MASK_HEADS = slice(16, 20)


def interpolator(state: dict[str, Tensor] | None = None, **options: Any) -> Interpolator:
    """An interpolator on the CPU; without weights, one that mixes its neighbors half and half."""
    return Interpolator(load_rife(mixing() if state is None else state), CPU, **options)


def mixing(share: float = 0.5, flow: tuple[float, float, float, float] = (0, 0, 0, 0)) -> dict[str, Tensor]:
    """Weights that move everything by ``flow`` pixels, (x, y) into either frame, and give the first a share."""
    state = random_rife(motion=0)
    bias = state["block4.lastconv.0.bias"]
    bias[MASK_HEADS] = float(np.log(share / (1 - share)))
    bias[FLOW_HEADS] = torch.tensor(flow).repeat_interleave(4)
    return state


def timed() -> dict[str, Tensor]:
    """Weights that move nothing and mix by time: the first frame's share is ``sigmoid(4 * (0.5 - t))`` inside."""
    state = {key: torch.zeros_like(value) for key, value in random_rife().items()}
    state["block4.conv0.0.0.weight"][0, 14, 1, 1] = 1  # the channel of the time
    state["block4.conv0.1.0.weight"][0, 0, 1, 1] = 1
    state["block4.lastconv.0.weight"][0, MASK_HEADS] = -1  # four of whose sixteen meet in a pixel
    state["block4.lastconv.0.bias"][MASK_HEADS] = 2
    return state


def noise(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Soft random frames, (count, 3, height, width), 0..1."""
    random = torch.Generator().manual_seed(seed)
    small = torch.rand(count, 3, height // 4 + 2, width // 4 + 2, generator=random)
    return torch.nn.functional.interpolate(small, (height, width), mode="bicubic").clamp_(0, 1)


def device_frames(frames: Tensor) -> list[Frame]:
    """Frames as frames on the device."""
    return [DeviceFrame(frame, Colors()) for frame in frames]


def host_frame(luma: NDArray[np.uint8], blue: int = 128, red: int = 128) -> HostFrame:
    """A frame of this luma, (height, width), and one chroma."""
    height, width = luma.shape
    chroma = [np.full((height // 2, width // 2), value, np.uint8) for value in (blue, red)]
    stacked = np.concatenate([luma.ravel(), *(plane.ravel() for plane in chroma)]).reshape(-1, width)
    return HostFrame(av.VideoFrame.from_ndarray(np.ascontiguousarray(stacked), "yuv420p"))


def texture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Luma with something to see, 40 to 200."""
    gray = noise(1, height, width, seed)[0, 0].numpy()
    return (40 + 160 * gray).round().astype(np.uint8)


def luma_of(frame: Frame) -> NDArray[np.uint8]:
    """A frame's luma, (height, width)."""
    plane = frame.on_host().planes[0]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width]


def between(model: Interpolator, first: Tensor, second: Tensor, *times: float) -> Tensor:
    """Draw between two frames, (3, height, width) each."""
    before, after = (model.encode(frame, Colors()) for frame in device_frames(torch.stack((first, second))))
    return model.interpolate([EncodedPair(before, after, time) for time in times])


def psnr(one: Tensor, other: Tensor) -> float:
    """Closeness of frames in 0..1, in dB; 200 for equal ones."""
    return float(-10 * torch.log10((one.double() - other.double()).square().mean() + 1e-20))


def real_frames(clip: str, first: int, count: int) -> list[Frame]:
    """Successive frames of a real clip, a quarter as large."""
    with av.open(str(real_clip(clip))) as container:
        frames: list[Frame] = []
        for number, frame in enumerate(container.decode(video=0)):
            if number >= first + count:
                break
            if number >= first:
                frames.append(HostFrame(frame.reformat(frame.width // 4, frame.height // 4, interpolation="AREA")))
    return frames


class Calls:
    """Counts what an interpolator's network is asked for."""

    def __init__(self, interpolator: Interpolator) -> None:
        self.batches: list[int] = []
        self.looks = 0
        network = interpolator._network
        network.register_forward_hook(self._drawn)
        network.encode.register_forward_hook(self._looked)

    @property
    def drawn(self) -> int:
        """How many frames it has drawn."""
        return sum(self.batches)

    def _drawn(self, _network: object, given: tuple[Tensor, ...], _made: object) -> None:
        self.batches.append(len(given[0]))

    def _looked(self, _encoder: object, given: tuple[Tensor, ...], _made: object) -> None:
        self.looks += len(given[0])


def run(
    frames: Iterator[Frame] | list[Frame],
    model: Interpolator,
    factor: int = 2,
    speed: float = 1.0,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Frame]:
    """Interpolate frames with everything usual."""
    return interpolate_frames(frames, model, Retiming.of(factor, speed), colors=Colors(), check=check)
