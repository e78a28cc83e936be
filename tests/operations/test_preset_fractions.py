"""Presets hold fractions, also of controls that ``filters`` itself takes as whole numbers, and they are obeyed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from framepack.api.filter_settings import CONTROLS
from tests.support.clips import Spec, flat, make_clip
from tests.support.runs import Bench, bench

WHOLE = [control for control in CONTROLS if control.traits.is_whole]
FRACTIONS = {control.name: 5.5 for control in WHOLE}


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker whose encoder loses next to nothing."""
    return bench(tmp_path, video_crf=1, video_preset="ultrafast")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Even mid gray: luma 126."""
    return make_clip(tmp_path / "gray.mp4", Spec(count=3, frame=flat((128, 128, 128)), options={"crf": "1"}))


def luma(worker: Bench, answer: dict[str, Any]) -> float:
    """Mean luma of the first frame, in codes."""
    with av.open(str(worker.output(answer))) as container:
        return float(np.mean(next(container.decode(video=0)).to_ndarray()[:48]))


def save_workflow(worker: Bench, **params: float) -> dict[str, Any]:
    """Save a preset of the filters with these parameters."""
    return worker.run(
        "save_workflow_preset", name="mine", preset_data={"active_steps": ["Filters"], "params": params}
    )


def test_a_workflow_preset_is_run_with_its_fraction(worker: Bench, source: Path) -> None:
    """Brightness 5.5 adds 12 codes, between the 11 of 5 and the 13 of 6."""
    levels = []
    for brightness in (5, 5.5, 6):
        save_workflow(worker, brightness=brightness)
        levels.append(luma(worker, worker.run("pipeline_from_preset", source, preset_name="mine")))

    assert levels == pytest.approx([137, 138, 139], abs=0.2)


def test_a_filter_preset_is_applied_with_its_fraction(worker: Bench, source: Path) -> None:
    """By ``filters`` itself and by a step of a pipeline."""
    worker.run("save_filter_preset", name="mine", settings={"brightness": 5.5})
    steps = [{"type": "filters", "params": {"preset": "mine"}}]

    assert luma(worker, worker.run("filters", source, preset="mine")) == pytest.approx(138, abs=0.2)
    assert luma(worker, worker.run("pipeline", source, operations=steps)) == pytest.approx(138, abs=0.2)


def test_both_kinds_keep_and_run_every_fraction(worker: Bench, source: Path) -> None:
    """All controls that are whole numbers elsewhere are listed as they were saved, and make the same frame."""
    save_workflow(worker, **FRACTIONS)
    worker.run("save_filter_preset", name="mine", settings=FRACTIONS)

    for kind in ("workflow", "filter"):
        saved = worker.run(f"list_{kind}_presets")["presets"]["mine"]
        controls = saved["params"] if kind == "workflow" else saved.get("settings", saved)
        assert {name: controls[name] for name in FRACTIONS} == FRACTIONS
    workflow = worker.run("pipeline_from_preset", source, preset_name="mine")
    look = worker.run("filters", source, preset="mine")
    assert luma(worker, workflow) == luma(worker, look)


@pytest.mark.parametrize("name", [control.request_name for control in WHOLE])
def test_the_operation_takes_whole_numbers(worker: Bench, source: Path, name: str) -> None:
    """As its fields are documented; 5.0 is one."""
    half: dict[str, Any] = {name: 5.5}
    whole: dict[str, Any] = {name: 5.0}

    assert worker.run("filters", source, **half)["error"] == f"{name} must be a valid integer, not 5.5."
    assert worker.run("filters", source, **whole)["success"] is True
