"""Whole jobs, file to file, and the loops that people write themselves beside them."""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import interpolate, upscale
from framepack.media.write.encoder_choice import EncoderChoice
from framepack.media.write.nvenc import MAX_HARDWARE_SIDE

if TYPE_CHECKING:
    from benchmarks.gpu.measuring import Bench

_CLIP: Final = "bigbuckbunny"
_SMALLEST: Final = "RealESR_AnimeVideo_v3"
_LARGEST: Final = "RealESRGAN_x4plus"
_JOBS: Final = (
    (_LARGEST, 2.0, (1280, 720), 48),
    (_LARGEST, 4.0, (1280, 720), 48),
    (_SMALLEST, 2.0, (1280, 720), 120),
    (_SMALLEST, 4.0, (1280, 720), 120),
    (_SMALLEST, 2.0, (640, 360), 120),
)
_ENCODERS: Final = (("x264", "medium"), ("x264", "veryfast"), ("nvenc", "medium"))
_PEERS: Final = ((_LARGEST, 24), (_SMALLEST, 60))
_ROUNDS: Final = 3
_MAX_SOURCE_MB: Final = 200
FIRST_JOB: Final = """
import base64, sys
from pathlib import Path
from framepack.job import Job, JobInput
from framepack.runtime import Runtime
from framepack.settings import Settings
source, folder, model = sys.argv[1:4]
settings = Settings(storage=f"file:{folder}", weights_download=False, inline_limit_mb=0, max_source_mb=200)
fields = {"endpoint": "upscale", "model": model, "scale_factor": 4.0}
fields["video_base64"] = base64.b64encode(Path(source).read_bytes()).decode()
answer = Runtime(settings).run(JobInput(fields), Job("first"))
assert answer["success"], answer
"""


def first_job(bench: Bench) -> None:
    """Seconds from the start of a process to the end of a job of one frame: imports, context, weights, kernels."""
    source = _source(bench, (640, 360), 1)
    command = [sys.executable, "-c", FIRST_JOB, str(source), str(bench.folder / "outputs")]
    for model in (_SMALLEST, _LARGEST) if bench.device.is_cuda else (_SMALLEST,):
        taken = []
        for _ in range(_ROUNDS if bench.device.is_cuda else 1):
            started = time.perf_counter()
            subprocess.run([*command, model], check=True, capture_output=True)
            taken.append(time.perf_counter() - started)
        seconds = [round(each, 2) for each in taken]
        bench.add("first_job", model=model, median_seconds=statistics.median(seconds), all_seconds=seconds)


def upscaling_jobs(bench: Bench) -> None:
    """Frames per second through the decoder, the network and the encoder, by encoder and preset."""
    for encoder, preset in _ENCODERS:
        if encoder == "nvenc" and EncoderChoice("nvenc").report().problem is not None:
            continue  # the part "encoders" has the reason
        for model, scale, size, frames in _JOBS if bench.device.is_cuda else _JOBS[-1:]:
            if encoder == "nvenc" and max(size) * scale > MAX_HARDWARE_SIDE:
                continue  # x264 would encode it
            source, folder = _source(bench, size, frames), bench.folder / "outputs"
            settings = {"max_source_mb": _MAX_SOURCE_MB, "encoder": encoder, "video_preset": preset}
            [(seconds, _)] = upscale.ours(folder, source, model, 1, scale=scale, **settings)
            bench.add(
                "upscaling_jobs",
                model=model,
                scale=scale,
                size="{}x{}".format(*bench.size(*size)),
                encoder=f"{encoder} {preset}",
                frames_per_second=round(bench.count(frames) / seconds, 2),
            )


def upscaling_peer(bench: Bench) -> None:
    """The loop of the `realesrgan` package beside ours, with the same weights, in turn."""
    if importlib.util.find_spec("realesrgan") is None:
        bench.add("upscaling_peer", note="the package realesrgan is not installed here")
        return
    for model, frames in _PEERS if bench.device.is_cuda else _PEERS[1:]:
        source, weights = _source(bench, (1280, 720), frames), bench.folder / "weights.pth"
        output = bench.folder / "peer.mp4"
        upscale.export_weights(model, weights)
        [(ours, made)] = upscale.ours(bench.folder / "outputs", source, model, 1, max_source_mb=_MAX_SOURCE_MB)
        command = [sys.executable, "-c", upscale.PEER, model, str(weights), str(source), str(output), "1"]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        peer = float(result.stdout.split()[-1])
        bench.add(
            "upscaling_peer",
            model=model,
            size="{}x{}".format(*bench.size(1280, 720)),
            ours_frames_per_second=round(bench.count(frames) / ours, 2),
            peer_frames_per_second=round(bench.count(frames) / peer, 2),
            ratio=round(peer / ours, 2),
            luma_decibels=round(upscale.psnr_of_luma(made, str(output)), 1),
        )


def interpolation_peer(bench: Bench) -> None:
    """The plain loop of RIFE beside ours, with the same weights, in turn."""
    from framepack.models.interpolate.interpolator import Interpolator
    from framepack.models.interpolate.rife import load_rife

    state = interpolate.weights(None)
    interpolator, plain = Interpolator(load_rife(state), bench.device), interpolate.PlainLoop(state, bench.place)
    frames = interpolate.decoded(_CLIP, bench.size(1280, 720), bench.count(24))  # type: ignore[arg-type]
    for factor in (2, 4):
        taken: dict[str, list[float]] = {"ours": [], "plain": []}
        for _ in range(_ROUNDS + 1 if bench.device.is_cuda else 2):
            seconds, ours = interpolate.measured(lambda: interpolate.ours(frames, interpolator, factor))  # noqa: B023 - called at once
            taken["ours"].append(seconds)
            seconds, other = interpolate.measured(lambda: list(plain(frames, factor)))  # noqa: B023 - called at once
            taken["plain"].append(seconds)
        new = (len(frames) - 1) * (factor - 1)
        rates = {side: round(new / statistics.median(each[1:]), 2) for side, each in taken.items()}
        bench.add(
            "interpolation_peer",
            size=f"{frames[0].width}x{frames[0].height}",
            factor=factor,
            ours_new_frames_per_second=rates["ours"],
            plain_new_frames_per_second=rates["plain"],
            ratio=round(rates["ours"] / rates["plain"], 2),
            luma_decibels=round(interpolate.psnr(ours, other), 1),
        )


def _source(bench: Bench, size: tuple[int, int], frames: int) -> Path:
    target = bench.folder / "source.mp4"
    width, height = bench.size(*size)
    upscale.make_source(target, _CLIP, (width, height), bench.count(frames))
    return target
