"""Write a clip as an H.264 MP4 file that plays anywhere and begins to play before it has fully arrived."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from framepack.errors import DiskFull, FramepackError, InvalidMedia
from framepack.media.audio import SoundTrack, sound_track
from framepack.media.fit import Fitter
from framepack.media.prefetch import prefetch

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from framepack.media.clip import Clip, Frame

_DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Written:
    """A finished file.

    Attributes:
        frames: Number of pictures in it.
        width: Pixels in a row, even.
        height: Rows, even.
        size_bytes: Size of the file.
    """

    frames: int
    width: int
    height: int
    size_bytes: int


def _ignore(_sentence: str) -> None:
    """Tell nobody."""


def write(
    clip: Clip, path: Path, *, crf: int = 16, preset: str = "medium", warn: Callable[[str], None] = _ignore
) -> Written:
    """Encode ``clip`` as H.264 (8 bits, 4:2:0) with its sound into the MP4 file ``path``.

    Pictures are computed by one thread and encoded by this one, so that both overlap. An odd width or height grows
    by one, its last column or row repeated. Colour tags, frame rate and pixel aspect are the clip's own.

    Args:
        clip: What to write.
        path: The file, replaced if it exists. On any failure it is removed.
        crf: Quality, 0 to 40: lower is better and larger; 16 looks lossless.
        preset: x264's effort, "ultrafast" to "slow".
        warn: Is told, in sentences for the client, what of the sound was lost.

    Raises:
        InvalidMedia: The clip has no pictures.
        DiskFull: There is no room for the file.
        Exception: Whatever the clip's frames raise.
    """
    with _output(path) as output:
        stream = _video_stream(output, clip, crf, preset)
        with sound_track(clip.audio, output, warn) as sound, closing(prefetch(clip.frames)) as frames:
            count = _encode(clip, stream, frames, _Muxer(output, sound))
    return Written(count, stream.width, stream.height, path.stat().st_size)


@contextmanager
def _output(path: Path) -> Iterator[OutputContainer]:
    """An MP4 file that either becomes complete or is not there."""
    import av

    container = av.open(f"file:{path}", "w", format="mp4", container_options={"movflags": "+faststart"})
    try:
        yield container
        container.close()
    except BaseException as error:
        path.unlink(missing_ok=True)  # before closing, which would take the time to finish the file
        with suppress(av.FFmpegError):
            container.close()
        if isinstance(error, av.FFmpegError) and error.errno in _DISK_FULL:
            raise DiskFull("The worker's disk has no room for the output.") from error
        raise


def _video_stream(output: OutputContainer, clip: Clip, crf: int, preset: str) -> VideoStream:
    from av.codec.context import ThreadType

    stream = output.add_stream("libx264", rate=clip.fps, options={"crf": str(crf), "preset": preset})
    codec = stream.codec_context
    codec.width, codec.height = clip.width + clip.width % 2, clip.height + clip.height % 2
    codec.pix_fmt = "yuv420p"
    codec.time_base = 1 / clip.fps
    codec.thread_type = ThreadType.FRAME  # PyAV's default slices frames: larger files, no faster
    codec.colorspace = int(clip.colors.matrix)
    codec.color_primaries = clip.colors.primaries
    codec.color_trc = clip.colors.transfer
    codec.color_range = 2 if clip.colors.full_range else 1
    codec.sample_aspect_ratio = clip.pixel_aspect
    return stream


@dataclass(slots=True)
class _Muxer:
    """Interleaves pictures and sound, so that neither waits in memory for the other."""

    output: OutputContainer
    sound: SoundTrack | None

    def add(self, packets: list[Packet[VideoStream]]) -> None:
        for packet in packets:
            time = (packet.dts or 0) * packet.time_base
            self.output.mux_one(packet)
            self.finish(time)

    def finish(self, seconds: Fraction) -> None:
        if self.sound is not None:
            self.sound.mux_until(seconds)


def _encode(clip: Clip, stream: VideoStream, frames: Iterator[Frame], muxer: _Muxer) -> int:
    fit = Fitter(clip)
    count = 0
    for count, frame in enumerate(frames, start=1):
        if (frame.width, frame.height) != (clip.width, clip.height):
            raise FramepackError("A frame's size differs from its clip's.")
        picture = fit(frame.on_host())
        picture.pts, picture.duration, picture.time_base = count - 1, 1, 1 / clip.fps
        picture.pict_type = 0
        muxer.add(stream.encode(picture))
    if not count:
        raise InvalidMedia("The video has no pictures.")
    muxer.add(stream.encode(None))
    muxer.finish(count / clip.fps)
    return count
