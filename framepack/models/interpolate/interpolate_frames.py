"""Interpolate video to another frame rate or speed: keep source frames, generate frames in between."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from framepack.closing import closing
from framepack.media.timeline.retiming import FramePair, retime
from framepack.models.frames.comparison import ComparedFrame, compared
from framepack.models.frames.device_frame import DeviceFrame
from framepack.models.frames.scene_cuts import is_cut
from framepack.models.interpolate.interpolator import EncodedFrame, EncodedPair

if TYPE_CHECKING:
    from framepack.media.clip import Colors, Frame
    from framepack.media.timeline.retiming import Retiming
    from framepack.models.frames.scene_cuts import Thumbnail
    from framepack.models.interpolate.interpolator import Interpolator

_MAX_QUEUE: Final = 32


def interpolate_frames(
    frames: Iterable[Frame],
    interpolator: Interpolator,
    retiming: Retiming,
    *,
    colors: Colors,
    check: Callable[[], None],
) -> Generator[Frame]:
    """Convert frames to a new timeline and generate the frames that are missing.

    An output frame at the time of a source frame is that same object. Between two equal frames the first one is
    repeated, also across a scene cut. Every source frame is encoded at most once, and only a few frames
    are in memory at any time.

    Args:
        frames: All of one size; closed at the end.
        interpolator: The network.
        retiming: The new timeline.
        colors: Color space of the YUV samples of ``frames`` and of the result.
        check: Called between steps; may raise an error to stop.

    Yields:
        As many frames as ``retiming.length`` says; generated frames are in device memory, in float16.

    Raises:
        OutOfMemory: Frames of this size do not fit into memory.
    """
    interpolator.forget()
    batcher = _Batcher(interpolator, colors, check)
    cuts = _SceneCuts()
    queue: list[_SourcePair] = []
    with closing(retime(_deduplicated(frames, check), retiming)) as pairs:
        for pair in pairs:
            queue.append(cuts.without_cut(pair))
            if batcher.is_full(queue):
                yield from batcher.flush(queue)
        yield from batcher.flush(queue)


@dataclass(slots=True, eq=False)
class _SourceFrame:
    """A source frame with its thumbnail and, once it was needed, its encoding."""

    frame: Frame
    thumbnail: Thumbnail
    encoded: EncodedFrame | None = None


_SourcePair = FramePair[_SourceFrame]


def _deduplicated(frames: Iterable[Frame], check: Callable[[], None]) -> Iterator[_SourceFrame]:
    """Yield one object per frame: the previous one again if the frame is equal to it."""
    current: _SourceFrame | None = None
    before: ComparedFrame | None = None
    with closing(compared(frames, check)) as following:
        for each in following:
            if current is None or (each is not before and not each.equals_before):
                current = _SourceFrame(each.frame, each.thumbnail)
            before = each
            yield current


@dataclass(slots=True)
class _SceneCuts:
    """Finds scene cuts between source frames; each pair of frames is compared once."""

    _frames: tuple[_SourceFrame, _SourceFrame] | None = None
    _is_cut: bool = False

    def without_cut(self, pair: _SourcePair) -> _SourcePair:
        """Return the pair, with the frame before in place of an interpolation across a scene cut."""
        if pair.is_source_frame:
            return pair
        frames = pair.before, pair.after
        if self._frames != frames:
            self._frames, self._is_cut = frames, is_cut(pair.before.thumbnail, pair.after.thumbnail)
        return pair.without_mixing() if self._is_cut else pair


class _Batcher:
    """Generates frames in batches."""

    def __init__(self, interpolator: Interpolator, colors: Colors, check: Callable[[], None]) -> None:
        self._interpolator = interpolator
        self._colors = colors
        self._check = check
        self._batch_size = 0

    def is_full(self, queue: list[_SourcePair]) -> bool:
        """Whether to flush the queue now: it needs no generated frame, or exactly a batch of them, or is too long."""
        if not self._batch_size:
            frame = queue[0].before.frame
            self._batch_size = self._interpolator.batch_size(frame.width, frame.height)
        missing = sum(not pair.is_source_frame for pair in queue)
        return missing in {0, self._batch_size} or len(queue) >= _MAX_QUEUE

    def flush(self, queue: list[_SourcePair]) -> Iterator[Frame]:
        """Yield the frames of all queued pairs and empty the queue."""
        generated = iter(self._generate([pair for pair in queue if not pair.is_source_frame]))
        pairs = queue.copy()
        queue.clear()
        pairs.reverse()
        while pairs:  # popped one by one, so that source frames are freed while the others are yielded
            pair = pairs.pop()
            yield pair.before.frame if pair.is_source_frame else next(generated)

    def _generate(self, pairs: list[_SourcePair]) -> list[DeviceFrame]:
        if not pairs:
            return []
        self._check()
        encoded = [
            EncodedPair(self._encode(pair.before), self._encode(pair.after), float(pair.fraction)) for pair in pairs
        ]
        return [DeviceFrame(rgb.to(torch.float16), self._colors) for rgb in self._interpolator.interpolate(encoded)]

    def _encode(self, source: _SourceFrame) -> EncodedFrame:
        if source.encoded is None:
            source.encoded = self._interpolator.encode(source.frame, self._colors)
        return source.encoded
