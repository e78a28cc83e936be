"""Show coded video several times without coding it again: its packets are written with later times."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from framepack.errors import FramepackError
from framepack.media.audio.track import audio_track
from framepack.media.containers import open_input, open_output, read_packets
from framepack.media.mux.h264 import starts_anew
from framepack.media.mux.muxer import Muxer

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from framepack.media.clip import Clip
    from framepack.media.read.probe import VideoInfo

Packets = Iterable["Packet[VideoStream]"]

_COPIED_FORMATS: Final = ("yuv420p", "yuvj420p")


@dataclass(frozen=True, slots=True)
class Coded:
    """Coded video of which every packet is one frame at a constant rate, and whose first needs no other.

    Attributes:
        path: The file.
        stream: Index of its stream.
        fps: Frames per second.
        slots: For each packet in the order of the file, the number of its frame in the order of showing.
    """

    path: Path
    stream: int
    fps: Fraction
    slots: array[int]

    @property
    def delay(self) -> int:
        """By how many frames decoding runs ahead of showing."""
        return max(index - slot for index, slot in enumerate(self.slots))

    def packets(self, container: InputContainer, plays: int) -> Iterator[Packet[VideoStream]]:
        """The packets, timed in frames, ``plays`` times in a row."""
        delay, length = self.delay, len(self.slots)
        for play in range(plays):
            container.seek(0)
            packets = _packets(container, self.stream)
            for index, (packet, slot) in enumerate(zip(packets, self.slots, strict=True)):
                packet.time_base = 1 / self.fps
                packet.pts, packet.dts, packet.duration = slot + play * length, index - delay + play * length, 1
                yield packet


def coded(path: Path, stream: int, fps: Fraction) -> Coded | None:
    """Look at a file's packets; None if they are not what ``Coded`` promises.

    Raises:
        InvalidMedia: The file cannot be read.
    """
    times = array("q")
    with open_input(path) as container:
        time_base = container.streams[stream].time_base or Fraction(1)
        for packet in _packets(container, stream):
            if packet.pts is None or packet.is_corrupt or packet.is_discard or packet.has_sidedata("new_extradata"):
                return None
            if not times and not packet.is_keyframe:
                return None
            times.append(packet.pts)
    first = min(times, default=0)
    slots = array("q", (round((time - first) * time_base * fps) for time in times))
    return Coded(path, stream, fps, slots) if sorted(slots) == list(range(len(slots))) and slots else None


def copyable(path: Path, info: VideoInfo) -> Coded | None:
    """The video of an MP4 file if it can be repeated as it is: H.264 that plays anywhere, whole, upright, steady.

    Raises:
        InvalidMedia: The file cannot be read.
    """
    fits = "mp4" in info.container and info.codec == "h264" and info.pixel_format in _COPIED_FORMATS
    if not fits or info.upright or info.vfr or info.warnings or info.frame_count != info.length:
        return None
    found = coded(path, info.stream, info.fps)
    if found is None or found.slots[0] != 0 or len(found.slots) != info.length:
        return None
    return found if _begins_anew(path, info.stream) else None


def repeat(
    unit: Coded,
    path: Path,
    clip: Clip,
    warn: Callable[[str], None],
    watch: Callable[[Packets, int], Packets] = lambda packets, _total: packets,
) -> int:
    """Write coded video ``clip.repeats`` times in a row, with the clip's audio, into the file ``path``.

    Args:
        unit: The video, in a codec of the clip's format.
        path: The file, replaced if it exists. On any failure it is removed.
        clip: Says the format, the audio and the repeats; as long as ``unit``.
        warn: Is told what of the audio was lost.
        watch: Is given all packets and their number; passes them on.

    Returns:
        The number of frames in the file.

    Raises:
        DiskFull: There is no room for the file.
    """
    total = len(unit.slots) * clip.repeats
    with open_input(unit.path) as container, open_output(path, clip.encoding.format) as output:
        stream = output.add_stream_from_template(cast("VideoStream", container.streams[unit.stream]), opaque=True)
        stream.time_base = 1 / unit.fps
        with audio_track(clip, output, path.parent, warn) as audio:
            muxer = Muxer(output, audio)
            for packet in watch(unit.packets(container, clip.repeats), total):
                packet.stream = stream
                muxer.add([packet])
            muxer.finish(total / unit.fps)
    return total


def repeat_file(unit: Path, path: Path, clip: Clip, warn: Callable[[str], None]) -> int:
    """``repeat`` for a file that this package has just written."""
    found = coded(unit, 0, clip.fps)
    if found is None:
        raise FramepackError("A written file cannot be repeated.")
    return repeat(found, path, clip, warn)


def _packets(container: InputContainer, stream: int) -> Iterator[Packet[VideoStream]]:
    for packet in read_packets(container, container.streams[stream]):
        if packet.size:
            yield cast("Packet[VideoStream]", packet)


def _begins_anew(path: Path, stream: int) -> bool:
    """Whether the first packet holds an H.264 frame that lets a decoder forget all others."""
    with open_input(path) as container:
        packet = next(_packets(container, stream), None)
        return packet is not None and starts_anew(packet)
