"""``/ai/status`` and ``/ai/unload``: the language and captioning models come and go by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from framepack.models.spec import Group, ModelSpec
from tests.support.recipes import Tensors
from tests.support.runs import Bench, bench

GRANITE = "ibm-granite/granite-3.3-2b-instruct"
FLORENCE = "florence-community/Florence-2-large"
IDS: dict[Group, str] = {"enhancer": GRANITE, "captioner": FLORENCE, "upscaler": "other"}
NOT_LOADED = {"loaded": False, "model_name": None}


def recipe(group: Group) -> ModelSpec[Tensors]:
    """A model of a group, called as on Hugging Face."""
    return ModelSpec(IDS[group], IDS[group], group, lambda: Tensors(1), 1)


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker with all of them loaded."""
    worker = bench(tmp_path, device="cpu")
    for group in IDS:
        with worker.runtime.models.cache.lease(recipe(group)):
            pass
    return worker


def test_status_names_what_is_loaded(worker: Bench, tmp_path: Path) -> None:
    """Loaded models are shown with their Hugging Face names, the others with null."""
    assert worker.run("/ai/status") == {
        "enhancer": {"loaded": True, "model_name": GRANITE},
        "captioner": {"loaded": True, "model_name": FLORENCE},
    }
    worker.run("/ai/unload", model="enhancer")
    assert worker.run("ai_status")["enhancer"] == NOT_LOADED
    assert bench(tmp_path).run("ai_status") == {"enhancer": NOT_LOADED, "captioner": NOT_LOADED}


@pytest.mark.parametrize("model", ["enhancer", "captioner"])
def test_one_is_unloaded(worker: Bench, model: str) -> None:
    """Only the named one leaves, and only once."""
    assert worker.run("/ai/unload", model=model) == {
        "success": True,
        "message": "Successfully unloaded 1 model(s)",
        "models_unloaded": [model],
    }
    assert worker.run("/ai/unload", model=model) == {
        "success": True,
        "message": "Successfully unloaded 0 model(s)",
        "models_unloaded": [],
    }
    assert [name for name, status in worker.run("ai_status").items() if status["loaded"]] == [
        name for name in ("enhancer", "captioner") if name != model
    ]


def test_all_are_unloaded(worker: Bench) -> None:
    """All means both of them and none of the other models."""
    answer = worker.run("/ai/unload", model="all")
    assert answer["message"] == "Successfully unloaded 2 model(s)"
    assert answer["models_unloaded"] == ["enhancer", "captioner"]
    assert [model.name for model in worker.runtime.models.cache.status()] == ["other"]


def test_used_models_stay(worker: Bench) -> None:
    """If one of them is in use, unloading both is refused with its name and both stay; the other can go alone."""
    with worker.runtime.models.cache.lease(recipe("captioner")):
        refused = worker.run("/ai/unload", model="all")
        assert (refused["status"], refused["code"]) == (409, "conflict")
        assert refused["error"] == f"{FLORENCE} is in use by a running job: try again when it has ended."
        assert all(status["loaded"] for status in worker.run("ai_status").values())
        assert worker.run("/ai/unload", model="enhancer")["models_unloaded"] == ["enhancer"]
    assert worker.run("/ai/unload", model="all")["models_unloaded"] == ["captioner"]


@pytest.mark.parametrize("fields", [{}, {"model": "upscaler"}, {"model": "ALL"}, {"model": 1}])
def test_other_models_are_refused(worker: Bench, fields: dict[str, Any]) -> None:
    """Only the three documented values are understood; the sentence names them."""
    answer = worker.run("/ai/unload", **fields)
    assert answer["status"] == 400
    assert "model" in answer["error"]
    if fields:
        assert all(value in answer["error"] for value in ("'enhancer'", "'captioner'", "'all'"))
    assert len(worker.runtime.models.cache.status()) == 3
