r"""Upscaling, file to file, against the loop of the `realesrgan` package, side by side in one run.

Both get the same real clip, the same weights and the same encoder settings. The peer works as its own video script
does: one frame at a time, `RealESRGANer.enhance`, then the encoder. The package needs an environment of its own:

    python3 -m venv build/peer
    echo "$PWD/.venv/lib/python3.11/site-packages" > build/peer/lib/python3.11/site-packages/torch.pth
    build/peer/bin/pip install --no-deps realesrgan==0.3.0 basicsr==1.4.2 opencv-python-headless \
        addict future lmdb yapf
    python -m benchmarks.upscale --peer build/peer/bin/python

It prints seconds per frame of each round, the ratio of their medians, and how close the two outputs are.
"""

from __future__ import annotations

import argparse
import base64
import json
import statistics
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

CASES = {
    "RealESR_AnimeVideo_v3": ("bigbuckbunny", (320, 180), 24),
    "RealESRGAN_x4plus_anime_6B": ("bigbuckbunny", (160, 90), 12),
    "RealESRGAN_x4plus": ("bikes", (160, 68), 8),
}
SCALE = 4.0


def make_source(path: Path, clip: str, size: tuple[int, int], count: int) -> None:
    """The first frames of a real clip, made small."""
    import av

    from tests.support.clips import real_clip

    with av.open(str(real_clip(clip))) as source, av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index, frame in zip(range(count), source.decode(video=0), strict=False):
            small = frame.reformat(*size, format="yuv420p", interpolation="AREA")
            small.pts, small.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(small))
        output.mux(stream.encode(None))


def ours(
    folder: Path, source: Path, model: str, rounds: int, *, scale: float = SCALE, **more: Any
) -> list[tuple[float, str]]:
    """Seconds and output of each round, after one that loads the model and does not count; ``more``: settings."""
    from framepack.dispatch import JobInput
    from framepack.job import Job
    from framepack.runtime import Runtime
    from framepack.settings import Settings

    settings = Settings(storage=f"file:{folder}", weights_download=False, inline_limit_mb=0, **more)
    runtime = Runtime(settings)
    fields = {
        "endpoint": "upscale",
        "model": model,
        "scale_factor": scale,
        "video_base64": base64.b64encode(source.read_bytes()).decode(),
    }
    results = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        answer = runtime.run(JobInput(fields), Job("benchmark"))
        results.append((time.perf_counter() - started, str(runtime.location(answer))))
    return results[1:]


def export_weights(model: str, target: Path) -> None:
    """Write the model's weights as the checkpoint that the peer reads."""
    import torch

    from framepack.models.weights.catalog import CATALOG
    from framepack.models.weights.store import WeightsStore
    from framepack.settings import Settings

    row = CATALOG.find(model)
    if row is None:
        raise ValueError(f"there is no model called {model}")
    torch.save({"params": WeightsStore.from_settings(Settings()).state_dict(row.weights[0])}, target)


PEER = """
import sys, time, types
import torchvision.transforms.functional as functional
shim = types.ModuleType("torchvision.transforms.functional_tensor")
shim.rgb_to_grayscale = functional.rgb_to_grayscale
sys.modules[shim.__name__] = shim
import av, torch
from fractions import Fraction
from basicsr.archs.rrdbnet_arch import RRDBNet
from realesrgan import RealESRGANer
from realesrgan.archs.srvgg_arch import SRVGGNetCompact
model, weights, source, target, rounds = sys.argv[1:5] + [int(sys.argv[5])]
networks = {
    "RealESR_AnimeVideo_v3": lambda: SRVGGNetCompact(3, 3, 64, 16, 4, "prelu"),
    "RealESRGAN_x4plus_anime_6B": lambda: RRDBNet(3, 3, scale=4, num_feat=64, num_block=6, num_grow_ch=32),
    "RealESRGAN_x4plus": lambda: RRDBNet(3, 3, scale=4, num_feat=64, num_block=23, num_grow_ch=32),
}
upsampler = RealESRGANer(4, weights, model=networks[model](), tile=0, half=torch.cuda.is_available())
for round in range(rounds + 1):
    started = time.perf_counter()
    with av.open(source) as clip, av.open(target, "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "16", "preset": "medium"})
        for index, frame in enumerate(clip.decode(video=0)):
            frame, _ = upsampler.enhance(frame.to_ndarray(format="bgr24"), outscale=4)
            if not index:
                stream.height, stream.width, stream.pix_fmt = *frame.shape[:2], "yuv420p"
            made = av.VideoFrame.from_ndarray(frame, "bgr24")
            made.pts, made.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(made))
        output.mux(stream.encode(None))
    if round:
        print(time.perf_counter() - started, flush=True)
"""


def psnr_of_luma(one: str, other: str) -> float:
    """How close two videos are in brightness, in dB."""
    import av
    import numpy as np

    def frames(path: str) -> Any:
        with av.open(path) as clip:
            return np.stack([frame.to_ndarray(format="gray") for frame in clip.decode(video=0)]).astype(np.float64)

    return float(10 * np.log10(255**2 / np.square(frames(one) - frames(other)).mean()))


def main() -> None:
    """Measure every case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, help="python of the environment with realesrgan")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for model, (clip, size, count) in CASES.items():
        with TemporaryDirectory() as name:
            folder = Path(name)
            make_source(folder / "source.mp4", clip, size, count)
            export_weights(model, folder / "weights.pth")
            seconds: dict[str, list[float]] = {"ours": [], "peer": []}
            output = ""
            for _ in range(options.rounds):  # in turn, so that a machine that slows down slows both
                [(took, output)] = ours(folder / "outputs", folder / "source.mp4", model, 1)
                seconds["ours"].append(took)
                command = [options.peer, "-c", PEER, model, folder / "weights.pth", folder / "source.mp4"]
                result = subprocess.run(
                    [*map(str, command), str(folder / "peer.mp4"), "1"], check=True, capture_output=True, text=True
                )
                seconds["peer"].append(float(result.stdout.split()[-1]))
            medians = {side: statistics.median(values) / count for side, values in seconds.items()}
            row = {
                "model": model,
                "input": f"{size[0]}x{size[1]}, {count} frames of {clip}",
                "ours_seconds_per_frame": round(medians["ours"], 3),
                "peer_seconds_per_frame": round(medians["peer"], 3),
                "ratio": round(medians["peer"] / medians["ours"], 2),
                "luma_psnr_between_outputs": round(psnr_of_luma(output, str(folder / "peer.mp4")), 1),
            }
            rows.append(row)
            print(json.dumps(row), flush=True)
    print(f"Python {sys.version.split()[0]}; medians of {options.rounds} rounds taken in turn")


if __name__ == "__main__":
    main()
