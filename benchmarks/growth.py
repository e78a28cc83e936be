"""How time and memory grow with a clip's length and size, the videos of a batch, and tiles.

    python -m benchmarks.growth

Each figure is the second job of a fresh process on the CPU: seconds of the CPU, which tell what a busy machine hides,
and the peak memory of the process. It writes a table, `GROWTH.md`, and its chart beside this
script.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import cycle, groupby, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.turns import Cost
from tools.svg import Drawing

FOLDER: Final = Path(__file__).parent
MULTIPLES: Final = (1, 2, 4, 8)
_MB: Final = 1e6
_UPSCALE: Final[dict[str, Any]] = {"model": "RealESR_AnimeVideo_v3", "scale_factor": 2.0}
_CINEMATIC: Final[dict[str, Any]] = {"preset": "cinematic"}


@dataclass(frozen=True)
class Point:
    """One job: an operation with its fields on so many copies of a clip."""

    topic: str
    series: str
    multiple: int
    endpoint: str
    fields: dict[str, Any]
    size: tuple[int, int]
    frames: int
    videos: int = 1


@dataclass(frozen=True)
class Figure:
    """What a job took."""

    topic: str
    series: str
    multiple: int
    cpu_seconds: float
    wall_seconds: float
    peak_mb: float


def points() -> Iterator[Point]:
    """All jobs: multiples of a short clip, of a small frame, of a video and of a tile."""
    for n in MULTIPLES:
        yield Point("length", "filters", n, "filters", _CINEMATIC, (320, 180), 50 * n)
        yield Point("length", "GIF", n, "export", {"format": "GIF", "quality": 80}, (160, 90), 50 * n)
        yield Point("length", "ping-pong", n, "loop", {"loop_type": "ping-pong"}, (320, 180), 50 * n)
        yield Point("length", "extract frames", n, "extract_frames", {}, (320, 180), 25 * n)
        yield Point("length", "upscale", n, "upscale", _UPSCALE, (64, 36), 25 * n)
    for n, factor in zip(MULTIPLES, (1, 2**0.5, 2, 8**0.5), strict=True):
        sides = [(round(width * factor / 2) * 2, round(height * factor / 2) * 2) for width, height in _SIZES]
        yield Point("size", "filters", n, "filters", _CINEMATIC, sides[0], 24)
        yield Point("size", "upscale", n, "upscale", _UPSCALE, sides[1], 8)
    for n in MULTIPLES:
        filters = {"operations": [{"type": "filters", "params": _CINEMATIC}]}
        upscale = {"operations": [{"type": "upscale", "params": _UPSCALE}]}
        yield Point("batch", "filters", n, "batch", filters, (320, 180), 50, n)
        yield Point("batch", "upscale", n, "batch", upscale, (64, 36), 16, n)
    for n, size in zip(MULTIPLES, ((256, 256), (512, 256), (512, 512), (1024, 512)), strict=True):
        yield Point("tiles", "upscale in tiles of 256", n, "upscale", {**_UPSCALE, "tile_size": 256}, size, 2)


_SIZES: Final = ((320, 180), (96, 54))
TOPICS: Final = {
    "length": "Length: frames of a clip",
    "size": "Size: pixels of a frame",
    "batch": "Batch: videos of a job",
    "tiles": "Tiles: pixels in tiles of one size",
}


def measure(point: Point, folder: Path) -> Figure:
    """Measure a job in a fresh process."""
    source = folder / f"{point.size[0]}x{point.size[1]}-{point.frames}.mp4"
    if not source.exists():
        make_source(source, point.size, point.frames)
    command = [sys.executable, "-m", "benchmarks.growth", "--job", json.dumps(asdict(point)), str(source)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=FOLDER.parent)
    return Figure(point.topic, point.series, point.multiple, **json.loads(done.stdout.splitlines()[-1]))


def make_source(path: Path, size: tuple[int, int], count: int) -> None:
    """A real clip, made small, again and again until there are enough frames."""
    import av

    from tests.support.clips import real_clip

    with av.open(str(real_clip("bigbuckbunny"))) as clip:
        frames = [
            frame.reformat(*size, format="yuv420p", interpolation="AREA")
            for frame in islice(clip.decode(video=0), count)
        ]
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index, frame in enumerate(islice(cycle(frames), count)):
            frame.pts, frame.time_base, frame.pict_type = index, Fraction(1, 25), 0
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def run_job(point: dict[str, Any], source: Path) -> None:
    """Do a job of one video, then the job, and print what that took."""
    from framepack.job import Job, JobInput
    from framepack.runtime import Runtime
    from framepack.settings import Settings

    video = {"video_base64": base64.b64encode(source.read_bytes()).decode()}
    with TemporaryDirectory() as folder:
        runtime = Runtime(
            Settings(
                storage=f"file:{folder}/store",
                temp_dir=Path(folder) / "temp",
                weights_download=False,
                inline_limit_mb=0,
                device="cpu",
            )
        )

        def job(videos: int) -> None:
            given = {"videos": [video] * videos} if point["endpoint"] == "batch" else video
            fields = {"endpoint": point["endpoint"], **point["fields"], **given}
            answer = runtime.run(JobInput(fields), Job("benchmark"))
            if not answer.get("success"):
                raise SystemExit(str(answer))

        job(1)
        cost = Cost.of(lambda: job(point["videos"]))
    peak = _peak_bytes() / _MB
    print(json.dumps({"cpu_seconds": cost.cpu, "wall_seconds": cost.wall, "peak_mb": peak}))


def _peak_bytes() -> int:
    """Peak memory of this process; `getrusage` would count that of the process that started it, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def page(figures: list[Figure], machine: str) -> str:
    """The table and the chart, as a page."""
    rows = []
    for (topic, series), group in groupby(figures, key=lambda each: (each.topic, each.series)):
        each = list(group)
        seconds = " / ".join(f"{figure.cpu_seconds:.2f}" for figure in each)
        memory = " / ".join(f"{figure.peak_mb:.0f}" for figure in each)
        rows.append(
            f"| {topic} | {series} | {seconds} | {each[-1].cpu_seconds / each[0].cpu_seconds:.1f} | {memory} |"
        )
    head = " / ".join(f"x{n}" for n in MULTIPLES)
    return f"""# Growth

Written by `python -m benchmarks.growth`; do not edit. {machine}

<img src="growth.svg" width="560" alt="Time grows in straight lines; memory grows with the size of frames alone">

Each figure is the second job of a fresh process; seconds are those of the CPU. Memory grows with the size of
frames, not with their number. In tiles, the memory of the network stays the same; what grows are the
frames around it, of up to 2048 x 1024 pixels.

| growing | operation | CPU seconds at {head} | times, x8 to x1 | peak MB at {head} |
|---|---|---|---|---|
{chr(10).join(rows)}
"""


