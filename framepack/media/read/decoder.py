"""Decode a video stream as far as possible, and count what cannot be decoded."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from framepack.errors import InvalidMedia
from framepack.media.clip import Marks
from framepack.media.containers import open_input, read_packets
from framepack.media.read.deinterlace import Deinterlacer
from framepack.media.read.frame_order import HIDDEN, MOST_REORDERED, Sequencer
from framepack.media.read.hidden import is_always_decoded, is_header
from framepack.media.read.marks import has_captions
from framepack.media.read.normalize import Normalizer
from framepack.media.read.pixel_aspect import PixelAspects
from framepack.media.read.webm_alpha import alpha_decoder
from framepack.processors import usable_threads

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

    from framepack.media.read.probe import VideoInfo

_WITHOUT_REFERENCES: Final = frozenset(
    {"mpeg4", "h263", "flv1", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "wmv1", "wmv2"}
)
"""Codecs whose decoders begin with any frame, gray where it is predicted from one before the beginning."""

_LOSING_ERRORS: Final = frozenset({"vp8"})
"""Codecs whose decoders give out a broken last frame as a whole one when each frame has a thread."""

_WITH_CAPTIONS: Final = frozenset({"h264", "hevc", "mpeg2video", "av1"})

_GROWTH: Final = 4  # a stream may change its size midway, up to this many times the pixels
_WAITING_BYTES: Final = 128_000_000
_LEAST_WAITING: Final = 4
_JUMP_PACKETS: Final = 4
_SMALL_FRAME: Final = 1920 * 1088  # and up to this many always


def _delay(frame: av.VideoFrame) -> int:
    """Number of frames of this size that may wait for another one, where decoding is not in order of presentation."""
    size_bytes = sum(plane.buffer_size for plane in frame.planes)
    return max(_LEAST_WAITING, min(MOST_REORDERED, _WAITING_BYTES // size_bytes))


@dataclass(frozen=True, slots=True)
class _Early:
    """A frame long before those that are needed; it is not normalized, which may take longer than decoding it."""

    pts: int | None
    frame: av.VideoFrame


@dataclass(slots=True)
class Decoder:
    """Decodes a file's video stream once.

    Attributes:
        path: The file.
        info: The result of ``probe`` for it.
        keep_alpha: Whether frames have alpha, instead of being put on black.
        marks: Where frames with closed captions are counted.
        decoded: Number of frames decoded so far.
        damaged: Number of those in which the decoder concealed errors, or which came before any key frame.
        failed: Number of packets that could not be read or decoded.
        first: Number of the first frame that could be decoded, in presentation order.
        follows_damage: Whether the first frame is predicted, perhaps by way of others, from one that is damaged.
        has_key_frame: Whether a key frame has been decoded, or the codec's decoder begins with one.
        found_transparent: Whether a frame had pixels that are not opaque.
        changes: Sentences about how frames were changed, each once.
    """

    path: Path
    info: VideoInfo
    keep_alpha: bool = False
    marks: Marks = field(default_factory=Marks)
    decoded: int = 0
    damaged: int = 0
    failed: int = 0
    first: int = 0
    has_key_frame: bool = False
    follows_damage: bool = False
    found_transparent: bool = False
    changes: dict[str, None] = field(default_factory=dict)
    _intact: dict[int, bool] = field(default_factory=dict)  # by number of packet
    _certain: set[int] = field(default_factory=set)  # numbers of packets whose frames can only be lost

    def frames(self, first: int = 0) -> Generator[tuple[int, av.VideoFrame]]:
        """Yield the frames, normalized, in presentation order, with their numbers in it. Close it to stop early.

        Args:
            first: Number of a frame; earlier ones are left out. If it is missing, the last one before it comes first.

        Raises:
            InvalidMedia: The file cannot be opened.
        """
        latest = -1
        for rank, frame in self._decode_file(first, threaded=True):
            if not self.decoded:
                self.first = rank
            latest = rank
            yield rank, self._count(frame)
        if latest >= self.info.frame_count - 1:
            return
        # With frame threading, an error near the end of the file loses the frames of all threads: decode them again.
        for rank, frame in self._decode_file(latest + 1, threaded=False):
            if rank > latest:
                yield rank, self._count(frame)

    def describe_damage(self) -> Iterator[str]:
        """After decoding, describe what was lost, in sentences for the client."""
        expected = self.info.frame_count
        lost = max(0, expected - self.decoded)
        # Some codecs have packets that only say that nothing changes: where nothing failed, that is no loss.
        if lost and (self.failed or self.damaged or self.first or self._certain - self._intact.keys()):
            yield f"{lost} of {expected} frames could not be read; the nearest readable frame was repeated."
        elif self.failed:
            yield "Some of the video's data could not be read."
        damaged = max(self.damaged, self._after_damage() if self.failed or self.damaged else 0)
        if damaged:
            yield f"{damaged} of {expected} frames may show damage."

    def _count(self, frame: av.VideoFrame) -> av.VideoFrame:
        if not self.decoded and frame.key_frame:
            self.follows_damage = False
        self.decoded += 1
        self.has_key_frame |= self._is_key(frame)
        is_damaged = frame.is_corrupt or not self.has_key_frame
        self.damaged += is_damaged
        if frame.pts is not None:
            self._intact[frame.pts] = not is_damaged
        return frame

    def _count_early(self, frame: av.VideoFrame) -> None:
        """Note what a frame that is left out means for those that are predicted from it."""
        self.has_key_frame |= self._is_key(frame)
        self.follows_damage = frame.is_corrupt or (self.follows_damage and not frame.key_frame)

    def _is_key(self, frame: av.VideoFrame) -> bool:
        """Whether decoding may begin with a frame."""
        return bool(frame.key_frame) or self.info.codec not in _WITHOUT_REFERENCES

    def _after_damage(self) -> int:
        """Number of decoded frames from one that is damaged or lost up to the next key frame.

        Decoders predict frames from the ones before, and do not say that these were damaged.
        """
        keys, count, is_suspect = set(self.info.order.key_packets), 0, False
        for packet, rank in enumerate(self.info.order.ranks):
            is_suspect &= packet not in keys
            is_suspect |= rank != HIDDEN and not self._intact.get(packet, False)
            count += is_suspect and packet in self._intact
        return count

    def _decode_file(self, first: int, *, threaded: bool) -> Iterator[tuple[int, av.VideoFrame]]:
        """Open the file, decode it from a key frame before frame ``first``, and leave out the frames before this."""
        from av.codec.context import ThreadType
        from av.stream import Discard

        max_pixels = max(_GROWTH * self.info.coded_width * self.info.coded_height, _SMALL_FRAME)
        ignores_edits = self.info.edited is not None
        with open_input(self.path, max_pixels=max_pixels, ignores_edits=ignores_edits) as container:
            for other in container.streams:
                if other.index != self.info.stream:
                    other.discard = Discard.all
            stream = cast("VideoStream", container.streams[self.info.stream])
            kind = ThreadType.SLICE if self.info.codec in _LOSING_ERRORS else ThreadType.AUTO
            stream.thread_type = kind if threaded else ThreadType.NONE
            stream.codec_context.thread_count = usable_threads()
            stream.codec_context.options = {"max_pixels": str(max_pixels)}
            decoder = _alpha_decoder(stream) or stream.codec_context
            deinterlacer = Deinterlacer(self._note, self.info.parity)
            aspects = PixelAspects(stream, decoder)
            normalize = Normalizer(self.info, self._note, aspects=aspects, keep_alpha=self.keep_alpha)
            order, begin = self.info.order, self.info.order.packet_before(first)
            sequence: Sequencer[av.VideoFrame | _Early] = Sequencer(order, order.rank(begin) or 0)

            def ordered() -> Iterator[tuple[int, av.VideoFrame | _Early]]:
                packets = self._packets(container, stream, begin)
                frames = self._deinterlaced(packets, decoder, deinterlacer)
                for frame in self._normalized(frames, normalize, first):
                    if stream.codec_context.reorder_depth and sequence.delay == 1:
                        sequence.delay = _delay(frame.frame if isinstance(frame, _Early) else frame)
                    yield from sequence.add(frame.pts, frame)
                yield from sequence.flush()

            yield from self._from_first(ordered(), normalize, first)
            for sentence in deinterlacer.describe_combs():
                self._note(sentence)

    def _from_first(
        self, ordered: Iterator[tuple[int, av.VideoFrame | _Early]], normalize: Normalizer, first: int
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        """Leave out the frames before ``first``, except the last of them if ``first`` is missing."""
        earlier: list[tuple[int, av.VideoFrame | _Early]] = []
        for rank, frame in ordered:
            if rank < first:
                earlier = [(rank, frame)]
                self._count_early(frame.frame if isinstance(frame, _Early) else frame)
                continue
            yield from self._completed([*(earlier if rank > first else ()), (rank, frame)], normalize)
            earlier = []
        yield from self._completed(earlier, normalize)

    def _completed(
        self, ordered: Iterable[tuple[int, av.VideoFrame | _Early]], normalize: Normalizer
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        """Normalize the frames that were thought not to be needed."""
        for rank, frame in ordered:
            if isinstance(frame, _Early):
                yield from ((rank, each) for each in self._normalize([frame.frame], normalize))
            else:
                yield rank, frame

    def _packets(self, container: InputContainer, stream: VideoStream, begin: int) -> Iterator[Packet[VideoStream]]:
        """The packets from number ``begin`` on, with their numbers as timestamps, and an empty one at the end."""
        import av

        number, unmarked = 0, self._wrongly_marked()
        try:
            for packet in read_packets(container, stream):
                if packet.size:
                    packet = _unmarked(packet) if number == self.info.order.held else packet  # noqa: PLW2901
                    self._note_type(packet, number)
                    packet.pts = packet.dts = number
                    number += 1
                if number <= begin:
                    continue
                if self.info.codec in _WITH_CAPTIONS and self.info.order.rank(number - 1) is not None:
                    self.marks.captioned += has_captions(bytes(packet))
                if packet.is_corrupt and number - 1 not in unmarked:
                    self.failed += 1
                yield cast("Packet[VideoStream]", packet)
        except InvalidMedia:
            self.failed += 1
            flush = cast("Packet[VideoStream]", av.Packet())
            flush.stream = stream
            yield flush

    def _note_type(self, packet: Packet[Any], number: int) -> None:
        """Note a packet whose frame can only be lost, or a key frame from which only later frames are shown."""
        if packet.is_discard:
            self.has_key_frame |= packet.is_keyframe
        elif self.info.order.rank(number) is not None and is_always_decoded(self.info.codec, packet):
            self._certain.add(number)

    def _wrongly_marked(self) -> set[int]:
        """Packets that the demuxer may mark as damaged although nothing is missing.

        Where two transport streams meet, continuity counters start anew, and one of the packets before is marked.
        That is where the clock jumps or, in segments of one stream, before a key frame. If something is missing, the
        decoder finds it.
        """
        order, keys = self.info.order, set(self.info.order.key_packets)
        at_jumps = {jump - before for jump in order.clock_jumps for before in range(_JUMP_PACKETS)}
        return at_jumps | {key - before for key in keys for before in range(1, _JUMP_PACKETS)} - keys

    def _decode_packet(self, packet: Packet[VideoStream], decoder: VideoCodecContext) -> list[av.VideoFrame]:
        import av

        if not isinstance(packet.stream, av.VideoStream):  # a damaged stream changes its kind midway
            self.failed += 1
            return []
        if packet.size and is_header(self.info.codec, packet):
            return []
        try:
            return list(decoder.decode(packet))
        except av.FFmpegError:
            self.failed += 1
            return []

    def _deinterlaced(
        self, packets: Iterator[Packet[VideoStream]], decoder: VideoCodecContext, deinterlacer: Deinterlacer
    ) -> Iterator[av.VideoFrame]:
        """Decode packets, and deinterlace the frames that are interlaced."""
        for packet in packets:
            for frame in self._decode_packet(packet, decoder):
                yield from self._guarded(deinterlacer.add(frame))
        yield from self._guarded(deinterlacer.flush())

    def _normalized(
        self, frames: Iterator[av.VideoFrame], normalize: Normalizer, first: int
    ) -> Iterator[av.VideoFrame | _Early]:
        """Normalize frames that are not long before ``first``; see `FrameOrder.packet_before`."""
        for frame in frames:
            if (rank := self.info.order.rank(frame.pts)) is not None and rank < first - MOST_REORDERED:
                normalize.note_marks(frame)
                yield _Early(frame.pts, frame)
            else:
                yield from self._normalize([frame], normalize)

    def _normalize(self, frames: Iterable[av.VideoFrame], normalize: Normalizer) -> Iterator[av.VideoFrame]:
        import av

        for frame in frames:
            try:
                normalized = normalize(frame)
                self.found_transparent |= normalize.found_transparent
                yield normalized
            except av.FFmpegError:
                self.failed += 1

    def _guarded(self, frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """Frames of the deinterlacer, whose filters may refuse damaged ones."""
        import av

        try:
            yield from frames
        except av.FFmpegError:
            self.failed += 1

    def _note(self, sentence: str) -> None:
        self.changes[sentence] = None


def _unmarked(packet: Packet[Any]) -> Packet[Any]:
    """The packet without the mark that its frame is to be left out."""
    import av

    copy = av.Packet(bytes(packet))
    copy.stream, copy.is_keyframe = packet.stream, packet.is_keyframe
    return copy


def _alpha_decoder(stream: VideoStream) -> VideoCodecContext | None:
    """A decoder that knows the alpha channel of a WebM stream; None if there is no such channel."""
    import av

    name = alpha_decoder(stream)
    if name is None:
        return None
    decoder = cast("VideoCodecContext", av.CodecContext.create(name, "r"))
    decoder.options = stream.codec_context.options
    return decoder
