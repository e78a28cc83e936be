"""The ratios that depend little on the machine, in one table: `make bench`, a few minutes on two cores.

    python -m benchmarks [NAME ...]

NAME is the beginning of the names of rows; all by default. What needs other software that is not there is left out,
with a line that says how to get it. The other scripts of this folder have more rows and more rounds, and
`benchmarks.turns` says what the ratios are.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import interpolate, operations, pipeline, upscale
from benchmarks.filters import find_ffmpeg
from benchmarks.turns import HEAD, Cost, Pairs, in_turn

BUILD = upscale.ROOT / "build"
OPERATION_ROUNDS, ROUNDS = 2, 2
Row = tuple[str, Callable[[], Pairs]]


def rows(wanted: Callable[[str], bool]) -> Iterator[Row | str]:
    """Name and measurement of each row that is wanted, or a line that says why rows are left out."""
    yield from _upscaling(wanted)
    yield from _operations(wanted)
    for name, (size, count, steps) in pipeline.JOBS.items():
        yield (
            f"{name}, one by one",
            lambda size=size, count=count, steps=steps: pipeline.in_pairs(  # type: ignore[misc]
                size, count // 2, steps, ROUNDS
            ),
        )
    yield "interpolation, 640x360 2x, a plain loop", _interpolation


def _upscaling(wanted: Callable[[str], bool]) -> Iterator[Row | str]:
    case = upscale.CASES[0]
    loop, framelift = BUILD / "realesrgan/bin/python", BUILD / "framelift/bin/framelift"
    how = "the docstring of benchmarks/upscale.py says how to install it"
    names = [f"upscale, {what}" for what in ("after load, realesrgan", "command, realesrgan", "command, framelift")]
    if loop.exists():
        yield names[0], partial(upscale.after_load, case, loop, ROUNDS)
        yield names[1], partial(upscale.commands, case, loop, None, ROUNDS)
    elif wanted(names[0]) or wanted(names[1]):
        yield f"upscale beside realesrgan is left out: there is no {loop.relative_to(upscale.ROOT)}; {how}."
    if framelift.exists():
        yield names[2], partial(upscale.commands, case, None, framelift, ROUNDS)
    elif wanted(names[2]):
        yield f"upscale beside framelift is left out: there is no {framelift.relative_to(upscale.ROOT)}; {how}."


def _operations(wanted: Callable[[str], bool]) -> Iterator[Row | str]:
    cases = [case for case in operations.COMPARISONS if wanted(case.name)]
    ffmpeg = find_ffmpeg()
    if cases and ffmpeg is None:
        yield "operations beside FFmpeg are left out: install ffmpeg, or the package imageio-ffmpeg."
    elif cases and ffmpeg is not None:
        with TemporaryDirectory() as folder:
            bench = operations.Bench(Path(folder), ffmpeg)
            for case in cases:
                yield case.name, partial(operations.measured, bench, case, OPERATION_ROUNDS)


def _interpolation() -> Pairs:
    from framepack.models.interpolate.interpolator import Interpolator
    from framepack.models.interpolate.rife import load_rife
    from framepack.models.memory.device import Device

    state, device = interpolate.weights(None), Device.find("cpu")
    model, plain = Interpolator(load_rife(state), device), interpolate.PlainLoop(state, device.torch_device)
    frames = interpolate.decoded("bigbuckbunny", (640, 360), 4)
    interpolate.ours(frames, model, 2)
    return in_turn(
        lambda: Cost.of(lambda: interpolate.ours(frames, model, 2)),
        lambda: Cost.of(lambda: list(plain(frames, 2))),
        ROUNDS,
    )


def main() -> None:
    """Measure and print."""
    names = tuple(sys.argv[1:])

    def wanted(name: str) -> bool:
        return not names or name.startswith(names)

    started, left_out = time.monotonic(), []
    print(HEAD)
    for row in rows(wanted):
        if isinstance(row, str):
            left_out.append(row)
        elif wanted(row[0]):
            print(row[1]().line(row[0]), flush=True)
    print(*left_out, sep="\n")
    seconds = time.monotonic() - started
    print(f"ratio: how many times as fast ours is; medians of pairs taken in turn; {seconds:.0f} s in all")


if __name__ == "__main__":
    main()
