"""An effect that a registry has beside the documented ones is a step of pipelines, batches and presets by itself."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field

from framepack.api.schemas import Request, Whole
from framepack.api.workflow import PresetStep
from framepack.media.clip import Clip
from framepack.processing.context import Context
from framepack.processing.effect import Effect, effect
from framepack.registry import Registry, declared
from tests.support.clips import Spec, make_clip
from tests.support.readback import read_back
from tests.support.runs import Bench, bench_of


class HurryParams(Request):
    """How to hurry."""

    factor: Whole = Field(2, ge=1, le=4, description="How many times as fast")
    style: Literal["calm", "wild"] = Field("calm", description="In which manner")
    model: str = "none"


IN_PRESETS = PresetStep(
    "Hurry Up",
    {"hurry_factor": "factor", "hurry_style": "style", "hurry_model": "model"},
    defaults={"hurry_factor": 3},
    off=("hurry_style", "none"),
)


def hurried(clip: Clip, params: HurryParams, ctx: Context) -> Clip:
    """Show the same frames faster."""
    del ctx
    return replace(clip, fps=clip.fps * params.factor)


def registry(preset: PresetStep | None = IN_PRESETS, *others: Effect[Any]) -> Registry:
    """All operations and effects, and one more effect."""
    operations, effects = declared()
    extra = effect("hurry", other_names=("make-haste",), preset=preset)(hurried)
    return Registry(operations, [*effects, extra, *others])


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker that has it."""
    return bench_of(registry(), tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Four frames at 10 a second."""
    return make_clip(tmp_path / "in.mp4", Spec(fps=Fraction(10), count=4))


def save(worker: Bench, *steps: str, **params: Any) -> str:
    """Save the preset "mine"; the answer's or the error's sentence."""
    answer = worker.run(
        "save_workflow_preset", name="mine", preset_data={"active_steps": list(steps), "params": params}
    )
    return str(answer.get("message") or answer["error"])


@pytest.mark.parametrize("name", ["hurry", "HURRY", "make haste", "Hurry Up"])
def test_a_pipeline_takes_it_by_any_of_its_names(worker: Bench, source: Path, name: str) -> None:
    """With its own parameters, beside a documented step."""
    steps = [{"type": name, "params": {"factor": 4}}, {"type": "loop"}]

    answer = worker.run("pipeline", source, operations=steps)

    assert [step["type"] for step in answer["operations_completed"]] == ["hurry", "loop"]
    assert read_back(worker.output(answer)).rate == 40


def test_its_parameters_are_checked(worker: Bench) -> None:
    """Before anything is fetched, and with the place of the step."""
    steps = [{"type": "loop"}, {"type": "hurry", "params": {"factor": 5}}]

    answer = worker.run("pipeline", video_url="https://example.com/a.mp4", operations=steps)

    assert answer["error"] == "operations[1].params.factor must be between 1 and 4, not 5."


def test_it_is_listed_behind_the_documented_types(worker: Bench) -> None:
    """In sentences and in the schema."""
    answer = worker.run("batch", videos=[{"video_url": "https://example.com/a.mp4"}], operations=[{"type": "hasten"}])
    schema = worker.runtime.dispatcher.registry.find("pipeline").request.model_json_schema()

    beginning, found, valid = answer["error"].removesuffix(" (operations[0].type)").partition("Valid types: ")
    description = schema["$defs"]["Step"]["properties"]["type"]["description"]
    documented = "upscale, interpolate, filters, loop, export, "
    assert beginning + found == "Invalid operation type: hasten. Valid types: "
    assert valid.startswith(documented)
    assert "hurry" in valid.removeprefix(documented).split(", ")
    assert f"{valid.removeprefix('upscale, interpolate, ')}, or another" in description


def test_a_preset_runs_it(worker: Bench, source: Path) -> None:
    """With the preset's own names and defaults; it is stored under its documented name."""
    assert save(worker, "hurry", "Loop").endswith("saved successfully")
    by_default = worker.run("pipeline_from_preset", source, preset_name="mine")
    assert save(worker, "make_haste", factor=4, style="wild").endswith("updated successfully")
    chosen = worker.run("pipeline_from_preset", source, preset_name="mine")
    listed = worker.run("list_workflow_presets")["presets"]["mine"]

    assert [read_back(worker.output(each)).rate for each in (by_default, chosen)] == [30, 40]
    assert listed["active_steps"] == ["Hurry Up"]
    assert {name: listed["params"][name] for name in IN_PRESETS.params} == {
        "hurry_factor": 4,
        "hurry_style": "wild",
        "hurry_model": "none",
    }


def test_a_preset_may_switch_it_off(worker: Bench, source: Path) -> None:
    """By the value that its declaration names, in any case."""
    save(worker, "hurry", "Loop", hurry_style="None")

    answer = worker.run("pipeline_from_preset", source, preset_name="mine")

    assert [step["type"] for step in answer["operations_completed"]] == ["loop"]


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"hurry_factor": 5}, "preset_data.params.hurry_factor must be between 1 and 4, not 5."),
        ({"hurry_style": "odd"}, "preset_data.params.style must be 'calm' or 'wild', not 'odd'."),
        ({"factor": 2, "hurry_factor": 2}, "params may have either factor or hurry_factor, which mean the same."),
        ({"model": "x"}, "Unknown field 'preset_data.params.model'"),  # a name of two steps means neither
    ],
)
def test_a_presets_parameters_are_checked(worker: Bench, params: dict[str, Any], sentence: str) -> None:
    """Like those of the documented steps."""
    assert save(worker, **params).startswith(sentence)


def test_without_a_declaration_presets_do_not_have_it(tmp_path: Path, source: Path) -> None:
    """Pipelines do."""
    worker = bench_of(registry(None), tmp_path)

    assert save(worker, "hurry").startswith("Invalid operation type: hurry. Valid types: upscale, interpolate,")
    assert read_back(worker.output(worker.run("pipeline", source, operations=[{"type": "hurry"}]))).rate == 20


def test_names_of_steps_and_presets_have_one_owner() -> None:
    """What two effects would share, or what an effect lacks, stops the start."""
    taken = effect("hasten", preset=PresetStep("Hasten", {"contrast": "factor"}))(hurried)
    called = effect("haste", other_names=("frame adjust",))(hurried)

    with pytest.raises(ValueError, match="two effects declare 'contrast': filters and hasten"):
        registry(None, taken)
    with pytest.raises(ValueError, match="two effects declare 'frame adjust'"):
        registry(None, called)
    with pytest.raises(TypeError, match="presets name \\['speed'\\], which the parameters lack"):
        effect("haste", preset=PresetStep("Haste", {"haste_speed": "speed"}))(hurried)
