"""Measuring two sides in turn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.turns import Cost, Pairs


def test_the_memory_of_a_process_is_that_of_its_peak_and_of_no_other(tmp_path: Path) -> None:
    """In MiB; the line of a row shows both sides."""
    large, small = (
        Cost.of_process([sys.executable, "-c", f"bytearray(b'1') * {count}"], tmp_path) for count in (200 << 20, 1)
    )
    assert 200 < large.peak < 260
    assert small.peak < 60
    assert Pairs([small], [large]).line("row").endswith(f"   {small.peak:.0f} and {large.peak:.0f} MiB")


def test_a_process_that_fails_is_no_measurement(tmp_path: Path) -> None:
    """Its time would say nothing."""
    with pytest.raises(subprocess.CalledProcessError):
        Cost.of_process([sys.executable, "-c", "exit(3)"], tmp_path)
