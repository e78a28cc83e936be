"""A lossless cache of frames on disk: computed once, read in any order, one in memory at a time."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from framepack.closing import closing
from framepack.files.scratch import disk_errors, require_free, scratch_file
from framepack.media.clip import HostFrame
from framepack.media.frames.arrays import samples_of
from framepack.media.frames.colors import tag
from framepack.media.frames.yuv420 import pad_frame

if TYPE_CHECKING:
    import av
    from av.video.codeccontext import VideoCodecContext

    from framepack.media.clip import Clip, Frame
    from framepack.media.frames.arrays import Samples

_CODEC: Final = "ffvhuff"  # eight times as fast as FFV1 here, and files only a third larger
# FFmpeg's encoder rejects odd sizes, and its decoder 4:2:2 with a width that is not a multiple of four.
_ALIGNMENT: Final = 4
_MIN_SIDE: Final = 32  # with smaller frames the encoder writes beyond its buffer
_TIME_BASE: Final = Fraction(1, 1000)  # arbitrary
_MAX_PLAIN_BYTES: Final = 256_000_000  # coding takes ten times as long as writing and reading, if it is not the disk
_PIXEL_BYTES: Final = 1.5  # upper estimate; natural images in 8-bit 4:2:0 take half of it


@dataclass(slots=True)
class FrameCache:
    """Frames of one size and format, each independent of the others: first ones as they are, the rest encoded.

    A frame that is appended several times in a row as one object is stored once, and read in order it is one object
    again.
    """

    _file: IO[bytes]
    _clip: Clip
    _ends: array[int] = field(default_factory=lambda: array("q", [0]))
    _numbers: array[int] = field(default_factory=lambda: array("q"))
    _plain: int = 0
    _format: str = ""
    _latest: Frame | None = None
    _encoder: VideoCodecContext | None = None
    _decoder: VideoCodecContext | None = None
    _read: tuple[int, HostFrame] | None = None

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._numbers)

    def append(self, frame: Frame) -> None:
        """Store a frame.

        Raises:
            DiskFull: The disk is full.
        """
        if frame is not self._latest:
            image = frame.on_host()
            size_bytes = sum(samples.nbytes for samples in _planes(image))
            if self._plain == len(self._ends) - 1 and self._ends[-1] + size_bytes <= _MAX_PLAIN_BYTES:
                data = b"".join(samples.tobytes() for samples in _planes(image))
                self._plain, self._format = self._plain + 1, image.format.name
            else:
                data = self._encoded(image)
            with disk_errors():
                self._file.seek(0, 2)
                self._file.write(data)
                self._file.flush()
            self._ends.append(self._ends[-1] + len(data))
            self._latest = frame
        self._numbers.append(len(self._ends) - 2)

    def __getitem__(self, index: int) -> HostFrame:
        """Frame ``index``, unchanged, with the clip's color tags."""
        number = self._numbers[index]
        if self._read is not None and self._read[0] == number:
            return self._read[1]
        self._file.seek(self._ends[number])
        data = self._file.read(self._ends[number + 1] - self._ends[number])
        image = self._plain_frame(data) if number < self._plain else self._decoded(data)
        tag(image, self._clip.colors)
        frame = HostFrame(image)
        self._read = (number, frame)
        return frame

    def _plain_frame(self, data: bytes) -> av.VideoFrame:
        import av
        import numpy as np

        frame = av.VideoFrame(self._clip.width, self._clip.height, self._format)
        begin = 0
        for samples in _planes(frame):
            stored = np.frombuffer(data, samples.dtype, samples.size, begin)
            samples[:] = stored.reshape(samples.shape)
            begin += stored.nbytes
        return frame

    def _encoded(self, frame: av.VideoFrame) -> bytes:
        import av

        size = tuple(max(_MIN_SIDE, side + -side % _ALIGNMENT) for side in (frame.width, frame.height))
        if size != (frame.width, frame.height):
            frame = pad_frame(frame, *size)
        if self._encoder is None:
            self._encoder = av.CodecContext.create(_CODEC, "w")
            self._encoder.width, self._encoder.height = frame.width, frame.height
            self._encoder.pix_fmt, self._encoder.time_base = frame.format.name, _TIME_BASE
            self._encoder.options = {"pred": "median"}
        times = frame.pts, frame.time_base
        frame.pts, frame.time_base = len(self._ends), _TIME_BASE
        data = b"".join(bytes(packet) for packet in self._encoder.encode(frame))
        frame.pts = times[0]
        if times[1] is not None:
            frame.time_base = times[1]
        return data

    def _opened_decoder(self) -> VideoCodecContext:
        import av
        from av.codec.context import ThreadType

        assert self._encoder is not None  # noqa: S101 - a frame that is read was written
        decoder = av.CodecContext.create(_CODEC, "r")
        decoder.extradata = self._encoder.extradata
        decoder.width, decoder.height = self._encoder.width, self._encoder.height
        decoder.pix_fmt = self._encoder.pix_fmt
        decoder.thread_type = ThreadType.NONE  # threads would delay frames
        return decoder

    def _decoded(self, data: bytes) -> av.VideoFrame:
        """A frame of the clip's size, without the padding for the codec."""
        import av

        if self._decoder is None:
            self._decoder = self._opened_decoder()
        frame = self._decoder.decode(av.Packet(data))[0]
        width, height = self._clip.width, self._clip.height
        if (frame.width, frame.height) != (width, height):
            cropped = av.VideoFrame(width, height, frame.format.name)
            for samples, kept in zip(_planes(frame), _planes(cropped), strict=True):
                kept[:] = samples[: kept.shape[0], : kept.shape[1]]
            frame = cropped
        frame.pict_type = 0
        return frame


def _planes(frame: av.VideoFrame) -> list[Samples]:
    """The samples of all planes, as views of the frame's memory."""
    return [samples_of(plane, frame.format.components[0].bits) for plane in frame.planes]


@contextmanager
def open_frame_cache(clip: Clip, folder: Path) -> Iterator[FrameCache]:
    """Open an empty cache for the frames of a clip on the disk of ``folder``.

    Raises:
        DiskFull: The disk probably has too little free space.
    """
    require_free(folder, round((clip.length or 0) * clip.width * clip.height * _PIXEL_BYTES))
    with scratch_file(folder) as file:
        yield FrameCache(file, clip)


def cache_frames(clip: Clip, cache: FrameCache) -> Iterator[Frame]:
    """Yield the frames of a clip, each after it was stored in the cache."""
    with closing(clip.frames()) as frames:
        for frame in frames:
            cache.append(frame)
            yield frame
