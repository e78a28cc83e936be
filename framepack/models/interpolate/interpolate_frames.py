"""Video at another frame rate or speed: source frames where they fall, newly drawn ones in between."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from framepack.media.frames.arrays import planes_of
from framepack.media.iteration import closing
from framepack.media.timeline.retiming import FramePair, retime
from framepack.models.frames.device_frame import DeviceFrame
from framepack.models.frames.scene_cuts import Thumbnail, is_cut, thumbnail
from framepack.models.interpolate.interpolator import FlowTime, Seen

if TYPE_CHECKING:
    from framepack.media.clip import Colors, Frame
    from framepack.media.timeline.retiming import Retiming
    from framepack.models.interpolate.interpolator import Interpolator

_LONGEST_QUEUE: Final = 32


def interpolate_frames(
    frames: Iterable[Frame],
    interpolator: Interpolator,
    retiming: Retiming,
    *,
    colors: Colors,
    check: Callable[[], None],
) -> Generator[Frame]:
    """Lay out frames anew, and draw what lies between them.

    Where an output frame falls on a source frame, it is that very object. Between equal frames it is the former of
    them, and between two scenes the nearer one. Every source frame is looked at once, and few are held at a time.

    Args:
        frames: all of one size; closed at the end.
        interpolator: the network.
        retiming: which moments to show.
        colors: what the YUV samples of ``frames`` mean, and those of the result.
        check: called between pieces of work; what it raises ends the work.

    Yields:
        As many frames as ``retiming.length`` says; new ones are on the device, in float16.

    Raises:
        OutOfMemory: frames of this size do not fit into memory.
    """
    interpolator.forget()
    artist = _Artist(interpolator, colors, check)
    scenes = _Scenes()
    queue: list[_FramePair] = []
    with closing(retime(_frames(frames, check), retiming)) as shots:
        for shot in shots:
            queue.append(scenes.settle(shot))
            if artist.is_enough(queue):
                yield from artist.finish(queue)
        yield from artist.finish(queue)


@dataclass(slots=True, eq=False)
class _Pixels:
    """A source frame and what has been found out about it."""

    frame: Frame
    thumbnail: Thumbnail
    seen: Seen | None = None


_FramePair = FramePair[_Pixels]


def _frames(frames: Iterable[Frame], check: Callable[[], None]) -> Iterator[_Pixels]:
    """Yield a frame per frame: the same one again for a frame that shows the same."""
    current: _Pixels | None = None
    with closing(frames):
        for frame in frames:
            check()
            if current is None or frame is not current.frame:
                image = _Pixels(frame, thumbnail(frame))
                current = current if current is not None and _is_same(current, image) else image
            yield current


def _is_same(one: _Pixels, other: _Pixels) -> bool:
    """Whether two frames are equal in every sample."""
    if not np.array_equal(one.thumbnail, other.thumbnail):
        return False
    if isinstance(one.frame, DeviceFrame) or isinstance(other.frame, DeviceFrame):
        tensors = [each.frame.tensor for each in (one, other) if isinstance(each.frame, DeviceFrame)]
        return len(tensors) > 1 and torch.equal(*tensors)
    frames = one.frame.on_host(), other.frame.on_host()
    if frames[0].format.name != frames[1].format.name:
        return False
    first, second = (planes_of(frame) for frame in frames)
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in "yuv")


@dataclass(slots=True)
class _Scenes:
    """Knows where scenes end; asks once per pair of frames."""

    _pair: tuple[_Pixels, _Pixels] | None = None
    _is_cut: bool = False

    def settle(self, shot: _FramePair) -> _FramePair:
        """Replace a moment between two scenes by the nearer frame."""
        if shot.is_source_frame:
            return shot
        pair = shot.before, shot.after
        if self._pair != pair:
            self._pair, self._is_cut = pair, is_cut(pair[0].thumbnail, pair[1].thumbnail)
        return shot.nearest() if self._is_cut else shot


class _Artist:
    """Draws the frames that are not there."""

    def __init__(self, interpolator: Interpolator, colors: Colors, check: Callable[[], None]) -> None:
        self._interpolator = interpolator
        self._colors = colors
        self._check = check
        self._at_once = 0

    def is_enough(self, queue: list[_FramePair]) -> bool:
        """Whether to finish these shots now: nothing is to be drawn, or as much as is best drawn together."""
        if not self._at_once:
            frame = queue[0].before.frame
            self._at_once = self._interpolator.at_once(frame.width, frame.height)
        wanted = sum(not shot.is_source_frame for shot in queue)
        return wanted in {0, self._at_once} or len(queue) >= _LONGEST_QUEUE

    def finish(self, queue: list[_FramePair]) -> Iterator[Frame]:
        """Hand out all of the queue's frames and empty it."""
        made = iter(self._drawn([shot for shot in queue if not shot.is_source_frame]))
        shots = queue.copy()
        queue.clear()
        shots.reverse()
        while shots:
            shot = shots.pop()
            yield shot.before.frame if shot.is_source_frame else next(made)

    def _drawn(self, shots: list[_FramePair]) -> list[DeviceFrame]:
        if not shots:
            return []
        self._check()
        moments = [FlowTime(self._seen(shot.before), self._seen(shot.after), float(shot.fraction)) for shot in shots]
        drawn = self._interpolator.between(moments)
        return [DeviceFrame(frame.to(torch.float16), self._colors) for frame in drawn]

    def _seen(self, frame: _Pixels) -> Seen:
        if frame.seen is None:
            frame.seen = self._interpolator.look(frame.frame, self._colors)
        return frame.seen
