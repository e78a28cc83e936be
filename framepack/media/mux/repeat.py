"""Repeat encoded video without re-encoding: its packets are written again with later timestamps."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from framepack.errors import FramepackError, InvalidMedia
from framepack.media.audio.track import audio_track
from framepack.media.containers import open_input, open_output, read_packets
from framepack.media.mux.h264 import changes_parameters, is_b_frame, is_idr
from framepack.media.mux.muxer import Muxer, Watch, unwatched

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from framepack.media.clip import Clip
    from framepack.media.read.probe import VideoInfo

_COPIED_FORMATS: Final = ("yuv420p", "yuvj420p")

PacketIdentity = tuple[bytes, int | None, int | None]
"""The data, presentation time and decoding time of a packet."""


@dataclass(frozen=True, slots=True)
class EncodedVideo:
    """Encoded video at a constant frame rate with one frame in every packet; the first is a key frame.

    Attributes:
        path: The file.
        stream: Index of the video stream.
        fps: Frame rate.
        frame_numbers: For each packet in file order, the number of its frame in presentation order.
    """

    path: Path
    stream: int
    fps: Fraction
    frame_numbers: array[int]

    @property
    def delay(self) -> int:
        """By how many frames decoding is ahead of presentation."""
        return max(index - number for index, number in enumerate(self.frame_numbers))

    def packets(self, repeats: int) -> Iterator[Packet[VideoStream]]:
        """Yield the packets ``repeats`` times in a row, with timestamps in frames."""
        delay, length = self.delay, len(self.frame_numbers)
        for repetition, packets in enumerate(self._runs(repeats)):
            for index, (packet, number) in enumerate(zip(packets, self.frame_numbers, strict=True)):
                begin = repetition * length
                packet.time_base = 1 / self.fps
                packet.pts, packet.dts, packet.duration = begin + number, begin + index - delay, 1
                yield packet

    def _runs(self, repeats: int) -> Iterator[Iterator[Packet[VideoStream]]]:
        """Yield the packets of the file ``repeats`` times; each time they have to be read to their end."""
        with ExitStack() as opened:
            container = opened.enter_context(open_input(self.path, without_video=True))
            packets = _packets(container, self.stream)
            first = next(packets)
            known = _identity(first)
            yield chain([first], packets)
            for _ in range(1, repeats):
                run = _rewound(container, self.stream, known)
                if run is None:  # damaged files cannot always be rewound
                    opened.close()
                    container = opened.enter_context(open_input(self.path, without_video=True))
                    run = _packets(container, self.stream)
                yield run


def read_encoded_video(path: Path, stream: int, fps: Fraction) -> EncodedVideo | None:
    """Read a file's packets; None if they do not meet the conditions of ``EncodedVideo``.

    Raises:
        InvalidMedia: The file cannot be read.
    """
    times = array("q")
    with open_input(path, without_video=True) as container:
        time_base = container.streams[stream].time_base or Fraction(1)
        for packet in _packets(container, stream):
            if packet.pts is None or packet.is_corrupt or packet.is_discard or packet.has_sidedata("new_extradata"):
                return None
            if not times and not packet.is_keyframe:
                return None
            times.append(packet.pts)
    first = min(times, default=0)
    frame_numbers = array("q", (round((time - first) * time_base * fps) for time in times))
    return (
        EncodedVideo(path, stream, fps, frame_numbers)
        if sorted(frame_numbers) == list(range(len(frame_numbers))) and frame_numbers
        else None
    )


def copyable_video(path: Path, info: VideoInfo) -> EncodedVideo | None:
    """The video of an MP4 file, or None if it cannot be repeated without re-encoding.

    It has to be undamaged, upright H.264 in 4:2:0 at a constant frame rate, beginning with an IDR frame, all with the
    parameters in the header.

    Raises:
        InvalidMedia: The file cannot be read.
    """
    is_supported = "mp4" in info.container and info.codec == "h264" and info.pixel_format in _COPIED_FORMATS
    if not is_supported or info.upright or info.vfr or info.warnings or info.frame_count != info.length:
        return None
    if not _are_copyable(path, info.stream):
        return None
    found = read_encoded_video(path, info.stream, info.fps)
    if found is None or found.frame_numbers[0] != 0 or len(found.frame_numbers) != info.length:
        return None
    return found if _starts_with_idr(path, info.stream) else None


def write_repeated(
    video: EncodedVideo,
    path: Path,
    clip: Clip,
    warn: Callable[[str], None],
    watch: Watch = unwatched,
) -> int:
    """Write encoded video ``clip.repeats`` times in a row, with the clip's audio, into the file ``path``.

    Args:
        video: The video, in a codec of the clip's format.
        path: The file, replaced if it exists and removed on any failure.
        clip: A clip as long as ``video``, which gives the format, the audio and the number of repeats.
        warn: Called with sentences about audio that was lost.
        watch: Reports progress; may raise to stop.

    Returns:
        The number of frames in the file.

    Raises:
        DiskFull: The disk is full.
    """
    total = len(video.frame_numbers) * clip.repeats
    with (
        open_input(video.path) as container,
        open_output(path, clip.encoding.format, metadata=clip.metadata) as output,
    ):
        stream = output.add_stream_from_template(cast("VideoStream", container.streams[video.stream]), opaque=True)
        stream.time_base = 1 / video.fps
        with audio_track(clip, output, path.parent, warn) as audio:
            muxer = Muxer(output, audio)
            for packet in watch(video.packets(clip.repeats), total):
                packet.stream = stream
                muxer.add([packet])
            muxer.finish(total / video.fps)
    return total


def write_file_repeated(video: Path, path: Path, clip: Clip, warn: Callable[[str], None]) -> int:
    """``write_repeated`` for a file written by this package."""
    found = read_encoded_video(video, 0, clip.fps)
    if found is None:
        raise FramepackError("A written file cannot be repeated.")
    return write_repeated(found, path, clip, warn)


def _rewound(container: InputContainer, stream: int, known: PacketIdentity) -> Iterator[Packet[VideoStream]] | None:
    """The packets of a file that was read before, from the first one on; None if rewinding does not lead there."""
    import av

    try:
        container.seek(known[2] or 0, stream=container.streams[stream])
        packets = _packets(container, stream)
        first = next(packets, None)
    except (av.FFmpegError, InvalidMedia):
        return None
    return chain([first], packets) if first is not None and _identity(first) == known else None


def _identity(packet: Packet[VideoStream]) -> PacketIdentity:
    return bytes(packet), packet.pts, packet.dts


def _packets(container: InputContainer, stream: int) -> Iterator[Packet[VideoStream]]:
    for packet in read_packets(container, container.streams[stream]):
        if packet.size:
            yield cast("Packet[VideoStream]", packet)


def _are_copyable(path: Path, stream: int) -> bool:
    """Whether the packets of an H.264 file can be decoded again behind the last one, and say when they are shown.

    Their parameters have to be those in the header. B-frames have to be shown before frames that are decoded earlier;
    otherwise the presentation times are decoding times, as some muxers write them.
    """
    latest: int | None = None
    with open_input(path, without_video=True) as container:
        for packet in _packets(container, stream):
            if packet.pts is None or (latest is not None and packet.pts > latest and is_b_frame(packet)):
                return False
            if changes_parameters(packet):
                return False
            latest = packet.pts if latest is None else max(latest, packet.pts)
    return True


def _starts_with_idr(path: Path, stream: int) -> bool:
    """Whether the first packet holds an IDR frame."""
    with open_input(path, without_video=True) as container:
        packet = next(_packets(container, stream), None)
        return packet is not None and is_idr(packet)
