"""The scripts that draw the documentation's frames still work."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from framepack.api.filter_settings import CONTROLS, Control
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from tests.support.clips import Spec, make_clip
from tools.contact_sheet import CELL, COLUMNS, PRESET_CELL, SHEET, cell, description, values_of


def test_the_contact_sheet_shows_controls_and_presets(tmp_path: Path) -> None:
    """Each cell has the expected size, and a filtered cell differs from an unfiltered one."""
    source = make_clip(tmp_path / "clip.mp4", Spec(size=(320, 180), count=3))
    clip = open_clip(source, probe(source), warn=lambda _: None)
    frames = list(islice(clip.frames(), 2))

    plain, bright = (cell(clip, frames, {"brightness": value}) for value in (0, 50))
    none, cinematic = (cell(clip, frames, {"preset": name}) for name in ("none", "cinematic"))

    assert plain.size == bright.size == CELL
    assert none.size == cinematic.size == PRESET_CELL
    assert np.asarray(bright).mean() > np.asarray(plain).mean() + 20
    assert np.asarray(cinematic).mean() < np.asarray(none).mean()


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
def test_a_row_of_the_contact_sheet_spans_the_range_of_its_control(control: Control) -> None:
    """It has the default and both ends. All rows have the same length."""
    values = values_of(control)

    assert {control.low, control.default, control.high} <= set(values)
    assert values == sorted(set(values))
    assert len(values) == COLUMNS


def test_the_contact_sheet_is_up_to_date() -> None:
    """If this fails, run `python -m tools.contact_sheet`."""
    with Image.open(SHEET) as sheet:
        assert sheet.info["Description"] == description()
