"""When an audio stream has audio, as its packets show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from framepack.units import MICROSECONDS

if TYPE_CHECKING:
    from av.packet import Packet

_NEAR: Final = MICROSECONDS // 4  # packets that are closer than this follow each other
_MOST_SPANS: Final = 10_000
_MOST_TICKS: Final = 2**56  # larger timestamps are damage


@dataclass(slots=True)
class _Span:
    """Packets of one part of a file that follow each other: their begin and end in microseconds."""

    part: int
    begin: int
    end: int


@dataclass(slots=True)
class AudioExtent:
    """Collects when a stream has audio.

    Attributes:
        stream: Index of the stream.
    """

    stream: int
    _spans: list[_Span] = field(default_factory=list)

    def add(self, packet: Packet[Any], part: int) -> None:
        """Add a packet with data, from a part of the file that has one clock."""
        if packet.pts is None or packet.is_discard or abs(packet.pts) > _MOST_TICKS:
            return
        ticks_per_second = MICROSECONDS * packet.time_base
        begin = int(packet.pts * ticks_per_second)
        end = begin + int((packet.duration or 0) * ticks_per_second)
        latest = self._spans[-1] if self._spans else None
        if latest is not None and latest.part == part and abs(begin - latest.end) <= _NEAR:
            latest.end = max(latest.end, end)
        elif len(self._spans) < _MOST_SPANS:
            self._spans.append(_Span(part, begin, end))

    def spans(self, shifts: Sequence[Fraction]) -> list[tuple[Fraction, Fraction]]:
        """Begin and end of audio without gaps, in seconds.

        Args:
            shifts: Seconds to add to the times of each part of the file; empty if there is only one part.
        """
        shift_of = dict(enumerate(shifts))
        return [
            (
                Fraction(span.begin, MICROSECONDS) + shift_of.get(span.part, 0),
                Fraction(span.end, MICROSECONDS) + shift_of.get(span.part, 0),
            )
            for span in self._spans
        ]
