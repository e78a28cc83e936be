"""Decode a video stream as far as possible, and count what cannot be decoded."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from framepack.errors import InvalidMedia
from framepack.media.containers import open_input, read_packets
from framepack.media.read.normalize import Normalizer

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from framepack.media.read.probe import VideoInfo

_GROWTH: Final = 4  # a stream may change its size midway, up to this many times the pixels
_SMALL_FRAME: Final = 1920 * 1088  # and up to this many always


@dataclass(slots=True)
class Decoder:
    """Decodes a file's video stream once.

    Attributes:
        path: The file.
        info: The result of ``probe`` for it.
        decoded: Number of frames decoded so far.
        damaged: Number of those in which the decoder concealed errors.
        failed: Number of packets that could not be read or decoded.
    """

    path: Path
    info: VideoInfo
    decoded: int = 0
    damaged: int = 0
    failed: int = 0

    def frames(self, begin: int | None = None) -> Generator[av.VideoFrame]:
        """Yield the frames, normalized, in presentation order. Close the generator to stop early.

        Args:
            begin: Timestamp of a frame; earlier frames may be skipped as far as the file can be sought.

        Raises:
            InvalidMedia: The file cannot be opened.
        """
        latest = None
        for frame in self._decode_from(begin):
            latest = frame.pts
            yield self._count(frame)
        end = self.info.timeline.latest
        if end is None or (latest is not None and latest >= end):
            return
        # With frame threading, an error near the end of the file loses the frames of all threads: decode them again.
        for frame in self._decode_file(latest, threaded=False):
            if latest is None or (frame.pts is not None and frame.pts > latest):
                yield self._count(frame)

    def describe_damage(self) -> Iterator[str]:
        """After decoding, describe what was lost, in sentences for the client."""
        expected = self.info.frame_count
        lost = max(0, expected - self.decoded)
        if lost and (self.failed or self.damaged):  # some codecs have frames that are never shown
            yield f"{lost} of {expected} frames could not be read; the nearest readable frame was repeated."
        elif self.failed:
            yield "Some of the video's data could not be read."
        if self.damaged:
            yield f"{self.damaged} of {expected} frames may show damage."

    def _count(self, frame: av.VideoFrame) -> av.VideoFrame:
        self.decoded += 1
        self.damaged += frame.is_corrupt
        return frame

    def _decode_from(self, begin: int | None) -> Iterator[av.VideoFrame]:
        """Decode from a frame at or before the timestamp ``begin``."""
        if begin is None or begin <= (self.info.timeline.start or 0):
            yield from self._decode_file(None, threaded=True)
            return
        # Some indexes list decoding times, which are earlier than presentation times: hence one second of margin.
        frames = self._decode_file(begin - int(1 / self.info.timeline.time_base), threaded=True)
        first = next(frames, None)
        if first is None or first.pts is None or first.pts > begin:  # the file has no usable index
            frames = self._decode_file(None, threaded=True)
        else:
            yield first
        yield from frames

    def _decode_file(self, begin: int | None, *, threaded: bool) -> Iterator[av.VideoFrame]:
        """Open the file and decode it, from the key frame at or before the timestamp ``begin`` if given."""
        import av
        from av.codec.context import ThreadType
        from av.stream import Discard

        max_pixels = max(_GROWTH * self.info.coded_width * self.info.coded_height, _SMALL_FRAME)
        with open_input(self.path, max_pixels=max_pixels) as container:
            for other in container.streams:
                if other.index != self.info.stream:
                    other.discard = Discard.all
            stream = cast("VideoStream", container.streams[self.info.stream])
            stream.thread_type = ThreadType.AUTO if threaded else ThreadType.NONE
            stream.codec_context.options = {"max_pixels": str(max_pixels)}
            if begin is not None:
                with suppress(av.FFmpegError):
                    container.seek(begin, stream=stream)
            normalize = Normalizer(self.info)
            for packet in self._packets(container, stream):
                yield from self._decode_packet(packet, normalize)

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
        import av

        try:
            for packet in read_packets(container, stream):
                self.failed += packet.is_corrupt
                yield cast("Packet[VideoStream]", packet)
        except InvalidMedia:
            self.failed += 1
            flush = cast("Packet[VideoStream]", av.Packet())
            flush.stream = stream
            yield flush

    def _decode_packet(self, packet: Packet[VideoStream], normalize: Normalizer) -> list[av.VideoFrame]:
        import av

        try:
            return [normalize(frame) for frame in packet.decode()]
        except av.FFmpegError:
            self.failed += 1
            return []
