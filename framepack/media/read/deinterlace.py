"""Deinterlace frames whose fields show different times."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from framepack.media.frames.graph import build_graph
from framepack.media.read.combs import JUDGE, KIND, CombFinder, Parity, results

if TYPE_CHECKING:
    import av
    from av.filter import Graph

DEINTERLACED: Final = "The video is interlaced; each of its frames was deinterlaced to one frame."
"""The sentence for the client."""

UNFLAGGED: Final = (
    "The video is interlaced, although its frames are not flagged so; each of them was deinterlaced to one frame."
)
"""The sentence about frames that are interlaced without saying so."""

_BWDIF: Final = "bwdif=mode=send_frame"
_INTERLACED: Final = {"tff": True, "bff": True, "progressive": False}
_MOST_UNDECIDED: Final = 8


class Deinterlacer:
    """Replaces interlaced frames of one stream by deinterlaced ones; all others pass through as they are.

    Frames that are not flagged as interlaced are replaced from where a ``CombFinder`` is sure that they are. Whole
    films are flagged as interlaced although both fields of a frame were taken at once. So a flagged frame is
    only replaced if motion shows that they were not: in two frames, of which neither contradicts the other. Where
    nothing moves, the frame before decides.

    Frames come in presentation order. From the first flagged one on, they are delayed by one frame, and by up to nine
    until their kind is known.

    Args:
        note: Called with a sentence when a frame is replaced.
        parity: Which field comes first, if the file says that frames are interlaced and its decoder does not.
    """

    def __init__(self, note: Callable[[str], None], parity: Parity | None = None) -> None:
        self._note = note
        self._declared = parity
        self._finder = CombFinder()
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
        if self._graphs is not None or frame.interlaced_frame or self._parity is not None:
            yield from self._finder.flush()
            yield from self._add_interlaced(frame)
            return
        ready = self._finder.add(frame)
        if self._finder.parity is None:
            yield from ready
            return
        for each in ready:
            yield from self._add_interlaced(each)

    def _add_interlaced(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        if self._graphs is None:
            self._shape = (frame.format.name, frame.width, frame.height)
            self._graphs = build_graph(frame, JUDGE), build_graph(frame, self._filters)
        time, frame.pts = frame.pts, self._count
        for graph in self._graphs:
            graph.vpush(frame)
        frame.pts = time
        self._count += 1
        self._given.append(frame)
        yield from self._pulled(*self._graphs)

    @property
    def _parity(self) -> Parity | None:
        """The first field, unless frames say it."""
        return self._declared or self._finder.parity

    @property
    def _filters(self) -> tuple[str, ...]:
        """The filters that deinterlace frames."""
        if self._parity is None:
            return (f"{_BWDIF}:deint=interlaced",)
        return f"setfield={self._parity}", f"{_BWDIF}:deint=all"

    def describe_combs(self) -> Iterator[str]:
        """After the last frame, describe combs that were kept."""
        combed, known = self._finder.likely_frames
        if combed:
            yield (
                f"Of {known} frames that were looked at, {combed} look interlaced, although they are not flagged so; "
                "they were not deinterlaced."
            )

    def flush(self) -> Iterator[av.VideoFrame]:
        """Yield the frames that are left."""
        ready = self._finder.flush()
        is_found = self._graphs is None and self._finder.parity is not None
        for each in ready:
            yield from self._add_interlaced(each) if is_found else (each,)
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
        self._judged.extend(results(judge))
        self._replaced.extend(results(replace))
        while self._judged and self._replaced:
            self._undecided.append((self._given.popleft(), self._replaced.popleft()))
            self._judge(self._judged.popleft())
            if self._is_settled or len(self._undecided) > _MOST_UNDECIDED:
                yield from self._decided()

    def _judge(self, judged: av.VideoFrame) -> None:
        """Take one frame's kind into account; it is unknown where little moves. One frame may be misjudged."""
        kind = _INTERLACED.get(str(judged.metadata.get(KIND)))
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
            is_unflagged = self._finder.parity is not None
            if not (is_interlaced and (frame.interlaced_frame or self._parity is not None)):
                yield frame
                continue
            self._note(UNFLAGGED if is_unflagged else DEINTERLACED)
            result.pts = frame.pts
            if frame.time_base is not None:
                result.time_base = frame.time_base
            yield result
