"""The chart of ratios: made from the table of results, bar by bar."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tools.ratio_chart import Ratio, ratio_chart, ratios

RESULTS = """# Results

## Side by side

| what | beside | ratio | in CPU | ours | other | machine | command |
|---|---|---|---|---|---|---|---|
| filters | `FFmpeg` | 2.00 | 1.90 | 1 s | 2 s | quiet | `python -m a` |
| join & loop | `FFmpeg` | 0.50 | 0.40 to 0.60 | 2 s | 1 s | busy | `python -m a` |
| upscale | a loop | 1.00 to 4.00 | 1.1 | 2 s | 1 s | quiet | `python -m b` |

## Other

| what | beside |
|---|---|
| not here | - |
"""
SVG = "{http://www.w3.org/2000/svg}"


def test_rows_are_numbers_and_ranges() -> None:
    """Only those of the table below its heading."""
    assert list(ratios(RESULTS)) == [
        Ratio("filters", "FFmpeg", 2, 2, "1.90", is_busy=False),
        Ratio("join & loop", "FFmpeg", 0.5, 0.5, "0.40 to 0.60", is_busy=True),
        Ratio("upscale", "a loop", 1, 4, "1.1", is_busy=False),
    ]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("| 2.00 |", "| about 2 |", "cannot be read: | filters"),
        ("| 1.90 |", "| |", "cannot be read: | filters"),
        ("| busy |", "| |", "cannot be read: | join"),
        ("| in CPU |", "| CPU |", "there is no table with the columns what, beside"),
        ("## Side by side", "## Sides", "there is no table"),
    ],
)
def test_a_row_without_a_number_is_refused(old: str, new: str, sentence: str) -> None:
    """A ratio needs seconds of the CPU beside it, and the machine that it was taken on."""
    with pytest.raises(ValueError, match=sentence.replace("|", r"\|")):
        list(ratios(RESULTS.replace(old, new)))


def test_bars_are_as_long_as_their_ratios() -> None:
    """A range has a second, paler part; what was measured on a busy machine has an edge."""
    image = ET.fromstring(ratio_chart(RESULTS))  # noqa: S314 - our own

    bars = [each for each in image.iter(f"{SVG}rect") if each.get("height") == "12"]
    widths = [float(bar.get("width", 0)) for bar in bars]
    assert [round(width / widths[2], 2) for width in widths] == [2, 0.5, 1, 3]
    assert ["s-" in str(bar.get("class")) for bar in bars] == [False, True, False, False]
    assert float(bars[3].get("x", 0)) + widths[3] <= float(image.get("width", 0))
    words = [each.text for each in image.iter(f"{SVG}text")]
    assert {"join & loop", "0.50 (0.40 to 0.60)", "1.00 to 4.00 (1.1)", "FFmpeg", "a loop"} <= set(words)


def test_text_is_readable_on_a_phone() -> None:
    """At a width of 360 pixels, no letters are under 11 pixels."""
    results = (Path(__file__).parents[2] / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    image = ET.fromstring(ratio_chart(results))  # noqa: S314 - our own

    scale = 360 / float(image.get("width", 0))
    assert min(float(each.get("font-size", 0)) for each in image.iter(f"{SVG}text")) * scale >= 11
