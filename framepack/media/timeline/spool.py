"""Frames kept on disk, without loss: computed once, read again in any order, one in memory at a time."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from framepack.errors import DiskFull
from framepack.files.scratch import disk_errors, free_bytes, scratch_file
from framepack.media.clip import HostFrame
from framepack.media.frames.arrays import planes_of
from framepack.media.frames.colors import tag
from framepack.media.frames.encoder_frames import padded

if TYPE_CHECKING:
    import av
    from av.video.codeccontext import VideoCodecContext

    from framepack.media.clip import Clip, Frame

_CODEC: Final = "ffvhuff"  # eight times as fast as FFV1 here, and files only a third larger
_ALIGNMENT: Final = 4  # FFmpeg's coder takes no odd sizes, and its decoder no 4:2:2 between multiples of four
_LEAST_SIDE: Final = 32  # for tiny frames the coder writes beyond its memory
_TIME_BASE: Final = Fraction(1, 1000)  # of no importance
_PIXEL_BYTES: Final = 1.5  # expected at most; natural frames in 8 bits and 4:2:0 take half of that


@dataclass(slots=True)
class Spool:
    """Frames of one size and format, coded each by itself.

    A frame that comes several times in a row as one object is kept once, and is one object again when read in turn.
    """

    _file: IO[bytes]
    _clip: Clip
    _ends: array[int] = field(default_factory=lambda: array("q", [0]))
    _numbers: array[int] = field(default_factory=lambda: array("q"))
    _latest: Frame | None = None
    _encoder: VideoCodecContext | None = None
    _decoder: VideoCodecContext | None = None
    _read: tuple[int, HostFrame] | None = None

    def __len__(self) -> int:
        """How many frames are kept."""
        return len(self._numbers)

    def append(self, frame: Frame) -> None:
        """Keep a frame.

        Raises:
            DiskFull: there is no room for it.
        """
        if frame is not self._latest:
            data = self._encoded(frame.on_host())
            with disk_errors():
                self._file.seek(0, 2)
                self._file.write(data)
                self._file.flush()
            self._ends.append(self._ends[-1] + len(data))
            self._latest = frame
        self._numbers.append(len(self._ends) - 2)

    def __getitem__(self, index: int) -> HostFrame:
        """Frame ``index``, just as it was, tagged with the clip's colors."""
        import av

        number = self._numbers[index]
        if self._read is not None and self._read[0] == number:
            return self._read[1]
        self._file.seek(self._ends[number])
        data = self._file.read(self._ends[number + 1] - self._ends[number])
        if self._decoder is None:
            self._decoder = self._opened_decoder()
        frame = HostFrame(self._restored(self._decoder.decode(av.Packet(data))[0]))
        self._read = (number, frame)
        return frame

    def _encoded(self, frame: av.VideoFrame) -> bytes:
        import av

        size = tuple(max(_LEAST_SIDE, side + -side % _ALIGNMENT) for side in (frame.width, frame.height))
        if size != (frame.width, frame.height):
            frame = padded(frame, *size)
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
        decoder.thread_type = ThreadType.NONE  # threads would hold frames back
        return decoder

    def _restored(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame in the clip's own size, without what was added for the codec."""
        import av

        width, height = self._clip.width, self._clip.height
        if (frame.width, frame.height) != (width, height):
            cropped = av.VideoFrame(width, height, frame.format.name)
            whole, part = planes_of(frame), planes_of(cropped)
            for samples, space in ((whole.y, part.y), (whole.u, part.u), (whole.v, part.v)):
                space[:] = samples[: space.shape[0], : space.shape[1]]
            frame = cropped
        tag(frame, self._clip.colors)
        frame.pict_type = 0
        return frame


@contextmanager
def open_spool(clip: Clip, folder: Path) -> Iterator[Spool]:
    """An empty spool for the frames of a clip, on the disk of ``folder``.

    Raises:
        DiskFull: the disk is unlikely to have room for them.
    """
    needed = round((clip.length or 0) * clip.width * clip.height * _PIXEL_BYTES)
    free = free_bytes(folder)
    if needed > free:
        raise DiskFull(f"The job needs {needed / 1e6:.0f} MB of disk; the worker has {free / 1e6:.0f} MB left.")
    with scratch_file(folder) as file:
        yield Spool(file, clip)


def recorded(clip: Clip, spool: Spool) -> Iterator[Frame]:
    """The frames of a clip, each kept in the spool when it is handed on."""
    with clip.playing() as frames:
        for frame in frames:
            spool.append(frame)
            yield frame
