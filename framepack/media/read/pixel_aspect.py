"""The pixel aspect of single frames, which may change midway."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

from framepack.media.frames.graph import build_graph

if TYPE_CHECKING:
    import av
    from av.filter import Graph
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

_STEPS: Final = 1000
_MEASURE: Final = (
    r"crop=min(iw\,16):min(ih\,16):0:0",
    rf"scale=eval=frame:w=clip(round(sar*{_STEPS})\,1\,16000):h=2",
)
_LEAST_CHANGE: Final = Fraction(1, 100)


class PixelAspects:
    """Tells how the pixel aspects of frames differ from that of the first frame.

    Nothing is measured while the decoder knows only one pixel aspect.

    Args:
        stream: The stream, before anything of it is decoded.
        decoder: Its decoder.
    """

    def __init__(self, stream: VideoStream, decoder: VideoCodecContext) -> None:
        own, first = decoder.sample_aspect_ratio, stream.sample_aspect_ratio
        self._decoder = decoder
        self._first = first or Fraction(1)
        self._is_fixed = own is not None and own != first  # the container has another one, which counts
        self._known: set[Fraction | None] = {own, first}
        self._graph: Graph | None = None
        self._shape: tuple[str, int, int] | None = None

    def ratio(self, frame: av.VideoFrame) -> Fraction:
        """The pixel aspect of a frame, divided by that of the first one; 1 if the two differ by less than 1 %."""
        self._known.add(self._decoder.sample_aspect_ratio)
        if self._is_fixed or not self._known - {None, self._first}:
            return Fraction(1)
        ratio = self._measured(frame) / self._first
        return ratio if abs(ratio - 1) >= _LEAST_CHANGE else Fraction(1)

    def _measured(self, frame: av.VideoFrame) -> Fraction:
        """The pixel aspect of a frame, which PyAV does not tell: FFmpeg's filter for scaling follows it."""
        import av

        shape = (frame.format.name, frame.width, frame.height)
        try:
            if self._graph is None or shape != self._shape:
                self._graph, self._shape = build_graph(frame, _MEASURE), shape
            self._graph.vpush(frame)
            measured = Fraction(self._graph.vpull().width, _STEPS)
        except av.FFmpegError:
            return self._first
        exact = min((each for each in self._known if each is not None), key=lambda each: abs(each - measured))
        if abs(exact - measured) * _STEPS <= 1:
            return exact
        return measured if measured != 1 else self._first  # an unknown pixel aspect is measured as 1
