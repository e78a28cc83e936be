"""When an audio stream has audio, as its packets show."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from framepack.media.audio.channels import channel_names
from framepack.units import MICROSECONDS

if TYPE_CHECKING:
    from av.packet import Packet
    from av.stream import Stream

_NEAR: Final = MICROSECONDS // 4  # packets that are closer than this follow each other
_MOST_SPANS: Final = 10_000
_LONG: Final = MICROSECONDS // 10  # the last packet may be much shorter than a container says that all of them are
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
    _last: Packet[Stream] | None = None

    def add(self, packet: Packet[Stream], part: int) -> None:
        """Add a packet with data, from a part of the file that has one clock."""
        self._last = packet
        if packet.pts is None or packet.is_discard or abs(packet.pts) > _MOST_TICKS:
            return
        time_base = packet.time_base
        begin = _microseconds(packet.pts, time_base)
        end = begin + _microseconds(packet.duration or 0, time_base)
        latest = self._spans[-1] if self._spans else None
        if latest is not None and latest.part == part and abs(begin - latest.end) <= _NEAR:
            latest.end = max(latest.end, end)
        elif len(self._spans) < _MOST_SPANS:
            self._spans.append(_Span(part, begin, end))

    def end_with_last_sample(self) -> None:
        """Let the last packet, if it is long, end where its samples end; it is decoded for that."""
        import av

        packet = self._last
        if packet is None or packet.pts is None or not isinstance(packet.stream, av.AudioStream):
            return
        duration = _microseconds(packet.duration or 0, packet.time_base)
        begin = _microseconds(packet.pts, packet.time_base)
        if duration <= _LONG or not self._spans or self._spans[-1].end != begin + duration:
            return
        with suppress(av.FFmpegError):
            frames = [frame for frame in packet.decode() if isinstance(frame, av.AudioFrame)]
            for frame in frames:
                channel_names(frame.layout)
            decoded = sum(frame.samples * MICROSECONDS // frame.sample_rate for frame in frames)
            if decoded:
                self._spans[-1].end = begin + min(duration, decoded)

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


def _microseconds(ticks: int, time_base: Fraction) -> int:
    """Whole microseconds, rounded toward zero."""
    whole = abs(ticks) * MICROSECONDS * time_base.numerator // time_base.denominator
    return whole if ticks >= 0 else -whole
