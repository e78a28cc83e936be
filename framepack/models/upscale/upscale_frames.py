"""Video through an upscaler: frames in, frames out, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from framepack.media.iteration import closing
from framepack.models.frames.device_frame import DeviceFrame, to_device
from framepack.models.frames.scaling import resize
from framepack.models.memory.oom import WorkShape

if TYPE_CHECKING:
    from framepack.media.clip import Colors, Frame
    from framepack.models.upscale.upscaler import Upscaler

F = TypeVar("F", bound="Frame")


@dataclass(frozen=True, slots=True)
class Target:
    """What upscaling shall result in: the size in pixels, and the meaning of the frames' YUV on the host."""

    width: int
    height: int
    colors: Colors


def target_size(width: int, height: int, scale_factor: float) -> tuple[int, int]:
    """The (width, height) that a frame has at ``scale_factor``: the nearest even numbers, the larger of two."""
    factor = Fraction(str(scale_factor))  # the decimal number that was asked for, not its neighbor in binary
    columns, rows = (max(2, int(side * factor / 2 + Fraction(1, 2)) * 2) for side in (width, height))
    return columns, rows


def upscale_frames(
    frames: Iterator[Frame],
    upscaler: Upscaler,
    target: Target,
    *,
    colors: Colors,
    tile_size: int,
    check: Callable[[], None],
) -> Iterator[DeviceFrame]:
    """Upscale frames to exactly the target's size.

    The network is applied once; the rest of the way, up or down, is resizing. (A 2x network applied twice invents
    detail upon invented detail: it was measured 3 to 4 dB farther from the truth than once and resized, at five times
    the cost.) Successive frames that are one object become one object.

    Args:
        frames: all of one size; closed at the end.
        upscaler: the network.
        target: size and colors of the result.
        colors: what the YUV samples of ``frames`` mean.
        tile_size: see ``Upscaler``.
        check: called between pieces of work; what it raises ends the work.

    Yields:
        Frames on the device, in float16, as many as there are ``frames``.

    Raises:
        OutOfMemory: not even the smallest tiles fit.
    """
    upscaler.forget()
    work = _Work(upscaler, target, colors, tile_size, check)
    runs: list[tuple[Frame, int]] = []
    with closing(frames):
        for run in in_a_row(frames, check):
            runs.append(run)
            if len(runs) >= work.frames_at_once(run[0]):
                yield from _finish(work, runs)
        if runs:
            yield from _finish(work, runs)


def in_a_row(frames: Iterator[F], check: Callable[[], None]) -> Iterator[tuple[F, int]]:
    """Count how often each frame comes in a row as one and the same object."""
    current: F | None = None
    count = 0
    for frame in frames:
        check()
        if frame is current:
            count += 1
            continue
        if current is not None:
            yield current, count
        current, count = frame, 1
    if current is not None:
        yield current, count


@dataclass(frozen=True, slots=True)
class _Work:
    """What is done to a batch of frames."""

    upscaler: Upscaler
    target: Target
    colors: Colors
    tile_size: int
    check: Callable[[], None]

    def frames_at_once(self, frame: Frame) -> int:
        return self.upscaler.frames_at_once(self._case(frame))

    def __call__(self, frames: list[Frame]) -> list[DeviceFrame]:
        """Upscale frames of one size."""

        def work(part: slice, tile: int) -> list[DeviceFrame]:
            return self._upscale(frames[part], tile)

        return self.upscaler.fit(work, len(frames), self._case(frames[0]))

    def _case(self, frame: Frame) -> WorkShape:
        return WorkShape(frame.width, frame.height, self.tile_size)

    @torch.inference_mode()
    def _upscale(self, frames: list[Frame], tile: int) -> list[DeviceFrame]:
        batch = to_device(frames, self.upscaler.device.place, self.upscaler.dtype, self.colors)
        batch = self.upscaler.run(batch, tile, self.check)
        return [DeviceFrame(self._fitted(frame[None]), self.target.colors) for frame in batch]

    def _fitted(self, frame: Tensor) -> Tensor:
        """A frame (1, 3, H, W) in the target's size as (3, H, W) in float16."""
        if frame.shape[-2:] != (self.target.height, self.target.width):
            frame = resize(frame, self.target.width, self.target.height)
        return frame[0].to(torch.float16)


def _finish(work: _Work, runs: list[tuple[Frame, int]]) -> Iterator[DeviceFrame]:
    """Upscale the collected frames, hand them out as often as they came, and forget them."""
    made = work([frame for frame, _ in runs])
    counts = [count for _, count in runs]
    runs.clear()
    made.reverse()
    for count in counts:
        frame = made.pop()
        for _ in range(count):
            yield frame
