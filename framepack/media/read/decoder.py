"""Decode everything of a video stream that can be decoded, and keep count of what cannot."""

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
    """One reading of a file's video stream.

    Attributes:
        path: The file.
        info: What ``probe`` said of it.
        read: Frames decoded so far.
        damaged: Those of them that the decoder had to patch.
        refused: Pieces of data that gave no frame.
    """

    path: Path
    info: VideoInfo
    read: int = 0
    damaged: int = 0
    refused: int = 0

    def frames(self, begin: int | None = None) -> Generator[av.VideoFrame]:
        """Yield the frames, normalized, in the order of showing. Close it to stop early.

        Args:
            begin: Timestamp of a frame; those before may be left out as far as the file allows it.

        Raises:
            InvalidMedia: The file cannot be opened.
        """
        latest = None
        for frame in self._decoded_from(begin):
            latest = frame.pts
            yield self._counted(frame)
        end = self.info.timeline.latest
        if end is None or (latest is not None and latest >= end):
            return
        # Threads that decode one frame each give up together when, at the end of a file, one of them meets damage.
        for frame in self._decoded(latest, threaded=False):
            if latest is None or (frame.pts is not None and frame.pts > latest):
                yield self._counted(frame)

    def sentences(self) -> Iterator[str]:
        """Say, after reading, what was lost."""
        expected = self.info.frame_count
        lost = max(0, expected - self.read)
        if lost and (self.refused or self.damaged):  # some codecs carry frames that are never shown
            yield f"{lost} of {expected} frames could not be read; neighbors stay on screen instead."
        elif self.refused:
            yield "Some of the video's data could not be read."
        if self.damaged:
            yield f"{self.damaged} of {expected} frames may show damage."

    def _counted(self, frame: av.VideoFrame) -> av.VideoFrame:
        self.read += 1
        self.damaged += frame.is_corrupt
        return frame

    def _decoded_from(self, begin: int | None) -> Iterator[av.VideoFrame]:
        """Decode from a frame at or before the timestamp ``begin`` on."""
        if begin is None or begin <= (self.info.timeline.start or 0):
            yield from self._decoded(None, threaded=True)
            return
        # Indexes may list decoding times, which are earlier than those of showing: hence the second.
        frames = self._decoded(begin - int(1 / self.info.timeline.time_base), threaded=True)
        first = next(frames, None)
        if first is None or first.pts is None or first.pts > begin:  # the file has no usable index
            frames = self._decoded(None, threaded=True)
        else:
            yield first
        yield from frames

    def _decoded(self, begin: int | None, *, threaded: bool) -> Iterator[av.VideoFrame]:
        """Open the file and decode it, from the key frame at or before the timestamp ``begin`` on if there is one."""
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
                yield from self._decode(packet, normalize)

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
        import av

        try:
            for packet in read_packets(container, stream):
                self.refused += packet.is_corrupt
                yield cast("Packet[VideoStream]", packet)
        except InvalidMedia:
            self.refused += 1
            flush = cast("Packet[VideoStream]", av.Packet())
            flush.stream = stream
            yield flush

    def _decode(self, packet: Packet[VideoStream], normalize: Normalizer) -> list[av.VideoFrame]:
        import av

        try:
            return [normalize(frame) for frame in packet.decode()]
        except av.FFmpegError:
            self.refused += 1
            return []
