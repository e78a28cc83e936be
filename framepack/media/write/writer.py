"""Write a clip as a file that plays anywhere and begins to play before it has fully arrived."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from framepack.errors import FramepackError, InvalidMedia
from framepack.media.audio.track import audio_track
from framepack.media.containers import open_output
from framepack.media.frames.encoder_frames import Fitter
from framepack.media.mux.muxer import Muxer
from framepack.media.mux.repeat import repeat_file
from framepack.media.prefetch import prefetch
from framepack.media.write.encoders import Effort, add_video
from framepack.media.write.gif import write_gif

if TYPE_CHECKING:
    from av.video.stream import VideoStream

    from framepack.media.clip import Clip, Frame


@dataclass(frozen=True, slots=True)
class Written:
    """A finished file.

    Attributes:
        frames: Number of frames in it.
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
    """Encode ``clip`` with its audio into the file ``path``, in the format of ``clip.encoding``.

    Frames are computed by one thread and encoded by this one, so that both overlap. A repeated clip is computed
    and encoded once. An odd width or height grows by one, its last column or row repeated. Color tags, frame rate
    and, in MP4, pixel aspect are the clip's own; a GIF has no color tags.

    Args:
        clip: What to write.
        path: The file, replaced if it exists. On any failure it is removed. Temporary files lie beside it.
        crf: Quality of H.264 where the clip names none, 0 to 40: lower is better and larger; 16 looks lossless.
        preset: x264's effort, "ultrafast" to "slow".
        warn: Is told, in sentences for the client, what of the audio was lost.

    Raises:
        InvalidMedia: The clip has no frames.
        DiskFull: There is no room for the file.
        Exception: Whatever the clip's frames raise.
    """
    checked = replace(clip, frames=lambda: _checked(clip))
    if clip.encoding.format == "gif":
        count = write_gif(checked, path)
    elif clip.repeats == 1 or clip.length == 1:  # a frame alone makes no group of frames worth repeating
        count = _encode(checked.unrolled(), path, Effort(crf, preset), warn)
    else:
        unit = path.with_name(f"unit-{path.name}")
        try:
            count = _encode(replace(checked, audio=None, repeats=1), unit, Effort(crf, preset), warn)
            count = repeat_file(unit, path, replace(clip, length=count), warn)
        finally:
            unit.unlink(missing_ok=True)
    return Written(count, clip.width + clip.width % 2, clip.height + clip.height % 2, path.stat().st_size)


def _checked(clip: Clip) -> Iterator[Frame]:
    with closing(prefetch(clip.frames)) as frames:
        for frame in frames:
            if (frame.width, frame.height) != (clip.width, clip.height):
                raise FramepackError("A frame's size differs from its clip's.")
            yield frame


def _encode(clip: Clip, path: Path, effort: Effort, warn: Callable[[str], None]) -> int:
    """Write a clip that is not repeated; returns its number of frames."""
    with open_output(path, clip.encoding.format) as output:
        stream = add_video(output, clip, effort)
        with audio_track(clip, output, path.parent, warn) as audio, clip.playing() as frames:
            muxer = Muxer(output, audio)
            count = _encode_frames(clip, stream, frames, muxer)
            muxer.finish(count / clip.fps)
    return count


def _encode_frames(clip: Clip, stream: VideoStream, frames: Iterator[Frame], muxer: Muxer) -> int:
    fit = Fitter(clip)
    count = 0
    for count, frame in enumerate(frames, start=1):
        image = fit(frame.on_host())
        image.pts, image.duration, image.time_base = count - 1, 1, 1 / clip.fps
        image.pict_type = 0
        muxer.add(stream.encode(image))
    if not count:
        raise InvalidMedia("The video has no frames.")
    muxer.add(stream.encode(None))
    return count
