"""The slot of the main video model: what the deployment's factory makes, and what is said when it makes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from framepack.errors import ModelUnavailable
from framepack.models.library import ModelLibrary
from framepack.models.weights.catalog import CATALOG
from framepack.models.weights.store import WeightsStore
from tests.support import generators
from tests.support.weights import fetch_never


def library(folder: Path, factory: str | None) -> ModelLibrary:
    """A library whose deployment names a factory of the test's."""
    store = WeightsStore(folder, allow_download=False, download=fetch_never)
    return ModelLibrary(CATALOG, store, device="cpu", generator=factory and f"tests.support.generators:{factory}")


def test_the_configured_factory_builds_the_model(tmp_path: Path) -> None:
    """The model is what the factory makes, is called like its class, and is loaded anew after it has left."""
    models = library(tmp_path, "transformer")
    assert models.cache.status() == ()
    for loads in (1, 2):
        with models.generator() as model, models.generator() as same:
            assert model is same
            assert type(model).__name__ == "HunyuanVideoTransformer3DModel"
        del model, same
        assert models.cache.loads == loads
        (loaded,) = models.cache.status("generator")
        assert (loaded.name, loaded.memory_bytes) == ("HunyuanVideoTransformer3DModel", generators.BYTES)
        (left,) = models.cache.unload("generator")
        assert (left.name, left.freed_bytes) == ("HunyuanVideoTransformer3DModel", generators.BYTES)
        assert models.cache.status() == ()


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        (None, "has no main video model"),
        ("missing", "names tests.support.generators:missing, which cannot be imported"),
        ("broken", "tests.support.generators:broken, failed"),
        ("nothing", "returned no model"),
    ],
)
def test_a_missing_or_failing_factory_is_reported(tmp_path: Path, factory: str | None, sentence: str) -> None:
    """A factory that is not there, fails or makes nothing is told in one sentence, each time anew."""
    models = library(tmp_path, factory)
    for _ in range(2):
        with pytest.raises(ModelUnavailable, match=sentence), models.generator():
            pass
    assert models.cache.status() == ()
