"""A worker with little memory: upscaling, interpolating, captions and prompts take turns, in any order."""

from __future__ import annotations

import base64
import io
import random
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import save_file

from framepack.models.library import ModelLibrary
from framepack.models.spec import ModelRow
from framepack.models.weights.catalog import Catalog
from framepack.models.weights.hub_snapshots import HubSnapshots
from framepack.models.weights.store import WeightsStore
from framepack.units import MB
from tests.support.clips import Spec, make_clip, scene
from tests.support.networks import tiny_compact
from tests.support.rife_reference import random_rife
from tests.support.runs import Bench, bench
from tests.support.tiny_language import florence, granite
from tests.support.weights import checkpoint, fetch_never, published

LIMIT_MB = 120
OPERATIONS = ("upscale", "interpolate", "caption_image", "enhance_prompt")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of which no more than two or three fit at a time: prompts some 75 MB, captions 50."""
    folder = tmp_path_factory.mktemp("models")
    granite(folder / "granite", inner=100_000)
    florence(folder / "florence", inner=100_000)
    save_file(tiny_compact(scale=4), folder / "tiny.safetensors")
    (folder / "rife.pkl").write_bytes(_rife())
    return folder


def _rife() -> bytes:
    return checkpoint({f"module.{name}": value for name, value in random_rife().items()}, None)


@pytest.fixture
def worker(tmp_path: Path, models: Path) -> Bench:
    """The worker."""
    made = bench(
        tmp_path,
        device="cpu",
        memory_limit_mb=LIMIT_MB,
        enhancer_model=str(models / "granite"),
        captioner_model=str(models / "florence"),
    )
    row = ModelRow("RIFE", "interpolator", "IFNet", 1, (published(_rife(), "rife.pkl"),), 25, "Random")
    catalog = Catalog((row,))
    store = WeightsStore(models, allow_download=False, download=fetch_never, catalog=catalog)
    snapshots = HubSnapshots.from_settings(made.runtime.settings)
    made.runtime.models = ModelLibrary(catalog, store, device="cpu", memory_limit_mb=LIMIT_MB, snapshots=snapshots)
    return made


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_no_order_of_jobs_runs_out_of_memory(worker: Bench, tmp_path: Path, seed: int) -> None:
    """Every job is done; the models never hold more than the limit; some had to leave and come back."""
    source = make_clip(tmp_path / "source.mp4", Spec(size=(48, 32), count=3))
    jobs: dict[str, dict[str, Any]] = {
        "upscale": {"source": source, "model": "tiny", "scale_factor": 2.0},
        "interpolate": {"source": source, "fps_mode": "2x"},
        "caption_image": {"image_base64": _frame()},
        "enhance_prompt": {"prompt": "a cat playing with yarn", "seed": 1},
    }
    order = random.Random(seed).sample(OPERATIONS * 2, 8)  # noqa: S311 - an order, no secret

    for name in order:
        answer = worker.run(name, **jobs[name])

        assert answer.get("success") is True, (name, order, answer)
        assert worker.runtime.models.cache.resident_bytes() <= LIMIT_MB * MB

    assert worker.runtime.models.cache.loads > len(OPERATIONS)


def _frame() -> str:
    file = io.BytesIO()
    Image.fromarray(scene(3, 60, 40)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
