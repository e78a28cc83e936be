"""The frame that is on screen when an edit list begins within it, as in trimmed screen recordings."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from framepack.errors import InvalidMedia
from framepack.media.containers import open_input, read_packets
from framepack.media.read.frame_order import MOST_REORDERED

if TYPE_CHECKING:
    from av.packet import Packet

LEAST_SECONDS: Final = Fraction(1, 20)
"""What is left of the frame is shown if it is longer than this: longer than a frame of usual rates."""


class HeldFrame(NamedTuple):
    """A frame that is on screen when an edit begins.

    Attributes:
        number: Number of its packet.
        begin: Timestamp of the beginning of the edit.
        rest: How long it stays, in units of timestamps.
    """

    number: int
    begin: int
    rest: int


@dataclass(slots=True)
class EditStart:
    """Finds the last frame before an edit begins, and the first one in it.

    FFmpeg leaves out frames before the edit, and moves the first frame in it to the beginning of the edit. But the
    frame before it stays on screen until then.
    """

    _earlier: dict[int, tuple[int, int]] = field(default_factory=dict)  # by position: time and number
    _first: tuple[int, int | None] | None = None  # time and position
    _kept: int | None = None

    def add(self, number: int, time: int | None, packet: Packet[Any]) -> None:
        """Add the next packet of the video, with its number and its timestamp."""
        if time is None or (self._kept is not None and number > self._kept + MOST_REORDERED):
            return
        if not packet.is_discard:
            self._kept = number if self._kept is None else self._kept
            if self._first is None or time < self._first[0]:
                self._first = time, packet.pos
        elif packet.pos is not None:
            self._earlier[packet.pos] = time, number

    def held(self, path: Path, stream: int) -> HeldFrame | None:
        """The frame that is on screen when the edit begins; None if the edit begins with a frame of its own."""
        if not self._earlier:
            return None
        before: tuple[int, int] | None = None
        try:
            with open_input(path, applies_edits=False) as container:
                for packet in read_packets(container, container.streams[stream]):
                    if not packet.size or packet.pts is None or packet.pos is None:
                        continue
                    if self._first is not None and packet.pos == self._first[1]:
                        return self._before_first(packet.pts - self._first[0])
                    if packet.pos in self._earlier and packet.pts <= 0:
                        before = max(before or (packet.pts, 0), (packet.pts, self._earlier[packet.pos][1]))
        except InvalidMedia:
            return None
        return None if before is None or self._first is not None else HeldFrame(before[1], 0, 0)

    def _before_first(self, rest: int) -> HeldFrame | None:
        """The last frame before the first one in the edit, if that begins ``rest`` after the edit."""
        assert self._first is not None  # noqa: S101 - only then it is called
        begin = self._first[0]
        time, number = max(self._earlier.values())
        return HeldFrame(number, begin, rest) if rest > 0 and time < begin else None
