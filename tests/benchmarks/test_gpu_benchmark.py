"""The benchmark for GPUs, on the processor that is there: every part that needs no other package writes its rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = {
    "copy": "TB_per_second",
    "convolutions": "TFLOP_per_second",
    "upscalers": "share_of_memory_limit",
    "interpolation": "GB_moved",
    "faces": "per_second",
    "large_tensors": "decibels_between_whole_and_tiles",
    "first_job": "median_seconds",
    "encoders": "encoder",
    "upscaling_jobs": "frames_per_second",
    "interpolation_peer": "ratio",
    "profiles": "operations",
}


@pytest.mark.slow
def test_every_part_runs_on_a_processor(tmp_path: Path) -> None:
    """With small images, so that the few minutes of a GPU are not spent on mistakes."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    for part, name in ROWS.items():
        assert all(row[name] for row in rows if row["part"] == part)
        assert f"## {part}\n" in (tmp_path / "tables.md").read_text()
    assert {row["decibels_between_whole_and_tiles"] >= 40 for row in rows if row["part"] == "large_tensors"} == {True}


def test_an_unknown_part_is_refused_with_those_there_are() -> None:
    """Before anything is measured."""
    command = [sys.executable, "-m", "benchmarks.gpu", "upscaler"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)

    assert done.returncode == 2
    assert "there is no part upscaler; there are ceilings, kernels, upscalers, interpolation" in done.stderr
