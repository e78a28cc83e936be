r"""Upscaling x4, file to file, beside other programs, in turn, with the same clips, weights and encoder settings.

The others are the loop of the package `realesrgan`, which takes one frame at a time, as its own video script does,
and the command line of `framelift-video`. Each needs an environment of its own, beside our torch:

    for name in realesrgan framelift; do
        python3 -m venv build/$name
        echo "$PWD/.venv/lib/python3.11/site-packages" > build/$name/lib/python3.11/site-packages/torch.pth
    done
    build/realesrgan/bin/pip install --no-deps realesrgan==0.3.0 basicsr==1.4.2 opencv-python-headless \
        addict future lmdb yapf platformdirs
    build/framelift/bin/pip install --no-deps framelift-video==2.1.0 opencv-python-headless
    python -m benchmarks.upscale [--rounds 3] [MODEL ...]

Each row is a whole process, as a person starts it: `framepack run upscale` beside the other one, start and end
included, with the most memory of both. "After load" is a later job of a process that has loaded the model, as on a
worker; framelift has none.
`benchmarks.turns` says what the ratios are.
"""

from __future__ import annotations

import argparse
import base64
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.turns import HEAD, Cost, Pairs, in_turn

if TYPE_CHECKING:
    from framepack.runtime import Runtime

ROOT = Path(__file__).parents[1]
SCALE = 4.0


@dataclass(frozen=True)
class Comparison:
    """A model and its clip: a real one, how many frames of it, the names of the weights with framelift, its size."""

    model: str
    clip: str
    frames: int
    framelift: str
    file: str
    size: tuple[int, int] = (160, 90)

    @property
    def name(self) -> str:
        """The model, and the size and number of the frames."""
        model = self.model.removeprefix("RealESR").removeprefix("GAN_").removeprefix("_")
        return f"{model}, {self.frames} of {self.size[0]}x{self.size[1]}"


_X4PLUS = Comparison("RealESRGAN_x4plus", "bikes", 12, "realesrgan-x4plus", "RealESRGAN_x4plus.pth")
_ANIME_VIDEO = Comparison(
    "RealESR_AnimeVideo_v3", "bigbuckbunny", 48, "realesr-animevideov3", "realesr-animevideov3.pth"
)
CASES = (
    _ANIME_VIDEO,
    Comparison(
        "RealESRGAN_x4plus_anime_6B",
        "bigbuckbunny",
        48,
        "realesrgan-x4plus-anime-6B",
        "RealESRGAN_x4plus_anime_6B.pth",
    ),
    _X4PLUS,
    replace(_X4PLUS, frames=6, size=(320, 180)),
    replace(_ANIME_VIDEO, frames=12, size=(64, 48)),
)


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
    from framepack.runtime import Runtime
    from framepack.settings import Settings

    settings = Settings(storage=f"file:{folder}", weights_download=False, inline_limit_mb=0, **more)
    runtime = Runtime(settings)
    results = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        output = upscaled(runtime, source, model, scale)
        results.append((time.perf_counter() - started, output))
    return results[1:]


def upscaled(runtime: Runtime, source: Path, model: str, scale: float) -> str:
    """Run our job, and return the path of its output."""
    from framepack.job import Job, JobInput

    video = base64.b64encode(source.read_bytes()).decode()
    fields = {"endpoint": "upscale", "model": model, "scale_factor": scale, "video_base64": video}
    answer = runtime.run(JobInput(fields), Job("benchmark"))
    if "error" in answer:
        raise SystemExit(f"{model}: {answer['error']}")
    return str(runtime.location(answer))


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
    if round and sys.argv[6:]:
        input()  # until it is this side's turn
    started, used = time.perf_counter(), time.process_time()
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
        print(time.process_time() - used, time.perf_counter() - started, flush=True)
