"""Filters on the CPU against FFmpeg's own chain of the same controls, side by side in one run.

FFmpeg is the `ffmpeg` found on the path, or the one of the package `imageio-ffmpeg` if that can be imported:

    python3 -m venv build/peer && build/peer/bin/pip install imageio-ffmpeg
    python -m benchmarks.filters --ffmpeg $(build/peer/bin/python -c \
        "import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())")

Both filter the same frames of a real clip (1280 x 720, 8 bits), in turns, with all cores. "job" is from file to file,
as a request does it: decode, filter, encode (libx264, medium, CRF 16). "alone" is filtering and nothing else: ours
gets decoded frames; FFmpeg decodes few frames and repeats them, and what it takes with no filter is subtracted.
FFmpeg's chains are those of the original. Every control stands three tenths of the way from its default to its upper
end. Figures are the fastest of the rounds; a ratio above 1 says how many times as fast ours is, on the clock and in
seconds of the CPU, which tell what a busy machine hides.
"""

from __future__ import annotations

import argparse
import math
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from benchmarks.turns import Cost
from framepack.api.filter_settings import CONTROLS, FilterSettings

CASES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "cinematic": {"preset": "cinematic"},
    **{each.request_name: {each.request_name: max(each.toward_ends(0.3))} for each in CONTROLS},
    "contrast_of_colors": {"contrast": 1.6},
}
# The original's contrast leaves the colors as they are, ours raises them with the light. This is FFmpeg's chain for
# our frame, beside the original's.
SAME_FRAME: dict[str, str] = {"contrast_of_colors": "eq=contrast=1.60:saturation=1.60,format=yuv420p"}
FRAMES, REPEATS = 24, 4
ENCODER = {"crf": 16, "preset": "medium"}


def settings_of(fields: dict[str, Any]) -> FilterSettings:
    """The look that a request with these fields asks for."""
    from framepack.operations.postprocess.filters import FiltersParams

    return FiltersParams.parse(fields).settings()


def chain(look: FilterSettings) -> str:
    """FFmpeg's chain for a look, as the original builds it."""
    d, shift, bend = look.denoise, 0.3 * look.temperature / 100, 0.15 * look.s_curve_contrast / 100
    angle = math.pi / 3.5 + look.vignette / 100 * (math.pi / 2 - math.pi / 3.5)
    parts = {
        f"hqdn3d={0.8 * d:.1f}:{0.6 * d:.1f}:{0.7 * d:.1f}:{0.5 * d:.1f}": d,
        f"colorbalance=rm={shift:.2f}:bm={-shift:.2f}": shift,
        f"eq={_equalizer(look)}": _equalizer(look),
        f"curves=all='0/0 0.25/{0.25 - bend:.2f} 0.75/{0.75 + bend:.2f} 1/1'": bend,
        f"gblur=sigma={0.4 * look.blur:.1f}": look.blur,
        f"unsharp=5:5:{0.3 * look.sharpen:.2f}:5:5:0": look.sharpen,
        f"noise=alls={round(0.5 * look.film_grain_strength)}:allf=t+u": look.film_grain_strength,
        f"vignette=angle={angle:.4f}:aspect=16/9": look.vignette,
        "format=yuv420p": True,
    }
    return ",".join(part for part, is_wanted in parts.items() if is_wanted)


def _equalizer(look: FilterSettings) -> str:
    """Those of three controls that are not neutral."""
    values = {"brightness": look.brightness / 100, "contrast": look.contrast, "saturation": look.saturation}
    neutral = {"brightness": 0, "contrast": 1, "saturation": 1}
    return ":".join(f"{name}={value:.2f}" for name, value in values.items() if value != neutral[name])


class Ours:
    """Our side."""

    def __init__(self, source: Path, target: Path) -> None:
        from framepack.media.read.probe import probe
        from framepack.media.read.reader import open_clip

        self._target = target
        self._clip = open_clip(source, probe(source), warn=lambda _: None)
        self._frames = list(islice(self._clip.frames(), FRAMES))

    def alone(self, fields: dict[str, Any]) -> None:
        """Filter decoded frames."""
        from dataclasses import replace

        frames = self._frames * REPEATS
        for _ in self._filtered(replace(self._clip, frames=lambda: iter(frames)), fields).frames():
            pass

    def job(self, fields: dict[str, Any]) -> None:
        """Filter the file."""
        from framepack.media.write.writer import write

        write(self._filtered(self._clip, fields), self._target, **ENCODER)  # type: ignore[arg-type]

    @staticmethod
    def _filtered(clip: Any, fields: dict[str, Any]) -> Any:
        from framepack.api.filter_settings import built_in_preset
        from framepack.operations.postprocess.filters import FiltersParams, filtered

        context = SimpleNamespace(filter_preset=built_in_preset)
        return filtered.apply(clip, FiltersParams.parse(fields), context)  # type: ignore[arg-type] # all it uses


