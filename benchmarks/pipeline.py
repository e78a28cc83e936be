r"""Upscale, filters and export as one pipeline, against the same three operations one after another, in one run.

Both sides get the same real clip, the same weights and the same settings, and are run in turn. It prints, for each,
the median of the seconds on the clock and the fewest of the CPU (which tell what a busy machine hides), how often
frames were decoded and encoded, and how close the result is to what the steps make of the clip before any encoder
has seen it (PSNR of RGB). Then it prints ratios of two other pipelines; see `benchmarks.turns`.

    python -m benchmarks.pipeline --rounds 3
"""

from __future__ import annotations

import argparse
import base64
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

from benchmarks.turns import HEAD, Cost, Pairs, in_turn
from framepack.job import Job, JobInput
from framepack.runtime import Runtime
from framepack.settings import Settings

Steps = list[dict[str, Any]]
STEPS: Steps = [
    {"type": "upscale", "params": {"model": "RealESR_AnimeVideo_v3", "scale_factor": 4.0}},
    {"type": "filters", "params": {"preset": "warm"}},
    {"type": "export", "params": {"format": "MP4", "quality": 85, "max_width": 1024}},
]

WITHOUT_NETWORK: Steps = [
    {"type": "filters", "params": {"preset": "cinematic"}},
    {"type": "loop", "params": {"loop_type": "ping-pong"}},
    {"type": "export", "params": {"format": "MP4", "quality": 90}},
]
WITH_NETWORK: Steps = [
    {"type": "filters", "params": {"brightness": 5, "contrast": 1.1}},
    {"type": "upscale", "params": {"model": "RealESR_AnimeVideo_v3", "scale_factor": 2.0}},
    {"type": "export", "params": {"format": "MP4", "quality": 90}},
]
JOBS: dict[str, tuple[tuple[int, int], int, Steps]] = {
    "cinematic, ping-pong, export": ((1280, 720), 100, WITHOUT_NETWORK),
    "filters, upscale x2, export": ((160, 96), 48, WITH_NETWORK),
}


@contextmanager
def counting() -> Iterator[dict[str, int]]:
    """Count the passes of the decoder and of the encoder."""
    from framepack.media.read import reader
    from framepack.media.read.decoder import Decoder
    from framepack.media.write import writer
    from framepack.media.write.encoders import add_video

    counts = {"decodes": 0, "encodes": 0}

    def counted(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            counts[what] += 1
            return function(*arguments, **options)

        return call

    with (
        mock.patch.object(reader, "Decoder", counted("decodes", Decoder)),
        mock.patch.object(writer, "add_video", counted("encodes", add_video)),
    ):
        yield counts


def run(runtime: Runtime, source: Path, endpoint: str, **fields: Any) -> Path:
    """Run one operation and return its output."""
    video = base64.b64encode(source.read_bytes()).decode()
    answer = runtime.run(JobInput({"endpoint": endpoint, "video_base64": video, **fields}), Job("benchmark"))
    output = runtime.location(answer)
    if output is None:
        raise SystemExit(str(answer))
    return output


def one_pipeline(runtime: Runtime, source: Path, steps: Steps = STEPS) -> Path:
    """All steps as one pipeline."""
    return run(runtime, source, "pipeline", operations=steps)


def one_by_one(runtime: Runtime, source: Path, steps: Steps = STEPS) -> Path:
    """Each step as an operation of its own, on the output of the one before."""
    for step in steps:
        source = run(runtime, source, step["type"], **step["params"])
    return source


def in_pairs(size: tuple[int, int], count: int, steps: Steps, rounds: int) -> Pairs:
    """Both sides in turn, after one run of the pipeline, which loads its model."""
    from benchmarks.upscale import make_source

    with TemporaryDirectory() as folder:
        source = Path(folder) / "source.mp4"
        make_source(source, "bigbuckbunny", size, count)
        runtime = Runtime(Settings(storage=f"file:{folder}/outputs", weights_download=False, inline_limit_mb=0))
        one_pipeline(runtime, source, steps)
        return in_turn(
            lambda: Cost.of(lambda: one_pipeline(runtime, source, steps)),
            lambda: Cost.of(lambda: one_by_one(runtime, source, steps)),
            rounds,
        )


def unencoded(runtime: Runtime, source: Path) -> list[Any]:
    """What the steps make of the clip, as RGB frames of shape (height, width, 3)."""
    from framepack.api.workflow import Step
    from framepack.media.frames.yuv420 import Yuv420Converter
    from framepack.media.read.probe import probe
    from framepack.media.read.reader import open_clip
    from framepack.processing.steps import build_chain
    from tests.support.readback import rgb_of

    context = runtime.job_context(Job("benchmark"), JobInput({}))
    with context as ctx:
        clip = open_clip(source, probe(source), warn=lambda _: None)
        clip = build_chain([Step.parse(step) for step in STEPS], ctx).apply(clip, ctx)[-1]
        fit = Yuv420Converter(clip)
        return [rgb_of(fit(frame.on_host())) for frame in clip.frames()]


def measure(folder: Path, clip: str, size: tuple[int, int], count: int, rounds: int) -> list[dict[str, Any]]:
    """One row for each side."""
    import numpy as np

    from benchmarks.upscale import make_source
    from tests.support.readback import psnr, read_back

    source = folder / "source.mp4"
    make_source(source, clip, size, count)
    runtime = Runtime(Settings(storage=f"file:{folder / 'outputs'}", weights_download=False, inline_limit_mb=0))
    wanted = np.stack(unencoded(runtime, source))  # this loads the model, too
    sides = {"one pipeline": one_pipeline, "one by one": one_by_one}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in sides}
    rows: dict[str, dict[str, Any]] = {}
    for _ in range(rounds):  # in turn, so that a machine that slows down slows both
        for name, side in sides.items():
            with counting() as counts:
                started, used = time.perf_counter(), time.process_time()
                output = side(runtime, source)
                seconds[name].append(time.perf_counter() - started)
                cpu_seconds[name].append(time.process_time() - used)
            quality = psnr(np.stack(read_back(output).frames), wanted)
            rows[name] = {**counts, "psnr": round(quality, 2), "size_kb": round(output.stat().st_size / 1e3)}
    return [
        {
            "side": name,
            "clip": clip,
            "seconds": round(statistics.median(seconds[name]), 2),
            "cpu_seconds": round(min(cpu_seconds[name]), 2),
            **row,
        }
        for name, row in rows.items()
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=24)
    options = parser.parse_args()
    for clip, size in (("bigbuckbunny", (320, 180)), ("bikes", (320, 136))):
        with TemporaryDirectory() as folder:
            rows = measure(Path(folder), clip, size, options.frames, options.rounds)
        for row in rows:
            print(json.dumps(row), flush=True)
        clock, cpu = (rows[1][figure] / rows[0][figure] for figure in ("seconds", "cpu_seconds"))
        print(f"{clip}: one by one takes {clock:.2f} times as long and {cpu:.2f} times the CPU", flush=True)
    print(HEAD)
    for name, (size, count, steps) in JOBS.items():
        print(in_pairs(size, count, steps, options.rounds).line(name), flush=True)
    print(f"Python {sys.version.split()[0]}; medians of {options.rounds} rounds taken in turn")


if __name__ == "__main__":
    main()
