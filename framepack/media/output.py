"""A file under construction: complete in the end or not there at all, pictures and sound side by side in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from framepack.media.scratch import disk_errors

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from framepack.media.audio import SoundTrack
    from framepack.media.clip import Format

_OPTIONS: Final[dict[str, dict[str, str]]] = {
    "mp4": {"movflags": "+faststart"},  # the index first: a player begins before the file has fully arrived
    "webm": {"cues_to_front": "1"},
    "gif": {"loop": "0"},  # for ever
    "matroska": {},
}


@contextmanager
def open_output(path: Path, format_name: Format | Literal["matroska"]) -> Iterator[OutputContainer]:
    """Create the file ``path``, replaced if it exists, removed on any failure.

    Raises:
        DiskFull: There is no room for the file.
    """
    import av

    with disk_errors():
        container = av.open(f"file:{path}", "w", format=format_name, container_options=_OPTIONS[format_name])
        try:
            yield container
            container.close()
        except BaseException:
            path.unlink(missing_ok=True)  # before closing, which would take the time to finish the file
            with suppress(av.FFmpegError):
                container.close()
            raise


@dataclass(slots=True)
class Muxer:
    """Interleaves pictures and sound, so that neither waits in memory for the other."""

    output: OutputContainer
    sound: SoundTrack | None

    def add(self, packets: Iterable[Packet[VideoStream]]) -> None:
        """Write packets of the pictures, and the sound up to them."""
        for packet in packets:
            time = (packet.dts or 0) * packet.time_base
            self.output.mux_one(packet)
            self.finish(time)

    def finish(self, seconds: Fraction) -> None:
        """Write the sound up to ``seconds``."""
        if self.sound is not None:
            self.sound.mux_until(seconds)
