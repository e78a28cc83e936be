"""The encoders side by side on a real clip: frames per second, size, PSNR and SSIM against what went in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from framepack.media.clip import Clip, Frame, HostFrame
from framepack.media.write.encoder_choice import EncoderChoice
from framepack.media.write.encoders import H264Settings
from framepack.media.write.nvenc_trial import Trial, try_nvenc
from framepack.media.write.writer import write

if TYPE_CHECKING:
    import av
    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.gpu.measuring import Bench

    Image = NDArray[np.float32]

_CLIP: Final = "bigbuckbunny"
_SIZES: Final = (((1280, 720), 120), ((2560, 1440), 60), ((3840, 2160), 30))
_X264: Final = (H264Settings(16, "medium"), H264Settings(16, "faster"))
_NVENC: Final = tuple(H264Settings(crf, preset, nvenc_gpu=0) for preset in ("medium", "slow") for crf in (13, 16, 19))


def encoders(bench: Bench) -> None:
    """x264 and NVENC, as the worker uses them, with the same frames; NVENC also at other qualities."""
    trial = try_nvenc(replace(_X264[0], nvenc_gpu=0))
    bench.add("encoders", encoder="nvenc", outcome=trial.fault or trial.drawback or trial.figures)
    for size, count in _SIZES if bench.device.is_cuda else _SIZES[:1]:
        frames = _frames(bench.size(*size), bench.count(count))
        for settings in (*_X264, *(_NVENC if trial.fault is None else ())):
            bench.add("encoders", **_measured(bench, frames, settings))


def _measured(bench: Bench, frames: list[av.VideoFrame], h264: H264Settings) -> dict[str, object]:
    def drawn() -> Iterator[Frame]:
        yield from map(HostFrame, frames)

    clip = Clip(drawn, Fraction(25), frames[0].width, frames[0].height, len(frames))
    target = bench.folder / "encoded.mp4"
    is_nvenc = h264.nvenc_gpu is not None
    choice = EncoderChoice("nvenc" if is_nvenc else "x264", trial=lambda _settings: Trial())
    started = time.perf_counter()
    write(clip, target, crf=h264.crf, preset=h264.preset, encoders=choice)
    seconds = time.perf_counter() - started
    if is_nvenc and choice.report().encoder != "nvenc":
        raise RuntimeError(choice.report().sentence)
    psnr, ssim = _likeness(target, frames)
    return {
        "encoder": "nvenc" if is_nvenc else "x264",
        "preset": h264.preset,
        "crf": h264.crf,
        "size": f"{clip.width}x{clip.height}",
        "frames_per_second": round(len(frames) / seconds, 1),
        "kB_per_frame": round(target.stat().st_size / len(frames) / 1e3, 2),
        "luma_decibels": round(psnr, 2),
        "luma_ssim": round(ssim, 5),
    }


def _frames(size: tuple[int, ...], count: int) -> list[av.VideoFrame]:
    """The first frames of a real clip in some size."""
    import av

    from tests.support.clips import real_clip

    with av.open(str(real_clip(_CLIP))) as source:
        return [
            frame.reformat(size[0], size[1], format="yuv420p", interpolation="LANCZOS")
            for _, frame in zip(range(count), source.decode(video=0), strict=False)
        ]


def _likeness(path: Path, frames: list[av.VideoFrame]) -> tuple[float, float]:
    """PSNR in dB over all frames, and the mean SSIM, of luma."""
    import av
    import numpy as np

    errors, likenesses = [], []
    with av.open(str(path)) as container:
        for made, source in zip(container.decode(video=0), frames, strict=True):
            one, other = (each.to_ndarray()[: source.height].astype(np.float32) for each in (made, source))
            errors.append(float(np.square(one - other).mean()))
            likenesses.append(ssim(one, other))
    return float(10 * np.log10(255**2 / np.mean(errors))), float(np.mean(likenesses))


def ssim(one: Image, other: Image) -> float:
    """The mean structural similarity of images of 0..255, in the usual window: Gaussian, 11 pixels, sigma 1.5."""
    import cv2
    import numpy as np

    def blurred(image: Image) -> Image:
        return cv2.GaussianBlur(image, (11, 11), 1.5).astype(np.float32)

    mean_one, mean_other = blurred(one), blurred(other)
    variances = blurred(one * one) - mean_one**2 + blurred(other * other) - mean_other**2
    covariance = blurred(one * other) - mean_one * mean_other
    luma, contrast = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similar = (2 * mean_one * mean_other + luma) * (2 * covariance + contrast)
    return float((similar / ((mean_one**2 + mean_other**2 + luma) * (variances + contrast))).mean())