"""


def psnr_of_luma(one: str, other: str) -> float:
    """How close two videos are in brightness, in dB."""
    import av
    import numpy as np

    def frames(path: str) -> Any:
        with av.open(path) as clip:
            return np.stack([frame.to_ndarray(format="gray") for frame in clip.decode(video=0)]).astype(np.float64)

    return float(10 * np.log10(255**2 / np.square(frames(one) - frames(other)).mean()))


@contextmanager
def inputs(case: Comparison) -> Iterator[tuple[Path, Path]]:
    """A folder with the clip of a case and with its weights, as the others read them."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        make_source(folder / "source.mp4", case.clip, case.size, case.frames)
        export_weights(case.model, folder / case.file)
        yield folder, folder / "source.mp4"


def after_load(case: Comparison, python: Path, rounds: int) -> Pairs:
    """Ours and the loop of `realesrgan`, each in a process that has done the job once before."""
    from framepack.runtime import Runtime
    from framepack.settings import Settings

    with inputs(case) as (folder, source):
        runtime = Runtime(Settings(storage=f"file:{folder / 'store'}", weights_download=False, inline_limit_mb=0))
        upscaled(runtime, source, case.model, SCALE)
        command = [*_loop(python, case, folder, rounds), "wait"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None  # noqa: S101
            assert process.stdout is not None  # noqa: S101
            turns, figures = process.stdin, process.stdout

            def other() -> Cost:
                turns.write("\n")
                turns.flush()
                cpu, wall = map(float, figures.readline().split())
                return Cost(wall, cpu)

            return in_turn(lambda: Cost.of(lambda: upscaled(runtime, source, case.model, SCALE)), other, rounds)


def commands(case: Comparison, python: Path | None, framelift: Path | None, rounds: int) -> Pairs:
    """Ours and one of the others, as whole processes."""
    with inputs(case) as (folder, source):
        ours_ = [sys.executable, "-m", "framepack", "run", "upscale", str(source), "-o", str(folder / "ours.mp4")]
        ours_ += ["--model", case.model, "--scale-factor", str(SCALE), "--overwrite"]
        if framelift is not None:
            other = [str(framelift), "-i", str(source), "-o", str(folder / "other.mp4"), "--model", case.framelift]
            other += ["--scale", str(SCALE), "--tile", "0", "--ai-strength", "1", "--crf", "16"]
            other += ["--x264-preset", "medium", "--weights-dir", str(folder)]
        else:
            assert python is not None  # noqa: S101
            other = _loop(python, case, folder, 0)
        return in_turn(lambda: Cost.of_process(ours_, ROOT), lambda: Cost.of_process(other, ROOT), rounds)


def _loop(python: Path, case: Comparison, folder: Path, rounds: int) -> list[str]:
    """The command of the loop of `realesrgan`: the job once, and then so many times again."""
    files = [folder / case.file, folder / "source.mp4", folder / "other.mp4"]
    return [str(python), "-c", PEER, case.model, *map(str, files), str(rounds)]


def main() -> int:
    """Measure every case and print a table."""
    build = ROOT / "build"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, default=build / "realesrgan/bin/python", help="python with realesrgan")
    parser.add_argument("--framelift", type=Path, default=build / "framelift/bin/framelift", help="its command")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("models", nargs="*", help="all by default")
    options = parser.parse_args()
    print(HEAD)
    for case in CASES:
        if options.models and case.model not in options.models:
            continue
        rows: list[tuple[str, Callable[[], Pairs]]] = []
        if options.peer.exists():
            rows.append(("after load, realesrgan", partial(after_load, case, options.peer, options.rounds)))
            rows.append(("realesrgan", partial(commands, case, options.peer, None, options.rounds)))
        if options.framelift.exists():
            rows.append(("framelift", partial(commands, case, None, options.framelift, options.rounds)))
        for other, measured in rows:
            print(measured().line(f"{case.name}, {other}"), flush=True)
    for path in (options.peer, options.framelift):
        if not path.exists():
            print(f"There is no {path}: the docstring of this script says how to get it.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