_WIDTH, _PANEL, _LEFT, _GAP = 400, 150, 34, 46
_PLOT_HEIGHT, _ROW_HEIGHT, _TOP = 96, 178, 44


def chart(figures: list[Figure]) -> str:
    """For each topic, the CPU time in multiples of the first point, and the peak memory."""
    drawing = Drawing(_WIDTH, _TOP + _ROW_HEIGHT * len(TOPICS), "How time and memory grow")
    drawing.text((8, 18), "How time and memory grow", size=15, is_bold=True)
    drawing.text((8, 35), "left: CPU time, in multiples; right: peak memory, in MB", color="muted", size=12)
    for row, (topic, heading) in enumerate(TOPICS.items()):
        of_topic = [each for each in figures if each.topic == topic]
        _panels(drawing, _TOP + row * _ROW_HEIGHT, heading, of_topic)
    return drawing.svg()


def _panels(drawing: Drawing, top: float, heading: str, figures: list[Figure]) -> None:
    series = list(dict.fromkeys(each.series for each in figures))
    drawing.text((8, top + 16), heading, size=13, is_bold=True)
    x = 8.0
    for number, name in enumerate(series):
        drawing.dot((x + 4, top + 29), color=str(number), radius=3.5)
        drawing.text((x + 11, top + 33), name, size=11.5)
        x += 19 + 6.2 * len(name)
    high = max(each.peak_mb for each in figures) * 1.1
    lefts = (_LEFT, _LEFT + _PANEL + _GAP)
    for left, limit in zip(lefts, (float(MULTIPLES[-1]), high), strict=True):
        _axes(drawing, left, top + 44, limit, is_time=left == _LEFT)
    for number, name in enumerate(series):
        each = [figure for figure in figures if figure.series == name]
        values = ([f.cpu_seconds / each[0].cpu_seconds for f in each], [f.peak_mb for f in each])
        for left, ys, limit in zip(lefts, values, (float(MULTIPLES[-1]), high), strict=True):
            spots = [
                _spot(left, top + 44, figure.multiple, min(y / limit, 1.06))
                for figure, y in zip(each, ys, strict=True)
            ]
            drawing.line(spots, color=str(number), width=1.8)
            for spot in spots:
                drawing.dot(spot, color=str(number))


def _spot(left: float, top: float, multiple: float, share: float) -> tuple[float, float]:
    return left + _PANEL * multiple / MULTIPLES[-1], top + _PLOT_HEIGHT * (1 - share)


def _axes(drawing: Drawing, left: float, top: float, limit: float, *, is_time: bool) -> None:
    bottom = top + _PLOT_HEIGHT
    drawing.line([(left, top), (left, bottom), (left + _PANEL, bottom)], color="grid")
    if is_time:
        drawing.line([(left, bottom), (left + _PANEL, top)], color="muted", is_dashed=True)
    step = next(each for each in (50, 100, 200, 250, 500, 1000, 5000) if limit / each < 5)  # noqa: PLR2004 - marks
    marks = MULTIPLES if is_time else range(0, int(limit), step)
    for mark in marks:
        y = bottom - _PLOT_HEIGHT * mark / limit
        drawing.text((left - 4, y + 4), f"{mark:g}", size=11, color="muted", anchor="end")
    for multiple in MULTIPLES:
        x = left + _PANEL * multiple / MULTIPLES[-1]
        drawing.text((x, bottom + 14), f"x{multiple}", size=11, color="muted", anchor="middle")


def _machine() -> str:
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    busy = os.getloadavg()[0]
    load = f"load {busy:.1f} from other work" if busy > 1.5 * len(names) else "quiet"
    day = time.strftime("%Y-%m-%d")
    return f"{day}, {len(names)} x {names[0]}, {load}, Python {platform.python_version()}."


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to write")
    options = parser.parse_args()
    if options.job:
        run_job(json.loads(options.job[0]), Path(options.job[1]))
        return
    machine, figures = _machine(), []
    with TemporaryDirectory() as folder:
        for point in points():
            figures.append(measure(point, Path(folder)))
            print(json.dumps(asdict(figures[-1])), flush=True)
    write(figures, machine, options.folder)


def write(figures: list[Figure], machine: str, folder: Path) -> None:
    """Write the page and its chart."""
    ordered = sorted(figures, key=lambda each: (list(TOPICS).index(each.topic), each.series, each.multiple))
    (folder / "GROWTH.md").write_text(page(ordered, machine), encoding="utf-8")
    (folder / "growth.svg").write_text(chart(ordered), encoding="utf-8")


if __name__ == "__main__":
    main()
