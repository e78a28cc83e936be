"""Find combs: fields of different times in frames that are not flagged as interlaced, as captures leave them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, Final, Literal

from framepack.media.frames.arrays import samples_of
from framepack.media.frames.graph import build_graph

if TYPE_CHECKING:
    import av
    import numpy as np
    from av.filter import Graph
    from numpy.typing import NDArray

Parity = Literal["tff", "bff"]
"""Which field of a frame comes first: the top or the bottom one."""

JUDGE: Final = ("idet",)  # it also changes the flags of frames, so it has a graph of its own
KIND: Final = "lavfi.idet.single.current_frame"

_FIRST: Final = 24  # frames at the beginning that are looked at,
_EVERY: Final = 120  # and of so many frames later on
_RUN: Final = 12  # so many in a row
_FORMATS: Final = ("yuv4", "yuvj4", "yuva4", "nv", "gray")  # animations in RGB or with a palette come from no camera
_LEAST_ROWS: Final = 32
_CLEAR: Final = 8  # frames in a row of which none contradicts the others
_COLUMNS: Final = 480  # at least so many of a frame are compared, if it has them
_LEAST_STEP: Final = 8  # of 255
_SHARE: Final = 0.7  # in progressive clips it is a tenth to a half, in woven ones that move up to 25
_FEW: Final = 8
_BY_CHANCE: Final = 3  # standard deviations of a count in noise
_TILE: Final = 16  # rows, and columns of those that are compared
_UNEVEN: Final = 1.5  # times as many combs as in fields
_LEAST_UNEVEN: Final = 0.08  # of all combs; in progressive clips it is less for at least one frame in eight
_FEWEST: Final = 4  # frames that look interlaced, for a sentence,
_LIKELY: Final = 0.3  # and at least so many of those whose kind shows


@dataclass(slots=True)
class CombFinder:
    """Looks at some frames of a stream, and decides whether its frames are interlaced.

    They are if the same field comes first in eight frames in a row, and motion in none of them shows both fields at
    once. Fine patterns do not look like that: FFmpeg's idet compares the rows of a field with those of the frames
    before and after. It takes doubled pixels that move for fields, so a frame counts only if it has combs, too.
    Frames are held back only while it seems so.

    Attributes:
        parity: The first field of the frames, also of those that ``add`` has returned at the same time; None if they
            are not known to be interlaced.
    """

    parity: Parity | None = None
    _graph: Graph | None = None
    _shape: tuple[str, int, int] | None = None
    _count: int = 0
    _held: list[av.VideoFrame] = field(default_factory=list)
    _judged: list[str] = field(default_factory=list)  # kinds of the first frames that are kept
    _kinds: Counter[str] = field(default_factory=Counter)

    def add(self, frame: av.VideoFrame) -> list[av.VideoFrame]:
        """Add a frame in presentation order, and return the frames that need not wait."""
        import av

        ready: list[av.VideoFrame] = []
        shape = (frame.format.name, frame.width, frame.height)
        in_turn = self._count < _FIRST or self._count % _EVERY < _RUN or len(self._judged) > 0
        is_looked_at = in_turn and frame.format.name.startswith(_FORMATS) and frame.height >= _LEAST_ROWS
        if self._graph is not None and (shape != self._shape or not is_looked_at):
            ready = self.flush()
        number, self._count = self._count, self._count + 1
        if not is_looked_at:
            return [*ready, frame]
        if self._graph is None:
            self._graph, self._shape = build_graph(frame, JUDGE), shape
        self._held.append(frame)
        time, frame.pts = frame.pts, number
        try:
            self._graph.vpush(frame)
        except av.FFmpegError:  # a damaged frame
            self._graph = None
            return ready + self._release(len(self._held))
        finally:
            frame.pts = time
        return ready + self._decided()

    def flush(self) -> list[av.VideoFrame]:
        """Return the frames that are held."""
        if self._graph is not None:
            self._graph.vpush(None)
        ready = self._decided()
        self._graph = None
        ready += self._release(len(self._held))
        return ready

    @property
    def likely_frames(self) -> tuple[int, int]:
        """Number of frames that look interlaced and of those whose kind shows; zeros if they are too few to tell."""
        known = self._kinds.total() - self._kinds["undetermined"]
        most = max(self._kinds["tff"], self._kinds["bff"])
        is_likely = self.parity is None and most >= _FEWEST and most >= _LIKELY * known
        return (most, known) if is_likely else (0, 0)

    def _decided(self) -> list[av.VideoFrame]:
        ready: list[av.VideoFrame] = []
        for judged in _kinds_of(self._graph):
            is_wrong = judged in {"tff", "bff"} and not _is_combed(self._held[len(self._judged)])
            kind = "undetermined" if is_wrong else judged
            self._kinds[kind] += 1
            self._judged.append(kind)
            seen = {each for each in self._judged if each != "undetermined"}
            if seen not in ({"tff"}, {"bff"}) or len(self._judged) > 2 * _CLEAR:
                ready += self._release(len(self._judged))
            elif len(self._judged) - self._judged.count("undetermined") == _CLEAR:
                self.parity, self._graph = "tff" if seen == {"tff"} else "bff", None
                return ready + self._release(len(self._held))
        return ready

    def _release(self, count: int) -> list[av.VideoFrame]:
        ready, self._held = self._held[:count], self._held[count:]
        self._judged = []
        return ready


def _kinds_of(graph: Graph | None) -> Iterator[str]:
    """The kinds of the frames that a graph has ready."""
    for frame in () if graph is None else results(graph):
        yield frame.metadata.get(KIND, "undetermined")


def _is_combed(frame: av.VideoFrame) -> bool:
    """Whether more samples lie above or below the rows beside them than in their own field, or nearly as many.

    In noise and other fine detail nearly as many do, evenly. Where fields are of different times, combs are at edges
    that move, while fields are smooth there.
    """
    import numpy as np

    bits = frame.format.components[0].bits
    rows = samples_of(frame.planes[0], bits)[:, :: max(1, frame.width // _COLUMNS)].astype("int32")
    least = (_LEAST_STEP << bits - 8) ** 2
    beside, within = _combs(rows, 1, least), _combs(rows, 2, least)
    count, count_within = int(beside.sum()), int(within.sum())
    has_more = count > count_within + _BY_CHANCE * sqrt(count_within) + _FEW
    if has_more or count <= _SHARE * count_within + _FEW:
        return has_more
    uneven = np.maximum(_in_tiles(beside[1:-1]) - _UNEVEN * _in_tiles(within), 0)
    return float(uneven.sum()) > _LEAST_UNEVEN * count


def _combs(rows: NDArray[np.int32], distance: int, least: int) -> NDArray[np.bool_]:
    """Which samples lie above those of two rows, or below them."""
    middle = rows[distance:-distance]
    steps: NDArray[np.int32] = (middle - rows[: -2 * distance]) * (middle - rows[2 * distance :])
    return steps > least


def _in_tiles(found: NDArray[np.bool_]) -> NDArray[np.int32]:
    """How many are found in each tile."""
    import numpy as np

    rows = np.add.reduceat(found, range(0, found.shape[0], _TILE), axis=0, dtype=np.int32)
    return np.add.reduceat(rows, range(0, found.shape[1], _TILE), axis=1)


def results(graph: Graph) -> Iterator[av.VideoFrame]:
    """The frames that a graph has ready."""
    import av

    while True:
        try:
            yield graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
