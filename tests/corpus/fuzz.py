"""Mutants of the corpus through whole operations: ``python -m tests.corpus.fuzz [COUNT [SEED]]`` prints the figures.

Operations run in processes of their own, with bounds of time and memory, so that a crash of a native library and a
hang are noticed and do not end the run.
"""

from __future__ import annotations

import json
import queue
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from PIL import Image, ImageSequence

from framepack.answer import Answer
from framepack.storage.frames.folders import folder_key
from tests.corpus.row import Row
from tests.corpus.table import ROWS
from tests.support.clips import damage_randomly
from tests.support.runs import Bench, bench

SECONDS: Final = 60
"""Longest time for one mutant; most take less than a tenth of a second."""
MEMORY_MB: Final = 4096
"""Address space of a process, threads included."""
_SOURCES: Final = [row for row in ROWS if row.refused is None]
_CALLS: Final[tuple[tuple[str, dict[str, Any], int], ...]] = (
    ("export", {"format": "MP4"}, 1),
    ("extract_frames", {}, 1),
    ("filters", {"sharpen": 0.1}, 1),
    ("loop", {}, 2),
)
"""Operations, their fields, and how often each frame comes out."""
_LIMITS: Final = {"max_frames": 2000, "max_pixels": 2**18, "max_seconds": 120, "max_output_frames": 5000}
_KINDS: Final = 8


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant.

    Attributes:
        number: Its number.
        row: Name of the row that it was made from.
        operation: What was run on it.
        result: "crash", "hang", "silent loss", "unclear error", "left behind", or how it went well.
        detail: The sentence or the numbers.
        seconds: How long it took.
        peak_mb: The process's largest resident memory so far.
    """

    number: int
    row: str
    operation: str
    result: str
    detail: str = ""
    seconds: float = 0
    peak_mb: int = 0

    @property
    def is_fault(self) -> bool:
        """Whether the worker did what it must not."""
        return self.result not in {"refused", "warned", "whole", "as other readers"}


def mutant(number: int, seed: int, files: dict[str, bytes]) -> tuple[Row, bytes]:
    """A damaged file: cut, overwritten, repeated or flipped bytes, or parts of two files."""
    rng = np.random.default_rng([seed, number])
    row = _SOURCES[number % len(_SOURCES)]
    data = files[row.name]
    if rng.integers(_KINDS):
        return row, damage_randomly(data, rng)
    other = files[_SOURCES[int(rng.integers(len(_SOURCES)))].name]
    share = float(rng.random())
    return row, data[: round(share * len(data))] + other[round(share * len(other)) :]


def fuzz(count: int, seed: int, folder: Path, processes: int = 2) -> list[Outcome]:
    """Try this many mutants."""
    files = folder / "files"
    for row in _SOURCES:
        (files / row.name).mkdir(parents=True)
        made = row.make(files / row.name)
        made.rename(files / row.name / "source")
    share = -(-count // processes)
    outcomes: list[Outcome] = []
    parts = [(first, min(first + share, count)) for first in range(0, count, share)]
    threads = [
        threading.Thread(target=lambda begin, end: outcomes.extend(_watched(begin, end, seed, folder)), args=part)
        for part in parts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(outcomes, key=lambda outcome: outcome.number)


def _watched(first: int, end: int, seed: int, folder: Path) -> Iterator[Outcome]:
    """Run a range of mutants in a process, and another one for the rest if it ends early or hangs."""
    while first < end:
        command = [
            sys.executable,
            "-m",
            "tests.corpus.fuzz",
            "--worker",
            str(folder),
            str(seed),
            str(first),
            str(end),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            lines: queue.Queue[str] = queue.Queue()
            thread = threading.Thread(target=_pass_on, args=(process, lines))
            thread.start()
            reason = "crash"
            while first < end:
                try:
                    line = lines.get(timeout=SECONDS)
                except queue.Empty:
                    reason = "hang"
                    break
                if not line:
                    break
                yield Outcome(**json.loads(line))
                first += 1
            process.kill()
            code = process.wait()
            thread.join()
        if first < end:
            yield Outcome(
                first, _SOURCES[first % len(_SOURCES)].name, _CALLS[first % len(_CALLS)][0], reason, str(code)
            )
            first += 1


def _pass_on(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            lines.put(line)
    lines.put("")


def _work(folder: Path, seed: int, first: int, end: int) -> None:
    """Try a range of mutants in this process, and print a line about each."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MB * 2**20, MEMORY_MB * 2**20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    files = {row.name: (folder / "files" / row.name / "source").read_bytes() for row in _SOURCES}
    with tempfile.TemporaryDirectory(dir=folder) as own:
        worker = bench(Path(own), video_preset="ultrafast", device="cpu", **_LIMITS)
        for number in range(first, end):
            began = time.monotonic()
            row, data = mutant(number, seed, files)
            path = Path(own) / "mutant"
            path.write_bytes(data)
            name, fields, plays = _CALLS[(number // len(_SOURCES) + number) % len(_CALLS)]
            answer = worker.run(name, path, **fields)
            result, detail = judged(row, name, path, answer, worker, plays)
            if left := worker.leftovers():
                result, detail = "left behind", str(left)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            outcome = Outcome(number, row.name, name, result, detail, round(time.monotonic() - began, 3), peak)
            print(json.dumps(outcome.__dict__), flush=True)  # noqa: T201 - read by the parent process


def judged(row: Row, operation: str, path: Path, answer: Answer, worker: Bench, plays: int) -> tuple[str, str]:
    """Whether an answer is an error with a code, has a warning, or has as many frames as there are.

    Where a row says that an operation copies packets as they are, damaged ones count too.
    """
    if "error" in answer:
        is_clear = answer["error"].endswith(".") and answer.get("code") not in {None, "internal_error"}
        return "refused" if is_clear else "unclear error", answer["error"]
    if answer.get("warnings"):
        return "warned", answer["warnings"][0]
    if "frames_path" in answer:
        folder = worker.folder / "outputs" / str(folder_key(answer["folder_name"]))
        count = len(list(folder.glob("*.png")))
    else:
        made = worker.output(answer)
        count = _packets(made) if operation in row.differs else sum(1 for _ in _decoded(made))
    if count >= plays * len(row.shown):
        return "whole", ""
    frames: list[Any] = _animated(path) or list(_decoded(path))
    readable = sum(frame is not None for frame in frames)
    if None not in frames and readable * plays <= count:
        return "as other readers", f"{count} of {plays * len(row.shown)}"
    return "silent loss", f"{count} frames of {plays * len(row.shown)}; others read {readable} of {len(frames)}"


def _packets(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(packet.size > 0 for packet in container.demux(video=0))


def _animated(path: Path) -> list[Image.Image]:
    """The frames of an animation that Pillow decodes, and PyAV may not."""
    try:
        with Image.open(path) as image:
            return [frame.copy() for frame in ImageSequence.Iterator(image)]
    except (OSError, SyntaxError, ValueError):
        return []


def _decoded(path: Path) -> Iterator[av.VideoFrame | None]:
    """The frames that PyAV decodes; None where a packet cannot be decoded."""
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            stream = container.streams.video[0]
            for packet in container.demux(stream):
                try:
                    yield from packet.decode()
                except av.FFmpegError:
                    yield None
    except (av.FFmpegError, IndexError):
        yield None


def _report(outcomes: list[Outcome]) -> str:
    counts = Counter(outcome.result for outcome in outcomes)
    slowest = max(outcome.seconds for outcome in outcomes)
    peak = max(outcome.peak_mb for outcome in outcomes)
    faults = [str(outcome) for outcome in outcomes if outcome.is_fault]
    figures = ", ".join(starmap("{1} {0}".format, counts.most_common()))
    return "\n".join([*faults, f"{len(outcomes)} mutants: {figures}; slowest {slowest} s, peak memory {peak} MB"])


def main(arguments: list[str]) -> None:
    """Run as the parent or, with --worker, as one of its processes."""
    if arguments[:1] == ["--worker"]:
        _work(Path(arguments[1]), *map(int, arguments[2:]))
        return
    count, seed = ([int(argument) for argument in arguments] + [2000, 1][len(arguments) :])[:2]
    with tempfile.TemporaryDirectory() as folder:
        print(_report(fuzz(count, seed, Path(folder))))  # noqa: T201 - a report for people


if __name__ == "__main__":
    main(sys.argv[1:])
