"""Encode a clip into a file that plays everywhere, also while it is being downloaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from framepack.closing import closing
from framepack.errors import FramepackError, InvalidMedia
from framepack.media.audio.track import audio_track
from framepack.media.containers import open_output
from framepack.media.frames.yuv420 import Yuv420Converter
from framepack.media.metadata import has_texts
from framepack.media.mux.muxer import Muxer
from framepack.media.mux.repeat import write_file_repeated
from framepack.media.prefetch import prefetch
from framepack.media.write.encoder_choice import EncoderChoice
from framepack.media.write.encoders import H264Settings, add_video
from framepack.media.write.gif import foresee_gif, write_gif
from framepack.media.write.nvenc import EncoderFailed, encode_with_nvenc, open_nvenc

if TYPE_CHECKING:
    import av
    from av.packet import Packet
    from av.video.stream import VideoStream

    from framepack.media.clip import Clip, Frame

    Encode = Callable[[av.VideoFrame | None], list[Packet[VideoStream]]]


_NO_TEXTS: Final = "A GIF has no title and no comment; those of the video are left out."


def _ignore(_sentence: str) -> None:
    """Ignore a warning."""


def write(
    clip: Clip,
    path: Path,
    *,
    crf: int = 16,
    preset: str = "medium",
    encoders: EncoderChoice | None = None,
    warn: Callable[[str], None] = _ignore,
) -> int:
    """Encode ``clip`` with its audio into the file ``path``, in the format of ``clip.encoding``.

    Frames are computed in a second thread while this one encodes. A repeated clip is computed and encoded once. An
    odd width or height is padded by one column or row. Color tags, frame rate and, in MP4, pixel aspect are those of
    the clip; a GIF has no color tags. A clip with alpha becomes a WebM file with alpha.

    Args:
        clip: The clip.
        path: The file, replaced if it exists and removed on any failure. Temporary files are created beside it.
        crf: Constant rate factor of H.264 if the clip has no quality, 0 to 40: lower means better quality and a
            larger file; 16 is visually lossless.
        preset: The preset of x264, "ultrafast" to "slow".
        encoders: Chooses the encoder of H.264; None: x264. If NVENC fails, x264 encodes the clip from the beginning.
        warn: Called with sentences for the client about what was lost.

    Returns:
        The number of frames of the clip, including repeats.

    Raises:
        ValueError: The clip has alpha, and the format is not WebM.
        InvalidMedia: The clip has no frames.
        Unavailable: NVENC is demanded, and has not worked since the process began.
        DiskFull: The disk is full.
        Exception: Any exception that the clip's frames raise.
    """
    if clip.has_alpha and clip.encoding.format != "webm":
        raise ValueError("a clip with alpha can only become a WebM file")
    checked = replace(clip, frames=lambda: _checked(clip))
    encoders = encoders or EncoderChoice()
    h264 = H264Settings(crf, preset)
    if clip.encoding.format == "gif":
        count = write_gif(checked, path, warn)
        if has_texts(clip.metadata):
            warn(_NO_TEXTS)
    elif clip.repeats == 1 or clip.length == 1:  # repeating the packets of one frame saves nothing
        count = _encode(checked.expand_repeats(), path, h264, encoders, warn)
    else:
        unit = path.with_name(f"unit-{path.name}")
        try:
            count = _encode(replace(checked, audio=None, repeats=1), unit, h264, encoders, warn)
            count = write_file_repeated(unit, path, replace(clip, length=count), warn)
        finally:
            unit.unlink(missing_ok=True)
    return count


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What the file of a clip would be.

    Attributes:
        width: Width in pixels.
        height: Height in pixels.
        fps: Frame rate; that of a GIF may be lower than its clip's.
        frames: Number of frames; None if the clip's length is not known.
        sentences: Sentences for the client about what would be lost.
    """

    width: int
    height: int
    fps: Fraction
    frames: int | None
    sentences: tuple[str, ...] = ()


def foresee(clip: Clip) -> Foreseen:
    """What ``write`` would make of a clip, without computing any of its frames."""
    size = clip.width + clip.width % 2, clip.height + clip.height % 2
    if clip.encoding.format != "gif":
        return Foreseen(*size, clip.fps, clip.total_frames)
    fps, frames, sentence = foresee_gif(clip)
    no_texts = _NO_TEXTS if has_texts(clip.metadata) else None
    return Foreseen(*size, fps, frames, tuple(each for each in (sentence, no_texts) if each is not None))


def _checked(clip: Clip) -> Iterator[Frame]:
    def source() -> Iterator[Frame]:
        with closing(clip.frames()) as frames:
            for frame in frames:
                if clip.encoding.format != "gif":  # which leaves frames out
                    frame.start_download()  # while the encoder works on others
                yield frame
                del frame  # before the next one is made

    with closing(prefetch(source, size_bytes=lambda frame: frame.size_bytes)) as frames:
        for frame in frames:
            if (frame.width, frame.height) != (clip.width, clip.height):
                raise FramepackError("A frame's size differs from its clip's.")
            yield frame


def _encode(clip: Clip, path: Path, h264: H264Settings, encoders: EncoderChoice, warn: Callable[[str], None]) -> int:
    """Encode a clip that is not repeated, and return its number of frames."""
    chosen = encoders.settings_for(clip, h264)
    try:
        return _encode_with(clip, path, chosen, warn)
    except EncoderFailed as failed:
        encoders.record_failure(failed)
    return _encode_with(clip, path, h264, warn)


def _encode_with(clip: Clip, path: Path, h264: H264Settings, warn: Callable[[str], None]) -> int:
    with open_output(path, clip.encoding.format, metadata=clip.metadata) as output:
        stream = add_video(output, clip, h264)
        encode = stream.encode
        if h264.nvenc_gpu is not None:
            open_nvenc(stream.codec_context)  # before the first frame is computed
            encode = partial(encode_with_nvenc, stream)
        with audio_track(clip, output, path.parent, warn) as audio, closing(clip.frames()) as frames:
            muxer = Muxer(output, audio)
            count = _encode_frames(clip, encode, frames, muxer)
            muxer.finish(count / clip.fps)
    return count


def _encode_frames(clip: Clip, encode: Encode, frames: Iterator[Frame], muxer: Muxer) -> int:
    convert = Yuv420Converter(clip)
    count = 0
    for count, frame in enumerate(frames, start=1):
        image = convert(frame.on_host())
        image.pts, image.duration, image.time_base = count - 1, 1, 1 / clip.fps
        image.pict_type = 0
        muxer.add(encode(image))
    if not count:
        raise InvalidMedia("The video has no frames.")
    muxer.add(encode(None))
    return count
