"""Clocks that start anew, wrap or jump midway through a file, and the shifts that make one clock of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from framepack.units import MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from av.packet import Packet

    from framepack.media.clip import ClockJumps

_BACK: Final = MICROSECONDS // 10  # times that go back by more have started anew
_AHEAD: Final = 10 * MICROSECONDS  # FFmpeg's tools have the same limit
_NEXT: Final = MICROSECONDS  # packets are closer than this
_JUMPING: Final = ("mpegts", "mpeg", "flv")  # formats for streaming, in which a clock may also jump ahead


@dataclass(slots=True)
class _Stream:
    """The clock of one stream.

    Attributes:
        part: The part that its latest packet belongs to.
        count: Number of its packets so far.
        latest: Decoding time of the latest one that has one, in microseconds.
        untimed: How long those after it last.
        jumps: Each jump as the number of the first packet after it and the number of its part.
        before: If the latest packet with a time has jumped, the part and the time of the one before.
        is_early: Whether it begins long before the latest packet of its part: perhaps it belongs to the next one.
        position: File position of its first packet; None if unknown.
    """

    part: int
    count: int = 0
    latest: int | None = None
    untimed: int = 0
    jumps: list[tuple[int, int]] = field(default_factory=list)
    before: tuple[int, int] | None = None
    is_early: bool = False
    position: int | None = None


@dataclass(slots=True)
class _Part:
    """The packets between two jumps: the extent of the streams beside the video, and when the part was noticed."""

    noticed: int
    latest: int
    begin: int | None = None
    end: int | None = None

    @property
    def extent(self) -> tuple[Fraction, Fraction]:
        """Begin and end in seconds."""
        begin, end = self.begin, self.end
        if begin is None or end is None:
            begin, end = self.noticed, self.latest
        return Fraction(begin, MICROSECONDS), Fraction(end, MICROSECONDS)


@dataclass(slots=True)
class Clocks:
    """Divides a file into parts with one clock each, by the decoding times of its packets.

    Attributes:
        container: FFmpeg's name of the container.
        video: Index of the video stream.
        wrong: Numbers of video packets whose times are wrong: alone among times that go on as before.
    """

    container: str
    video: int
    wrong: set[int] = field(default_factory=set)
    _streams: dict[int, _Stream] = field(default_factory=dict)
    _parts: list[_Part] = field(default_factory=list)

    @property
    def jumps(self) -> int:
        """Number of jumps."""
        return max(0, len(self._parts) - 1)

    def part(self, packet: Packet[Any]) -> int:
        """Count a packet with data, and return the number of the part that it belongs to."""
        index = packet.stream_index
        stream = self._streams.get(index)
        if stream is None:
            begun = [(0, self.jumps)] if self.jumps else []
            stream = self._streams[index] = _Stream(self.jumps, jumps=begun, position=packet.pos)
        stream.count += 1
        time_base = packet.time_base
        duration = _microseconds(packet.duration or 0, time_base)
        if packet.dts is None:
            stream.untimed += duration
        elif not packet.is_discard:  # frames before an edit begins are out of order
            self._follow(index, stream, _microseconds(packet.dts, time_base), duration, packet.pos)
        if index != self.video and packet.pts is not None and self._parts:
            part = self._parts[stream.part]
            begin = _microseconds(packet.pts, time_base)
            end = begin + duration
            part.begin = begin if part.begin is None else min(part.begin, begin)
            part.end = end if part.end is None else max(part.end, end)
        return stream.part

    def shifts(self, video: Sequence[tuple[Fraction, Fraction] | None]) -> list[Fraction]:
        """Seconds to add to the times of each part, so that its video follows that of the part before without a gap.

        Args:
            video: For each part the begin of its first and the end of its last frame, in seconds of its own clock;
                None if it has no video.
        """
        shifts: list[Fraction] = []
        end = Fraction(0)
        for part, extent in zip(self._parts, video, strict=True):
            begin, until = extent or part.extent
            shifts.append(end - begin if shifts else Fraction(0))
            end = until + shifts[-1]
        return shifts

    def jumps_of(self, stream: int, shifts: Sequence[Fraction]) -> ClockJumps:
        """The jumps of a stream, by the shifts of the parts."""
        known = self._streams.get(stream)
        return tuple((number, shifts[part]) for number, part in known.jumps) if known else ()

    def _follow(self, index: int, stream: _Stream, now: int, duration: int, position: int | None) -> None:
        """Move a stream's clock to the time of its next packet, which is at a position of the file."""
        if not self._parts:
            self._parts.append(_Part(now, now))
        part, latest, before = self._parts[stream.part], stream.latest, stream.before
        untimed, stream.untimed = stream.untimed, 0
        stream.latest, stream.before = now, None
        if latest is None:
            stream.is_early = now < part.latest - _NEXT
        if before is not None and latest is not None and self._goes_on(stream, before[1], latest, now, duration):
            self._undo(index, stream, before[0])
        elif latest is not None:
            is_ahead = self.container in _JUMPING and now > max(latest, part.latest) + _AHEAD
            stands_still = now <= latest and untimed > _BACK
            if is_ahead or stands_still or now < latest - _BACK:
                stream.before = stream.part, latest
                self._jump(stream, now, position)
        part = self._parts[stream.part]
        part.latest = max(part.latest, now)

    @staticmethod
    def _goes_on(stream: _Stream, before: int, jumped: int, now: int, duration: int) -> bool:
        """Whether the time after a jump goes on from the time before it, rather than from the one it jumped to."""
        if not 0 <= now - before <= _NEXT:
            return False
        between = stream.count - 1 - stream.jumps[-1][0]  # packets, the others of which have no times
        return between == 1 or abs(now - before - (between + 1) * duration) <= abs(now - jumped - between * duration)

    def _jump(self, stream: _Stream, now: int, position: int | None) -> None:
        """Begin a new part, or follow the stream that has begun one."""
        newest = self._parts[-1]
        if stream.part == self.jumps or abs(now - newest.noticed) > _AHEAD:
            self._parts.append(_Part(now, now))
            for other in self._streams.values():
                if _begins_later(other, now, position):
                    other.part, other.jumps = self.jumps, [(0, self.jumps)]
        stream.part = self.jumps
        stream.jumps.append((stream.count - 1, stream.part))

    def _undo(self, index: int, stream: _Stream, part: int) -> None:
        """Take a jump back: only one packet has a time of its own."""
        number, jumped = stream.jumps.pop()
        stream.part = part
        if index == self.video:
            self.wrong.update(range(number, stream.count - 1))
        if jumped == self.jumps and all(other.part < jumped for other in self._streams.values()):
            self._parts.pop()


def _begins_later(stream: _Stream, now: int, position: int | None) -> bool:
    """Whether a stream begins in the part that another has just begun: packets may be read in another order."""
    if position is not None and stream.position is not None and stream.position > position:
        return True
    return not stream.jumps and stream.is_early and stream.latest is not None and abs(stream.latest - now) <= _NEXT


def _microseconds(ticks: int, time_base: Fraction) -> int:
    return ticks * MICROSECONDS * time_base.numerator // time_base.denominator
