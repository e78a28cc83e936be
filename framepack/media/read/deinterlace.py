"""Deinterlace frames that are flagged as interlaced and whose fields show different times."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from framepack.media.frames.graph import build_graph

if TYPE_CHECKING:
    import av
    from av.filter import Graph

DEINTERLACED: Final = "The video is interlaced; each of its frames was deinterlaced to one frame."
"""The sentence for the client."""

_JUDGE: Final = ("idet",)  # it also changes the flags of frames, so it has a graph of its own
_REPLACE: Final = ("bwdif=mode=send_frame:deint=interlaced",)
_KIND: Final = "lavfi.idet.single.current_frame"
_INTERLACED: Final = {"tff": True, "bff": True, "progressive": False}
_MOST_UNDECIDED: Final = 8


class Deinterlacer:
    """Replaces interlaced frames of one stream by deinterlaced ones; all others pass through as they are.

    Whole films are flagged as interlaced although both fields of a frame were taken at once. So a flagged frame is
    only replaced if motion shows that they were not: in two frames, of which neither contradicts the other. Where
    nothing moves, the frame before decides.

    Frames come in presentation order. From the first flagged one on, they are delayed by one frame, and by up to nine
    until their kind is known.

    Args:
        note: Called with a sentence when a frame is replaced.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._graphs: tuple[Graph, Graph] | None = None
        self._shape: tuple[str, int, int] | None = None
        self._count = 0
        self._given: deque[av.VideoFrame] = deque()
        self._judged: deque[av.VideoFrame] = deque()
        self._replaced: deque[av.VideoFrame] = deque()
        self._undecided: list[tuple[av.VideoFrame, av.VideoFrame]] = []
        self._is_interlaced: bool | None = None
        self._maybe: bool | None = None  # the other kind, seen once

    def add(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Add a frame, and yield the frames that are ready."""
        shape = (frame.format.name, frame.width, frame.height)
        if self._graphs is not None and shape != self._shape:
            yield from self.flush()
        if self._graphs is None:
            if not frame.interlaced_frame:
                yield frame
                return
            self._graphs, self._shape = (build_graph(frame, _JUDGE), build_graph(frame, _REPLACE)), shape
        time, frame.pts = frame.pts, self._count
        for graph in self._graphs:
            graph.vpush(frame)
        frame.pts = time
        self._count += 1
        self._given.append(frame)
        yield from self._pulled(*self._graphs)

    def flush(self) -> Iterator[av.VideoFrame]:
        """Yield the frames that are left."""
        if self._graphs is not None:
            graphs, self._graphs = self._graphs, None
            for graph in graphs:
                graph.vpush(None)
            yield from self._pulled(*graphs)
        yield from self._decided()
        yield from self._given
        for waiting in (self._given, self._judged, self._replaced):
            waiting.clear()

    def _pulled(self, judge: Graph, replace: Graph) -> Iterator[av.VideoFrame]:
        self._judged.extend(_results(judge))
        self._replaced.extend(_results(replace))
        while self._judged and self._replaced:
            self._undecided.append((self._given.popleft(), self._replaced.popleft()))
            self._judge(self._judged.popleft())
            if self._is_settled or len(self._undecided) > _MOST_UNDECIDED:
                yield from self._decided()

    def _judge(self, judged: av.VideoFrame) -> None:
        """Take one frame's kind into account; it is unknown where little moves. One frame may be misjudged."""
        kind = _INTERLACED.get(str(judged.metadata.get(_KIND)))
        if kind is None:
            return
        if kind in {self._is_interlaced, self._maybe}:
            self._is_interlaced, self._maybe = kind, None
        else:
            self._maybe = kind

    @property
    def _is_settled(self) -> bool:
        return self._is_interlaced is not None and self._maybe is None

    def _decided(self) -> Iterator[av.VideoFrame]:
        known = self._maybe if self._is_interlaced is None else self._is_interlaced
        is_interlaced = known is not False  # in doubt as the flag says
        undecided, self._undecided = self._undecided, []
        for frame, result in undecided:
            if not (is_interlaced and frame.interlaced_frame):
                yield frame
                continue
            self._note(DEINTERLACED)
            result.pts = frame.pts
            if frame.time_base is not None:
                result.time_base = frame.time_base
            yield result


def _results(graph: Graph) -> Iterator[av.VideoFrame]:
    """The frames that a graph has ready."""
    import av

    while True:
        try:
            yield graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
