"""Workflow presets: listed, saved, replaced, deleted, and run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from framepack.registry import discover
from framepack.storage.keys import Key
from tests.support.clips import Spec, make_clip
from tests.support.runs import Bench, bench

DOCUMENTED: dict[str, Any] = {
    "upscale_model": "RealESRGAN_x2plus",
    "upscale_factor": 2.0,
    "tile_size": 0,
    "enhance_face": False,
    "denoise_strength": 0.5,
    "upscale_use_streaming": False,
    "fps_mode": "No Interpolation",
    "speed_factor": 1.0,
    "frames_use_streaming": False,
    "loop_type": "loop",
    "num_loops": 1,
    "brightness": 0,
    "contrast": 1,
    "saturation": 1,
    "temperature": 0,
    "sharpen": 0,
    "blur": 0,
    "denoise": 0,
    "vignette": 0,
    "s_curve_contrast": 0,
    "film_grain_strength": 0,
    "export_format": "MP4",
    "export_quality": 85,
    "export_max_width": 1024,
}
DEFAULTS = {**discover().steps.preset().params.model_dump(), **DOCUMENTED}
"""Of every parameter; those that the API does not document have the defaults that `@effect` gives them."""


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker with no presets of clients."""
    return bench(tmp_path)


def listed(worker: Bench) -> dict[str, Any]:
    """All presets by name, in their order."""
    answer = worker.run("list_workflow_presets")
    assert answer["message"] == f"Found {len(answer['presets'])} workflow preset(s)"
    return dict(answer["presets"])


def save(worker: Bench, name: str, steps: list[str] | None = None, **params: Any) -> str:
    """Save a preset; the answer's sentence, or the error's."""
    answer = worker.run(
        "save_workflow_preset", name=name, preset_data={"active_steps": steps or [], "params": params}
    )
    return str(answer.get("message") or answer["error"])


def delete(worker: Bench, name: str) -> str:
    """Delete a preset; the answer's sentence, or the error's."""
    answer = worker.run("delete_workflow_preset", name=name)
    return str(answer.get("message") or answer["error"])


def test_the_built_in_preset_is_listed(worker: Bench) -> None:
    """`None` has no steps and every parameter at its default."""
    assert listed(worker) == {"None": {"active_steps": [], "params": DEFAULTS}}


def test_documented_parameters_are_answered_in_their_order(worker: Bench) -> None:
    """Whatever else there is between them."""
    params = listed(worker)["None"]["params"]

    assert [name for name in params if name in DOCUMENTED] == list(DOCUMENTED)


def test_saved_ones_are_listed_after_it(worker: Bench) -> None:
    """In alphabetical order, whatever their case, with all parameters, also for the next worker."""
    for name in ("zoom", "4K Upscale + Cinematic", "Anime", "_x"[1:]):
        assert save(worker, name, ["Upscale"], contrast=1.3) == f"Workflow preset '{name}' saved successfully"

    found = listed(bench(worker.folder))
    assert list(found) == ["None", "4K Upscale + Cinematic", "Anime", "x", "zoom"]
    assert found["zoom"] == {"active_steps": ["Upscale"], "params": {**DEFAULTS, "contrast": 1.3}}


def test_saving_again_replaces(worker: Bench) -> None:
    """The answer says so, and nothing of the old one is left."""
    save(worker, "mine", ["Loop"], num_loops=3)

    assert save(worker, "mine", ["Export"]) == "Workflow preset 'mine' updated successfully"
    assert listed(worker)["mine"] == {"active_steps": ["Export"], "params": DEFAULTS}


def test_every_spelling_is_saved_and_the_documented_one_answered(worker: Bench) -> None:
    """Steps by any of their names, parameters by the names of their steps."""
    save(
        worker,
        "mine",
        ["UPSCALE", "frames", "frame_adjust", "interpolate", "filters", "LOOP", "Export"],
        model="RealESR_AnimeVideo_v3",
        scale_factor=3.5,
        film_grain=12,
        max_width=512,
        format="webm",
        fps_mode="2x Frames",
        loop_type="none",
    )

    found = listed(worker)["mine"]
    assert found["active_steps"] == ["Upscale", *["Frame Adjust"] * 3, "Filters", "Loop", "Export"]
    changed = {name: value for name, value in found["params"].items() if value != DEFAULTS[name]}
    assert changed.keys() == {
        "upscale_model",
        "upscale_factor",
        "film_grain_strength",
        "export_max_width",
        "export_format",
        "fps_mode",
        "loop_type",
    }
    assert found["params"].keys() == DEFAULTS.keys()


@pytest.mark.parametrize("name", ["None", "none", "NONE", "  None ", " nOnE"])
def test_none_is_protected(worker: Bench, name: str) -> None:
    """In any case, with spaces around it, it can be neither replaced nor deleted."""
    assert save(worker, name, ["Loop"]) == "'None' is a protected preset and cannot be overwritten"
    assert delete(worker, name) == "Cannot delete the 'None' preset - it represents default values"
    assert worker.run("delete_workflow_preset", name=name)["status"] == 400
    assert listed(worker) == {"None": {"active_steps": [], "params": DEFAULTS}}


