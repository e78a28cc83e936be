"""What the RunPod Hub offers, sets and tries fits the worker and the lock."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import av
import pytest

from framepack.environment import variable
from framepack.models.library import ModelLibrary
from framepack.models.spec import ModelRow
from framepack.models.weights.catalog import CATALOG, Catalog
from framepack.models.weights.store import WeightsStore
from framepack.registry import discover
from framepack.settings import Settings, load_settings
from tests.support.interpolation import mixing
from tests.support.runs import Bench, bench
from tests.support.weights import checkpoint, fetch_never, published

ROOT = Path(__file__).parents[2]
HUB = json.loads((ROOT / ".runpod" / "hub.json").read_text())["config"]
TRIED = json.loads((ROOT / ".runpod" / "tests.json").read_text())
JOBS: dict[str, dict[str, Any]] = {each["name"]: each["input"] for each in TRIED["tests"]}
OFFERED: dict[str, dict[str, Any]] = {each["key"]: each["input"] for each in HUB["env"]}
FIELDS = {variable(name, field): (name, field) for name, field in Settings.model_fields.items()}


def as_text(value: object) -> str:
    """A value of the Hub's form as the environment variable that the platform makes of it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def deployed(values: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a worker that was deployed with these values."""
    for name, value in values.items():
        monkeypatch.setenv(name, as_text(value))
    return load_settings()


@pytest.mark.parametrize("name", OFFERED)
def test_every_form_field_is_a_setting_with_its_default(name: str) -> None:
    """It also has a description. An empty default means unset."""
    assert OFFERED[name]["description"]
    assert OFFERED[name]["name"]
    if name != "FRAMEPACK_STORAGE":  # the entry script of the image has a default of its own
        default = FIELDS[name][1].get_default(call_default_factory=True)
        assert OFFERED[name]["default"] == ("" if default in (None, ()) else default)


@pytest.mark.parametrize("name", [name for name, each in OFFERED.items() if each["type"] == "number"])
def test_number_fields_have_the_limits_of_their_setting(name: str) -> None:
    """What the form allows, the worker takes; the form may allow less, as for inline outputs."""
    schema = Settings.model_json_schema()["properties"][FIELDS[name][0]]
    if "maximum" in schema:
        assert OFFERED[name]["max"] <= schema["maximum"]
    if "minimum" in schema:
        assert OFFERED[name]["min"] == schema["minimum"]
    else:
        assert OFFERED[name]["min"] > schema["exclusiveMinimum"]


def test_choice_fields_list_every_value_of_their_setting() -> None:
    """Such a field has options."""
    properties = Settings.model_json_schema()["properties"]
    with_options = {name: each["options"] for name, each in OFFERED.items() if "options" in each}

    assert with_options
    for name, options in with_options.items():
        assert [each["value"] for each in options] == properties[FIELDS[name][0]]["enum"]


def test_the_form_defaults_equal_no_settings_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment with the form unchanged is one without any setting."""
    plain = load_settings()

    assert deployed({name: each["default"] for name, each in OFFERED.items()}, monkeypatch) == plain


@pytest.mark.parametrize("preset", HUB["presets"], ids=lambda preset: str(preset["name"]))
def test_hub_presets_set_form_fields_to_valid_values(preset: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name in a preset is a field of the form."""
    assert set(preset["defaults"]) <= set(OFFERED)
    assert deployed(preset["defaults"], monkeypatch)


def locked(package: str) -> tuple[int, int]:
    """Major and minor version of a package in the lock."""
    text = (ROOT / "builder" / "requirements.txt").read_text()
    found = re.search(rf"^{package}==(\d+)\.(\d+)", text, re.MULTILINE)
    assert found is not None
    return int(found[1]), int(found[2])


def test_the_allowed_cuda_versions_run_the_locked_cuda() -> None:
    """The list has every minor version of the locked major, up to the newest CUDA that the lock knows of.

    A driver runs libraries of its own major version of CUDA whatever their minor. ``cuda-bindings`` is released with
    every CUDA, so a newer lock asks here for a longer list.
    """
    major, minor = locked("cuda-toolkit")
    newest = max(minor, *(version for of, version in [locked("cuda-bindings")] if of == major))
    allowed = [f"{major}.{each}" for each in range(newest + 1)]

    assert HUB["allowedCudaVersions"] == TRIED["config"]["allowedCudaVersions"] == allowed


def test_the_hub_tests_use_the_default_settings() -> None:
    """The tests set no environment variables."""
    assert TRIED["config"]["env"] == []


def test_the_hub_tests_cover_networks_weights_and_an_encoder() -> None:
    """They are an upscale, an interpolation and a pipeline, with inline clips."""
    assert {"upscale", "interpolate", "pipeline"} <= {each["endpoint"] for each in JOBS.values()}
    for fields in map(dict, JOBS.values()):
        assert discover().find(fields.pop("endpoint")).request.parse(fields)
        assert len(fields.get("video_base64", "")) < 20_000


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker with the published upscalers of an installed package, and an interpolator of random weights."""
    made = bench(tmp_path)
    content = checkpoint({f"module.{key}": value for key, value in mixing().items()}, key=None)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "flownet.pkl").write_bytes(content)
    row = ModelRow("RIFE_test", "interpolator", "IFNet", 1, (published(content, "flownet.pkl"),), 25, "Test")
    catalog = Catalog((row, *(each for each in CATALOG.rows if each.group == "upscaler")))
    store = WeightsStore(tmp_path / "weights", allow_download=False, download=fetch_never, catalog=catalog)
    made.runtime.models = ModelLibrary(catalog, store, device="cpu")
    return made


@pytest.mark.parametrize(("name", "frames"), [("upscale", 9), ("interpolate", 18), ("pipeline", 9)])
def test_every_job_of_the_hub_tests_succeeds(worker: Bench, name: str, frames: int) -> None:
    """Each answer has an inline video. A smaller network is used, because the default is slow on a CPU."""
    fields = dict(JOBS[name])
    if "model" in fields:
        fields["model"] = "RealESR_AnimeVideo_v3"

    answer = worker.run(fields.pop("endpoint"), **fields)

    assert answer["success"] is True, answer
    with av.open(io.BytesIO(base64.b64decode(answer["output_video_base64"])), "r") as video:
        assert len(list(video.decode(video=0))) == frames
