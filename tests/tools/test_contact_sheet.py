"""The scripts that draw the documentation's frames still work."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from tests.support.clips import Spec, make_clip
from tools.contact_sheet import CELL, PRESET_CELL, control_cell, preset_cell


def test_the_contact_sheet_shows_controls_and_presets(tmp_path: Path) -> None:
    """A cell is a frame of its size, and one with a look is another than one without."""
    source = make_clip(tmp_path / "clip.mp4", Spec(size=(320, 180), count=3))
    clip = open_clip(source, probe(source), warn=lambda _: None)
    frames = list(islice(clip.frames(), 2))

    plain, bright = (control_cell(clip, frames, "brightness", value) for value in (0, 50))
    none, cinematic = (preset_cell(clip, frames, name) for name in ("none", "cinematic"))

    assert plain.size == bright.size == CELL
    assert none.size == cinematic.size == PRESET_CELL
    assert np.asarray(bright).mean() > np.asarray(plain).mean() + 20
    assert np.asarray(cinematic).mean() < np.asarray(none).mean()
