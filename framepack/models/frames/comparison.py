"""Compare successive frames: whether they are equal, and the thumbnails in which scene cuts are found.

For frames in device memory, both are computed there as soon as the frame is known, and read together later: the GPU
is given other work in between, and the CPU does not wait for it frame by frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from framepack.closing import closing
from framepack.media.frames.arrays import planes_of
from framepack.models.frames.device_frame import DeviceFrame
from framepack.models.frames.scene_cuts import device_thumbnail, host_thumbnail
from framepack.models.frames.transfer import Download

if TYPE_CHECKING:
    from framepack.media.clip import Frame
    from framepack.models.frames.scene_cuts import Thumbnail


class ComparedFrame:
    """A frame and its comparison with the one before it.

    Attributes:
        frame: The frame.

    Args:
        frame: The frame.
        before: The one before it, of the same size, or None.
    """

    def __init__(self, frame: Frame, before: ComparedFrame | None) -> None:
        self.frame = frame
        self._before = before
        self._found: tuple[Thumbnail, bool] | None = None
        self._download: Download | None = None
        if isinstance(frame, DeviceFrame):
            self._download = _start(frame, None if before is None else before.frame)

    @property
    def thumbnail(self) -> Thumbnail:
        """The frame's thumbnail."""
        return self._result()[0]

    @property
    def equals_before(self) -> bool:
        """Whether it is equal to the frame before it in every sample."""
        return self._result()[1]

    def _result(self) -> tuple[Thumbnail, bool]:
        if self._found is None:
            if self._download is None:
                small = host_thumbnail(self.frame)
                self._found = small, self._before is not None and _are_equal(self.frame, small, self._before)
            else:
                small, equal = (values.numpy() for values in self._download.wait())
                self._found = small, bool(equal)
            self._before = self._download = None  # it would keep all frames before it alive
        return self._found


def compared(frames: Iterable[Frame], check: Callable[[], None]) -> Iterator[ComparedFrame]:
    """Compare frames, each with the one before it; a repeated frame, the same object again, is one result again.

    The comparison of a frame has begun before the previous frame is yielded. Closes ``frames`` at the end.

    Args:
        frames: All of one size.
        check: Called for every frame; may raise an error to stop.
    """
    waiting: ComparedFrame | None = None
    with closing(frames):
        for frame in frames:
            check()
            same = waiting is not None and frame is waiting.frame
            following = waiting if same else ComparedFrame(frame, waiting)
            if waiting is not None:
                yield waiting
            waiting = following
            del frame, following
    if waiting is not None:
        yield waiting


@torch.inference_mode()
def _start(frame: DeviceFrame, before: Frame | None) -> Download:
    small = device_thumbnail(frame)
    if isinstance(before, DeviceFrame):
        equal = (frame.tensor == before.tensor).all()
    else:
        equal = small.new_zeros((), dtype=torch.bool)
    return Download([small, equal])


def _are_equal(frame: Frame, small: Thumbnail, before: ComparedFrame) -> bool:
    """Whether a frame in host memory is equal to the one before it."""
    if isinstance(before.frame, DeviceFrame) or not np.array_equal(small, before.thumbnail):
        return False
    frames = frame.on_host(), before.frame.on_host()
    if frames[0].format.name != frames[1].format.name:
        return False
    first, second = (planes_of(each) for each in frames)
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in "yuv")
