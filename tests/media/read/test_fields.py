"""Fields coded alone (PAFF): two packets for each frame, through real operations."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from framepack.media.images.convert import to_rgb
from framepack.media.read.fields import FieldPairs
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from tests.support.clips import barred, bars_of
from tests.support.fields import write_fields
from tests.support.readback import read_back
from tests.support.runs import bench

COUNT = 12
REORDERED = [0, *(number for pair in range(1, COUNT - 1, 2) for number in (pair + 1, pair)), COUNT - 1]


def numbered(count: int = COUNT) -> list[NDArray[np.uint8]]:
    """Frames of which each shows its number."""
    return [barred(number, 128, 64)[..., 0] for number in range(count)]


def shown(path: Path) -> tuple[list[int], list[str]]:
    """The numbers that the frames of a clip show, and its sentences."""
    warnings: list[str] = []
    clip = open_clip(path, probe(path), warn=warnings.append)
    return [bars_of(to_rgb(frame)) for frame in clip.frames()], warnings


@pytest.mark.parametrize("suffix", ["ts", "mp4", "mkv", "avi"])
@pytest.mark.parametrize("order", [None, REORDERED], ids=["in order", "reordered"])
@pytest.mark.parametrize("each_alone", [True, False], ids=["a packet per field", "a packet per frame"])
def test_two_fields_are_one_frame(tmp_path: Path, suffix: str, order: list[int] | None, *, each_alone: bool) -> None:
    """Every frame comes once, in order, at the rate of the frames."""
    path = write_fields(tmp_path / f"fields.{suffix}", numbered(), order=order, each_alone=each_alone)
    info = probe(path)
    assert (info.fps, info.length, info.frame_count) == (Fraction(25), COUNT, COUNT)
    assert shown(path) == (list(range(COUNT)), [])


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), Fraction(30), Fraction(24000, 1001), Fraction(12)])
def test_the_rate_is_that_of_frames(tmp_path: Path, fps: Fraction) -> None:
    """Fields come twice as often."""
    info = probe(write_fields(tmp_path / "fields.ts", numbered(), fps=fps))
    assert (info.fps, info.length) == (fps, COUNT)


@pytest.mark.parametrize(
    ("endpoint", "fields", "times"),
    [("export", {}, 1), ("filters", {"preset": "warm"}, 1), ("loop", {"num_loops": 1}, 2)],
)
def test_outputs_have_every_frame_once(tmp_path: Path, endpoint: str, fields: dict[str, Any], times: int) -> None:
    """Also those that could be made by copying packets."""
    worker = bench(tmp_path, video_preset="ultrafast")
    output = worker.output(worker.run(endpoint, write_fields(tmp_path / "fields.mp4", numbered()), **fields))
    assert [bars_of(frame) for frame in read_back(output).frames] == list(range(COUNT)) * times


def test_fields_of_different_times_are_deinterlaced(tmp_path: Path) -> None:
    """Each frame of moving fields becomes one without combs, and the answer says so."""
    phases = [np.sin((np.arange(192) - 4 * time) / 5.0) for time in range(2 * COUNT)]
    rows = [np.broadcast_to(128 + 100 * phase, (128, 192)).round().astype(np.uint8) for phase in phases]
    frames = [np.where(np.arange(128)[:, None] % 2, rows[2 * n + 1], rows[2 * n]) for n in range(COUNT)]
    path = write_fields(tmp_path / "moving.ts", frames)
    warnings: list[str] = []
    results = [
        to_rgb(frame)[..., 0].astype(int) for frame in open_clip(path, probe(path), warn=warnings.append).frames()
    ]
    assert len(results) == COUNT
    assert warnings == ["The video is interlaced; each of its frames was deinterlaced to one frame."]
    assert max(np.abs(np.diff(result[8:-8], axis=0)).mean() for result in results[2:-2]) < 3


def test_a_field_without_its_pair_is_a_frame(tmp_path: Path) -> None:
    """Where a field was lost, the others stay pairs."""
    path = write_fields(tmp_path / "lost.mkv", numbered(), lost_fields={11})
    assert probe(path).frame_count == COUNT
    numbers, _ = shown(path)
    assert numbers[:5] + numbers[6:] == [*range(5), *range(6, COUNT)]


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\1", b"\0\0\1\x67", b"\0\0\1\x65", b"\1" * 9, b"\0\0\1\x67\x4d" + bytes(40)]
)
def test_damaged_parameters_pair_nothing(data: bytes) -> None:
    """Nothing is hidden where nothing is known."""
    pairs = FieldPairs("h264", data)
    assert not any(pairs.is_second(memoryview(data), is_key=is_key) for is_key in (True, False, True))
