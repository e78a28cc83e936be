"""The charts of growth, and the job behind each of their points."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import av
import pytest

import benchmarks.__main__ as bench
from benchmarks.growth import MULTIPLES, TOPICS, Figure, Point, chart, make_source, page, points

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def test_time_that_doubles_with_the_work_is_a_straight_line() -> None:
    """And memory that stays the same is a level one."""
    figures = [Figure(topic, "filters", n, 0.5 * n, 1.0 * n, 300) for topic in TOPICS for n in MULTIPLES]

    image = ET.fromstring(chart(figures))  # noqa: S314 - our own

    lines = [each for each in image.iter(f"{SVG}polyline") if each.get("class") == "s-0"]
    assert len(lines) == 2 * len(TOPICS)
    for time, memory in zip(lines[::2], lines[1::2], strict=True):
        spots = [tuple(map(float, spot.split(","))) for spot in str(time.get("points")).split()]
        slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(spots)]
        assert slopes == pytest.approx([slopes[0]] * 3, abs=0.01)
        assert slopes[0] < 0  # up is down in SVG
        assert len({spot.split(",")[1] for spot in str(memory.get("points")).split()}) == 1
    assert "| length | filters | 0.50 / 1.00 / 2.00 / 4.00 | 8.0 | 300 / 300 / 300 / 300 |" in page(figures, "")


def test_every_topic_has_points_of_every_multiple() -> None:
    """Each series has all of them."""
    series = {(point.topic, point.series) for point in points()}

    assert {topic for topic, _ in series} == set(TOPICS)
    assert len(list(points())) == len(series) * len(MULTIPLES)


def test_a_point_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    """Its clip has as many frames as it asks for, also more than the real one has."""
    source = tmp_path / "source.mp4"
    make_source(source, (32, 18), 150)
    point = Point("length", "filters", 1, "filters", {"brightness": 5}, (32, 18), 150)
    command = [sys.executable, "-m", "benchmarks.growth", "--job", json.dumps(asdict(point)), str(source)]

    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)

    figure = json.loads(done.stdout)
    with av.open(str(source)) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == 150
    assert figure["cpu_seconds"] > 0
    assert 30 < figure["peak_mb"] < 2000


def test_software_that_is_not_there_is_left_out_with_a_line_that_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else is measured or said for these rows."""
    monkeypatch.setattr(bench, "BUILD", ROOT / tmp_path.name)
    monkeypatch.setattr(bench, "find_ffmpeg", lambda: None)

    told = [row for row in bench.rows(lambda name: name.startswith(("upscale", "filters"))) if isinstance(row, str)]

    assert ["realesrgan" in told[0], "framelift" in told[1], "install ffmpeg" in told[2]] == [True] * 3
    assert len(told) == 3
