"""Interleaving of video and audio packets in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from framepack.media.audio.track import AudioTrack

Watch = Callable[[Iterable[Any], int | None], Iterator[Any]]
"""Called with packets and their number, yields the packets; reports progress meanwhile, and may raise to stop."""


def unwatched(packets: Iterable[Any], _total: int | None) -> Iterator[Any]:
    """A ``Watch`` that does nothing."""
    return iter(packets)


@dataclass(slots=True)
class Muxer:
    """Interleaves video and audio packets, so that neither has to be buffered for the other."""

    output: OutputContainer
    audio: AudioTrack | None

    def add(self, packets: Iterable[Packet[VideoStream]]) -> None:
        """Write video packets, and the audio up to them."""
        for packet in packets:
            time = (packet.dts or 0) * packet.time_base
            self.output.mux_one(packet)
            self.finish(time)

    def finish(self, seconds: Fraction) -> None:
        """Write the audio up to ``seconds``."""
        if self.audio is not None:
            self.audio.mux_until(seconds)