class Theirs:
    """FFmpeg."""

    def __init__(self, ffmpeg: str, source: Path, target: Path) -> None:
        self._ffmpeg, self._source, self._target = ffmpeg, source, target

    def alone(self, filters: str) -> None:
        """Filter a few frames again and again."""
        repeat = f"trim=end_frame={FRAMES},loop=loop={REPEATS - 1}:size={FRAMES}"
        self._run("-an", "-vf", f"{repeat},{filters}", "-f", "null", "-")

    def job(self, filters: str) -> None:
        """Filter the file."""
        encoder = [word for name, value in ENCODER.items() for word in (f"-{name}", str(value))]
        self._run("-vf", filters, "-c:v", "libx264", *encoder, "-c:a", "copy", "-y", str(self._target))

    def _run(self, *arguments: str) -> None:
        command = [self._ffmpeg, "-v", "error", "-nostdin", "-i", str(self._source), *arguments]
        subprocess.run(command, check=True)


def find_ffmpeg() -> str | None:
    """The path of an FFmpeg to compare with."""
    try:
        import imageio_ffmpeg  # type: ignore[import-not-found]
    except ImportError:
        return shutil.which("ffmpeg")
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def measure(ours: Ours, theirs: Theirs, name: str, rounds: int) -> dict[str, tuple[Cost, Cost]]:
    """The cost of ours and of theirs, alone and as a job."""
    fields = CASES[name]
    filters = SAME_FRAME.get(name) or chain(settings_of(fields))
    best: dict[str, Cost | None] = {}
    for _ in range(rounds):
        for side, work in {
            "ours alone": lambda: ours.alone(fields),
            "theirs alone": lambda: theirs.alone(filters),
            "nothing": lambda: theirs.alone("null"),
            "ours job": lambda: ours.job(fields),
            "theirs job": lambda: theirs.job(filters),
        }.items():
            best[side] = Cost.of(work).best(best.get(side))
    cost = {side: value for side, value in best.items() if value is not None}
    return {
        "alone": (cost["ours alone"], cost["theirs alone"] - cost["nothing"]),
        "job": (cost["ours job"], cost["theirs job"]),
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ffmpeg", default=find_ffmpeg(), help="path of the FFmpeg to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("cases", nargs="*", default=list(CASES), help="which looks")
    options = parser.parse_args()
    if options.ffmpeg is None:
        print("No FFmpeg to compare with: see this script's docstring.", file=sys.stderr)
        return 1
    from tests.support.clips import real_clip

    source = real_clip("bigbuckbunny")
    print(f"{'':20}{'job: seconds':>16}{'ratio':>8}{'CPU':>6}{'alone: ms a frame':>24}{'ratio':>8}{'CPU':>6}")
    with TemporaryDirectory() as folder:
        ours, theirs = Ours(source, Path(folder) / "ours.mp4"), Theirs(options.ffmpeg, source, Path(folder) / "t.mp4")
        for name in options.cases:
            if CASES[name] and chain(settings_of(CASES[name])) == chain(FilterSettings()):
                print(f"{name:20} the original's chain has nothing like it", flush=True)
                continue
            costs = measure(ours, theirs, name, options.rounds)
            alone = line(*costs["alone"], 1000 / (FRAMES * REPEATS)) if CASES[name] else ""
            print(f"{name:20}{line(*costs['job'], 1)}{alone:>38}", flush=True)
    return 0


def line(ours: Cost, theirs: Cost, scale: float) -> str:
    """Both times, and both ratios."""
    times = f"{ours.wall * scale:.2f} / {theirs.wall * scale:.2f}"
    return f"{times:>16}{theirs.wall / ours.wall:8.2f}{theirs.cpu / ours.cpu:6.2f}"


if __name__ == "__main__":
    sys.exit(main())
