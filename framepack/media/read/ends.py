"""When the packets of each stream of a file end."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.stream import Stream


@dataclass(slots=True)
class StreamEnds:
    """Collects the latest end of a packet for each stream, in the stream's own unit."""

    _ends: dict[int, tuple[int, Fraction]] = field(default_factory=dict)

    def add(self, packet: Packet[Stream], end: int) -> None:
        """Add a packet that ends at a timestamp."""
        latest = self._ends.get(packet.stream_index)
        if latest is None or end > latest[0]:
            self._ends[packet.stream_index] = end, packet.time_base

    def seconds(self, without: int | None = None) -> Fraction:
        """The latest end of all streams, at least 0.

        Args:
            without: Index of a stream that does not count.
        """
        ends = (ticks * unit for stream, (ticks, unit) in self._ends.items() if stream != without)
        return max([Fraction(0), *ends])