def test_a_deleted_preset_is_not_listed(worker: Bench) -> None:
    """And cannot be deleted twice; the two kinds of presets do not know each other."""
    save(worker, "mine", ["Loop"])
    worker.run("save_filter_preset", name="mine", settings={})

    assert delete(worker, "mine") == "Workflow preset 'mine' deleted successfully"
    assert delete(worker, "mine") == "Preset 'mine' not found"
    assert worker.run("delete_workflow_preset", name="mine")["status"] == 404
    assert list(listed(worker)) == ["None"]
    assert "mine" in worker.run("list_filter_presets")["presets"]


@pytest.mark.parametrize(
    ("steps", "params", "sentence"),
    [
        (
            ["sharpen"],
            {},
            "Invalid operation type: sharpen. Valid types: upscale, interpolate, filters, loop, export",
        ),
        ([], {"upscale_factor": 4.5}, "preset_data.params.upscale_factor must be between 1 and 4, not 4.5."),
        ([], {"tile_size": 300}, "preset_data.params.tile_size must be"),
        ([], {"fps_mode": "3x"}, "preset_data.params.fps_mode must be"),
        ([], {"loop_type": "spiral"}, "preset_data.params.loop_type must be"),
        ([], {"export_format": "AVI"}, "preset_data.params.format must be"),
        ([], {"export_quality": 101}, "preset_data.params.export_quality must be between 0 and 100"),
        ([], {"contrast": -0.1}, "preset_data.params.contrast must be between 0 and 3"),
        ([], {"film_grain": 1, "film_grain_strength": 1}, "params may have either film_grain"),
        ([], {"fps": 30}, "Unknown field 'preset_data.params.fps'"),
        (["Loop"] * 10_000, {}, "The document has"),
    ],
)
def test_invalid_parameters_are_not_saved(
    worker: Bench, steps: list[str], params: dict[str, Any], sentence: str
) -> None:
    """Unknown steps, values out of range and unknown parameters are refused, also of steps that are not active."""
    assert save(worker, "mine", steps, **params).startswith(sentence)
    assert list(listed(worker)) == ["None"]


def test_the_number_of_presets_is_limited(tmp_path: Path) -> None:
    """One more than the limit is refused; replacing one still works."""
    worker = bench(tmp_path, max_presets=1)
    save(worker, "a")

    answer = worker.run("save_workflow_preset", name="b", preset_data={})
    assert answer["status"] == 413
    assert save(worker, "a") == "Workflow preset 'a' updated successfully"


@pytest.mark.parametrize(
    "data", [b"", b'{"active_steps": ["Up', b'{"active_steps": ["Up"]}', b'{"params": {"x": 1}}']
)
def test_a_damaged_preset_is_set_aside(worker: Bench, data: bytes) -> None:
    """What was damaged or edited into nonsense counts as not there, is kept aside, and harms no other."""
    save(worker, "good", ["Loop"])
    worker.runtime.storage.put_bytes(Key("state/workflow_presets/bad.json"), data)

    assert list(listed(worker)) == ["None", "good"]
    assert worker.runtime.storage.read(Key("state/damaged/workflow_presets/bad.json")) == data


def test_a_saved_one_is_run(worker: Bench, tmp_path: Path) -> None:
    """With its steps in their order and a filter of its own numbers, however its name is spaced."""
    source = make_clip(tmp_path / "clip.mp4", Spec(count=4))
    save(worker, "Twice and small", ["loop", "export"], num_loops=2, export_format="gif", max_width=256)

    answer = worker.run("pipeline_from_preset", source, preset_name="  Twice and small ")

    assert [step["type"] for step in answer["operations_completed"]] == ["loop", "export"]
    assert worker.output(answer).suffix == ".gif"
    delete(worker, "Twice and small")
    again = worker.run("pipeline_from_preset", source, preset_name="Twice and small")
    assert (again["status"], again["error"]) == (404, "Workflow preset 'Twice and small' not found")


def test_presets_have_the_ranges_of_their_steps(worker: Bench) -> None:
    """Every parameter with a range is held to the very range that its step has."""
    preset = discover().steps.preset()
    taken = {name: bounds for step in preset.every_step() for name, bounds in _bounds(worker, step.type_name).items()}
    checked = 0
    for name, field in type(preset.params).model_json_schema()["properties"].items():
        limits = {bound: field[bound] for bound in ("minimum", "maximum") if bound in field}
        own = _STEPS_OWN.get(name, name)
        assert limits == taken.get(own, {}), name
        checked += bool(limits)
    assert checked >= 16


_STEPS_OWN = {
    "upscale_factor": "scale_factor",
    "film_grain_strength": "film_grain",
    "export_quality": "quality",
    "export_max_width": "max_width",
}


def _bounds(worker: Bench, kind: str) -> dict[str, dict[str, float]]:
    """The ranges that a step's parameters have."""
    fields = worker.runtime.dispatcher.registry.effects[kind].params.model_json_schema()["properties"]
    return {
        name: {bound: field[bound] for bound in ("minimum", "maximum") if bound in field}
        for name, field in fields.items()
    }
