"""The trial of NVENC on this machine: the same moving image through NVENC and x264, decoded again and compared."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Final

from framepack.media.clip import Clip, Colors
from framepack.media.codecs import has_encoder, read_codecs
from framepack.media.frames.arrays import frame_from_planes, planes_of
from framepack.media.write.encoders import add_video
from framepack.media.write.nvenc import NVENC, EncoderFailed, encode_with_nvenc, open_nvenc

if TYPE_CHECKING:
    import av
    import numpy as np
    from numpy.typing import NDArray

    from framepack.media.frames.arrays import Samples
    from framepack.media.write.encoders import H264Settings

_SIZE: Final = (1280, 720)
_FPS: Final = Fraction(25)
_FRAMES: Final = 32
_STEP: Final = (6, 2)  # columns and rows by which the image moves from frame to frame; even, for chroma
# Pixels. As with camera clips, a CRF that is 3 higher makes files a fifth smaller.
_SPOTS: Final = (3, 8, 32, 128)
_MAX_LOSS: Final = 2.0  # dB
_MAX_DIFFERENCE: Final = 6.0  # dB; wrong images differ by more than 10
_MAX_GROWTH: Final = 1.5


@dataclass(frozen=True, slots=True)
class Trial:
    """What came out.

    Attributes:
        fault: Why NVENC cannot be used, as the end of a sentence; None if it can.
        drawback: Why x264 is the better choice here, although NVENC can be used; None if it is not.
        figures: What was measured, as the end of a sentence; empty if it could not be used.
    """

    fault: str | None = None
    drawback: str | None = None
    figures: str = ""


@dataclass(frozen=True, slots=True)
class _Encoded:
    seconds: float
    size_bytes: int
    decibels: float


def try_nvenc(h264: H264Settings) -> Trial:
    """Encode and decode a second of video with NVENC, and if that works with x264, and compare.

    It takes about a second where NVENC works, and milliseconds where there is none.

    Args:
        h264: With the GPU to try.
    """
    import av

    if not has_encoder(NVENC):
        codecs = read_codecs()
        return Trial(f"FFmpeg {codecs.ffmpeg} in PyAV {codecs.pyav} is built without it")
    frames = cache(lambda: list(_moving_frames()))
    try:
        nvenc = _measured(frames, h264)
    except (EncoderFailed, av.FFmpegError) as failed:  # the second if its file cannot be read
        return Trial(str(failed))
    return _judged(nvenc, _measured(frames, replace(h264, nvenc_gpu=None)))


def _judged(nvenc: _Encoded, x264: _Encoded) -> Trial:
    rates = [round(_FRAMES / each.seconds) for each in (nvenc, x264)]
    loss, growth = x264.decibels - nvenc.decibels, nvenc.size_bytes / x264.size_bytes
    figures = (
        f"{rates[0]} frames per second of {_SIZE[0]}x{_SIZE[1]} beside {rates[1]} with x264, "
        f"{nvenc.decibels:.1f} dB beside {x264.decibels:.1f}, {growth:.2f} times the size"
    )
    if loss > _MAX_DIFFERENCE:
        return Trial(f"its images are wrong: {figures}")
    drawbacks = {"is slower": rates[0] < rates[1], "makes worse images": loss > _MAX_LOSS}
    drawbacks["makes much larger files"] = growth > _MAX_GROWTH
    drawback = next((drawback for drawback, applies in drawbacks.items() if applies), None)
    return Trial(drawback=drawback and f"NVENC {drawback} here: {figures}", figures=figures)


def _measured(draw: Callable[[], Sequence[av.VideoFrame]], h264: H264Settings) -> _Encoded:
    """Encode and decode the frames of the trial, which are drawn as soon as there is an encoder.

    Raises:
        EncoderFailed: NVENC does not work, or its file is not right.
    """
    import av

    clip = Clip(lambda: iter(()), _FPS, *_SIZE, _FRAMES)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = add_video(output, clip, h264)
        if h264.nvenc_gpu is None:
            stream.codec_context.open()
        else:
            open_nvenc(stream.codec_context)
        frames = draw()
        started = time.perf_counter()
        for number, frame in enumerate((*frames, None)):
            if frame is not None:
                frame.pts, frame.time_base = number, 1 / _FPS
            output.mux(encode_with_nvenc(stream, frame))
        seconds = time.perf_counter() - started
    return _Encoded(max(seconds, 1e-6), len(file.getbuffer()), _decibels(file, frames))


def _decibels(file: io.BytesIO, frames: Sequence[av.VideoFrame]) -> float:
    """PSNR of a file against the frames that it was made from, over all their samples.

    Raises:
        EncoderFailed: It cannot be decoded, or its frames or their times are others.
    """
    import av
    import numpy as np

    squares, samples, times = 0.0, 0, []
    file.seek(0)
    with av.open(file, "r") as container:
        for made, source in zip(container.decode(video=0), frames, strict=False):
            times.append(made.time)
            for one, other in zip(_planes(made), _planes(source), strict=True):
                if one.shape != other.shape:
                    raise EncoderFailed("its frames have another size")
                squares += float(np.square(one.astype(np.float32) - other).sum(dtype=np.float64))
                samples += one.size
    if times != [float(number / _FPS) for number in range(_FRAMES)]:
        raise EncoderFailed(f"of {_FRAMES} frames, {len(times)} came out, or at other times")
    return float(10 * np.log10(255**2 * samples / max(squares, 1.0)))


def _planes(frame: av.VideoFrame) -> tuple[Samples, Samples, Samples]:
    planes = planes_of(frame)
    return planes.y, planes.u, planes.v


def _moving_frames() -> Iterator[av.VideoFrame]:
    """A textured image that moves behind a window; always the same."""
    import numpy as np

    random = np.random.default_rng(1)
    width, height = _SIZE
    rows, columns = height + _FRAMES * _STEP[1], width + _FRAMES * _STEP[0]
    luma = _texture(random, rows, columns, contrast=20)
    chroma = [_texture(random, rows // 2, columns // 2, contrast=8) for _ in range(2)]
    for number in range(_FRAMES):
        right, down = (number * step for step in _STEP)
        y = luma[down : down + height, right : right + width]
        u, v = (plane[down // 2 : (down + height) // 2, right // 2 : (right + width) // 2] for plane in chroma)
        samples = [np.clip(plane, 16, 235).astype(np.uint8) for plane in (y, u, v)]
        yield frame_from_planes(samples[0], samples[1], samples[2], Colors())


def _texture(random: np.random.Generator, rows: int, columns: int, *, contrast: float) -> NDArray[np.float32]:
    """Spots of several sizes around the mean gray."""
    import cv2
    import numpy as np

    made = np.full((rows, columns), 128, np.float32)
    for cell in _SPOTS:
        coarse = random.standard_normal((rows // cell + 2, columns // cell + 2), np.float32)
        made += contrast * cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC)
    return made
