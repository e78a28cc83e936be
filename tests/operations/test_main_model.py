"""``/model/status`` and ``/model/unload``: the deployment's own model, measured, in use, and really gone."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from framepack.checks.fitness import check_fitness
from framepack.errors import Unavailable
from framepack.units import MB
from framepack.worker.handler import make_handler
from tests.support import generators
from tests.support.runs import Bench, bench

ROOT = Path(__file__).parents[2]
NAME = "HunyuanVideoTransformer3DModel"
FACTORY = "tests.support.generators:transformer"

_CHILD = """
import json, sys
from pathlib import Path
import psutil
from framepack.checks.fitness import check_fitness
from tests.operations.test_main_model import FACTORY, asked
from tests.support.runs import bench

import torch  # its own memory is not the model's

process = psutil.Process()
figures = [process.memory_info().rss]
worker = bench(Path(sys.argv[1]), device="cpu", generator=FACTORY)
check_fitness(worker.runtime)
figures.append(process.memory_info().rss)
answers = [asked(worker, "/model/status"), asked(worker, "/model/unload")]
figures.append(process.memory_info().rss)
answers.append(asked(worker, "/model/status"))
print(json.dumps([figures, answers]))
"""


def asked(worker: Bench, endpoint: str) -> dict[str, Any]:
    """What the handler answers to a job."""

    async def no_update(*_: Any) -> None:
        raise AssertionError("nothing here takes time")

    handle = make_handler(worker.runtime, no_update)
    return asyncio.run(handle({"id": "one", "input": {"endpoint": endpoint}}))  # type: ignore[arg-type]


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker with a main model, which is not loaded yet."""
    return bench(tmp_path, device="cpu", generator=FACTORY)


def test_unloading_frees_the_memory(tmp_path: Path) -> None:
    """A worker starts with its model, says what it holds, and the process shrinks by that when it is unloaded."""
    child = [sys.executable, "-c", _CHILD, str(tmp_path)]
    done = subprocess.run(child, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    (before, loaded, after), (status, unloaded, rest) = json.loads(done.stdout)
    assert status == {"model_loaded": True, "model_name": NAME, "vram_usage": 0.19}
    assert unloaded == {
        "success": True,
        "message": f"Model '{NAME}' unloaded successfully. VRAM freed.",
        "model_unloaded": NAME,
        "vram_freed_estimate": "0.19 GB",
    }
    assert rest == {"model_loaded": False, "model_name": None, "vram_usage": 0.0}
    assert generators.BYTES > 190 * MB
    assert loaded - before >= generators.BYTES
    assert loaded - after >= 0.9 * generators.BYTES


def test_without_a_model_there_is_nothing_to_unload(tmp_path: Path) -> None:
    """A worker with an empty slot answers as documented, with nulls, however often it is asked."""
    empty = bench(tmp_path)
    for _ in range(2):
        assert asked(empty, "model_status") == {"model_loaded": False, "model_name": None, "vram_usage": 0.0}
        assert asked(empty, "unload_model") == {
            "success": True,
            "message": "No model currently loaded to unload",
            "model_unloaded": None,
            "vram_freed_estimate": None,
        }


def test_a_model_in_use_is_not_unloaded(worker: Bench) -> None:
    """While a job in another thread uses the model, unloading is refused in the document's words; afterwards not."""
    using, go_on = threading.Event(), threading.Event()

    def generate() -> None:
        with worker.runtime.models.generator():
            using.set()
            assert go_on.wait(60)

    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(generate)
        assert using.wait(60)
        refused = asked(worker, "/model/unload")
        status = asked(worker, "/model/status")
        go_on.set()
        job.result(60)
    assert refused == {
        "error": "Cannot unload model: A video generation job is currently running",
        "code": "conflict",
        "status": 409,
    }
    assert (status["model_loaded"], status["vram_usage"]) == (True, 0.19)
    assert asked(worker, "/model/unload")["model_unloaded"] == NAME
    assert asked(worker, "/model/status")["model_loaded"] is False


def test_the_other_models_stay(worker: Bench) -> None:
    """Unloading the main model leaves the upscalers alone."""
    models = worker.runtime.models
    with models.upscaler("RealESR_AnimeVideo_v3"), models.generator():
        pass
    assert asked(worker, "unload_model")["success"]
    assert [model.name for model in models.cache.status()] == ["RealESR_AnimeVideo_v3"]
    assert asked(worker, "model_status")["model_loaded"] is False


@pytest.mark.parametrize(
    ("generator", "sentence"),
    [
        ("nowhere.at_all:make", "names nowhere.at_all:make, which cannot be imported. (No module named 'nowhere')"),
        ("tests.support.generators:broken", "failed. (no weights for cpu)"),
    ],
)
def test_a_model_that_cannot_be_built_keeps_the_worker_from_starting(
    tmp_path: Path, generator: str, sentence: str
) -> None:
    """The start-up check says in one sentence what is wrong with the setting, and why."""
    with pytest.raises(Unavailable) as caught:
        check_fitness(bench(tmp_path, device="cpu", generator=generator).runtime)
    assert "FRAMEPACK_GENERATOR" in caught.value.message
    assert sentence in caught.value.message
