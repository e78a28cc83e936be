"""Video encoders, configured for playback everywhere: 8 bits, 4:2:0, even sizes, color tags; alpha in WebM only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from framepack.media.frames.yuv420 import encoder_format
from framepack.media.write.nvenc import NVENC, nvenc_options
from framepack.processors import MAX_THREADS, usable_processors, usable_threads

if TYPE_CHECKING:
    from fractions import Fraction

    from av.container import OutputContainer
    from av.video.stream import VideoStream

    from framepack.media.clip import Clip, Encoding

DEFAULT_QUALITY: Final = 85
"""The quality of WebM and GIF if a clip has none; for H.264 there is a setting."""

_WORST_CRF: Final = {"mp4": 28, "webm": 35}
_CRF_STEPS: Final = 10  # between qualities 0 and 100
_VP9_SPEED: Final = (
    "4"  # 0 to 5: 1.5 to 2.6 times as fast as the default 1, files 3 % larger, PSNR 0.3 to 0.5 dB lower
)


_H264_LOOKAHEAD: Final = {
    "ultrafast": 0,
    "superfast": 0,
    "veryfast": 10,
    "faster": 20,
    "fast": 30,
    "medium": 40,
    "slow": 50,
}  # frames, by x264's presets
_VP9_LOOKAHEAD: Final = 25
_MIN_LOOKAHEAD: Final = 10
_LOOKAHEAD_BYTES: Final = 250_000_000
_MACROBLOCK: Final = 16  # rows
_MACROBLOCK_ROWS_PER_THREAD: Final = 2
_LOOKAHEAD_PIXEL_BYTES: Final = 3  # of a frame in 4:2:0 and its copy at half the size


@dataclass(frozen=True, slots=True)
class H264Settings:
    """Settings of H.264 for clips without a quality.

    Attributes:
        crf: Constant rate factor, 0 to 40.
        preset: The preset of x264.
        nvenc_gpu: Index of the GPU that encodes; None: x264 does.
    """

    crf: int = 16
    preset: str = "medium"
    nvenc_gpu: int | None = None


def crf_of(encoding: Encoding, default: int) -> int:
    """The constant rate factor for a quality: 28 to 18 for H.264, 35 to 25 for VP9."""
    quality = encoding.quality
    if quality is None:
        if encoding.format == "mp4":
            return default
        quality = DEFAULT_QUALITY
    return (100 * _WORST_CRF[encoding.format] - _CRF_STEPS * quality) // 100


def lookahead(clip: Clip, usual: int) -> int:
    """How many frames an encoder may collect before it writes the first: fewer than usual if they are very large."""
    encoders = 1 + clip.has_alpha  # alpha has one of its own
    frames = _LOOKAHEAD_BYTES // (clip.width * clip.height * _LOOKAHEAD_PIXEL_BYTES * encoders)
    return min(usual, max(_MIN_LOOKAHEAD, frames))


def h264_threads(height: int) -> int:
    """The number of threads of x264: its own rule, but for the processors that this process may use, at most 16.

    Each thread takes the memory of several frames: 100 MB at 5120x2880.
    """
    most_for_height = max(1, -(-height // _MACROBLOCK) // _MACROBLOCK_ROWS_PER_THREAD)
    return min(usable_processors() * 3 // 2, MAX_THREADS, most_for_height)


def add_video(output: OutputContainer, clip: Clip, h264: H264Settings) -> VideoStream:
    """Add the video stream of a clip to an MP4 or WebM output, with frame rate, color tags and pixel aspect."""
    from av.codec.context import ThreadType

    name, options = _encoder(clip, h264)
    stream = new_stream(output, name, clip.fps, options)
    codec = stream.codec_context
    codec.width, codec.height = clip.width + clip.width % 2, clip.height + clip.height % 2
    codec.pix_fmt = encoder_format(clip)
    codec.time_base = 1 / clip.fps
    if name != NVENC:  # it has no threads
        codec.thread_type = ThreadType.FRAME  # PyAV's default threads by slices: larger files, no faster
        codec.thread_count = h264_threads(codec.height) if clip.encoding.format == "mp4" else usable_threads()
    codec.colorspace = int(clip.colors.matrix)
    codec.color_primaries = clip.colors.primaries
    codec.color_trc = clip.colors.transfer
    codec.color_range = 2 if clip.colors.full_range else 1
    codec.sample_aspect_ratio = clip.pixel_aspect
    return stream


def new_stream(output: OutputContainer, name: str, fps: Fraction, options: dict[str, str]) -> VideoStream:
    """Add a stream with a new encoder to an output. The only place where encoders of video are made."""
    return cast("VideoStream", output.add_stream(name, rate=fps, options=options))


def _encoder(clip: Clip, h264: H264Settings) -> tuple[str, dict[str, str]]:
    """FFmpeg's name and the options of the encoder for a clip."""
    crf = crf_of(clip.encoding, h264.crf)
    if clip.encoding.format == "webm":
        speed = {"deadline": "good", "cpu-used": _VP9_SPEED, "row-mt": "1"}
        frames = lookahead(clip, _VP9_LOOKAHEAD)
        return "libvpx-vp9", {"crf": str(crf), "b": "0", "lag-in-frames": str(frames), **speed}
    frames = lookahead(clip, _H264_LOOKAHEAD[h264.preset])
    if h264.nvenc_gpu is not None:
        return NVENC, nvenc_options(crf, h264.preset, frames, h264.nvenc_gpu)
    options = {"crf": str(crf), "preset": h264.preset, "rc-lookahead": str(frames)}
    if frames == _MIN_LOOKAHEAD < _H264_LOOKAHEAD[h264.preset]:
        options["x264-params"] = "sync-lookahead=0"  # without a thread and a queue of its own
    return "libx264", options
