"""The cache of loaded models: one load for many askers, leases, eviction, unloading."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from framepack.errors import Conflict, ModelUnavailable
from framepack.models.memory.cache import ModelCache
from framepack.units import MB
from tests.support.recipes import Model, fill, loaded, names, slow_load, spec

MANY = 50


def test_a_loaded_model_is_reused() -> None:
    """The second lease gets the very same model and loads nothing."""
    cache = ModelCache()
    with cache.lease(spec()) as first:
        pass
    with cache.lease(spec()) as second, cache.lease(spec()) as third:
        assert first is second is third
    assert cache.loads == 1
    assert not first.closed


def test_different_keys_are_different_models() -> None:
    """Two strengths of one model are two models."""
    cache = ModelCache()
    with cache.lease(spec("general@0.50")) as half, cache.lease(spec("general@1.00")) as full:
        assert half is not full
    assert cache.loads == 2


def test_concurrent_leases_share_one_load() -> None:
    """Fifty threads that want a model at once wait for one load and share its outcome."""
    cache, start, everybody = ModelCache(), threading.Barrier(MANY), threading.Barrier(MANY)

    def ask(_: int) -> Model:
        start.wait(60)
        with cache.lease(spec()) as model:
            everybody.wait(60)  # all fifty hold it at the same time
            return model

    with ThreadPoolExecutor(MANY) as pool:
        models = set(pool.map(ask, range(MANY)))
    assert len(models) == cache.loads == 1
    assert names(cache.evict_idle()) == ["one"]


def test_a_failed_load_raises_in_all_waiting_threads() -> None:
    """All who wait for a load that fails get its error, and the next request tries again."""
    cache, tries = ModelCache(), []

    def fail() -> Model:
        tries.append(1)
        deadline = time.monotonic() + 60
        while cache._entries["one"].leases < MANY and time.monotonic() < deadline:
            time.sleep(0.001)
        raise ModelUnavailable("The weights are missing.")

    def ask(_: int) -> str:
        try:
            with cache.lease(spec(load=fail)):
                return "loaded"
        except ModelUnavailable as error:
            return str(error)

    with ThreadPoolExecutor(MANY) as pool:
        outcomes = list(pool.map(ask, range(MANY)))
    assert outcomes == ["The weights are missing."] * MANY
    assert len(tries) == 1
    assert cache.status() == ()
    with cache.lease(spec()) as model:
        assert isinstance(model, Model)
    assert cache.loads == 1


def test_loading_one_model_does_not_block_another() -> None:
    """While one model loads, another can be loaded, used, listed and unloaded."""
    cache = ModelCache()
    with slow_load(cache):
        fill(cache, "quick")
        assert loaded(cache) == ["quick"]
        assert names(cache.evict_idle()) == ["quick"]
        with pytest.raises(Conflict, match="slow is in use"):
            cache.unload()
    assert loaded(cache) == ["slow"]


def test_loading_a_model_may_lease_another() -> None:
    """A model whose loading leases another one does not wait for itself."""
    cache = ModelCache()

    def nested() -> Model:
        with cache.lease(spec("inner")) as inner:
            return inner

    with cache.lease(spec("outer", load=nested)):
        assert sorted(loaded(cache)) == ["inner", "outer"]


def test_unload_returns_the_loaded_models() -> None:
    """Unloading a group closes its models only, and names each."""
    cache = ModelCache()
    with cache.lease(spec("general@0.50")) as half, cache.lease(spec("general@1.00")):
        pass
    with cache.lease(spec("granite", group="enhancer")) as other:
        pass
    assert cache.unload("captioner") == ()
    assert names(cache.unload("captioner", "upscaler")) == ["general", "general"]
    assert half.closed
    assert not other.closed
    assert names(cache.unload()) == ["granite"]
    assert cache.unload() == ()
    fill(cache, "general@0.50")
    assert cache.loads == 4


def test_a_model_in_use_cannot_be_unloaded() -> None:
    """Unloading what a job uses is a conflict that names it, and everything stays."""
    cache = ModelCache()
    fill(cache, "idle")
    with cache.lease(spec("busy")) as model:
        with pytest.raises(Conflict, match="busy is in use by a running job"):
            cache.unload()
        assert loaded(cache) == ["idle", "busy"]
        assert not model.closed
    assert names(cache.unload()) == ["idle", "busy"]


def test_an_error_in_the_block_ends_the_lease() -> None:
    """A job that fails gives its lease back and leaves the model warm."""
    cache = ModelCache()
    with pytest.raises(ZeroDivisionError), cache.lease(spec()):
        raise ZeroDivisionError
    assert names(cache.evict_idle()) == ["one"]


def test_status_lists_the_loaded_models() -> None:
    """The status lists each loaded model with its group and memory."""
    cache = ModelCache()
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(cache.lease(spec("general@0.50", memory_mb=6)))
        (model,) = cache.status()
        assert cache.status("upscaler") == (model,)
        assert cache.status("face", "enhancer") == ()
    assert (model.name, model.group, model.memory_bytes) == ("general", "upscaler", 6 * MB)


def test_cache_needs_no_torch() -> None:
    """Importing and using the cache, the catalog and the store loads no heavy package."""
    code = """if True:
        import sys
        from framepack.models.memory.cache import ModelCache
        from framepack.models.weights.catalog import CATALOG
        from framepack.models.spec import ModelSpec
        from framepack.models.weights.store import WeightsStore
        cache = ModelCache()
        with cache.lease(ModelSpec("a", "a", "face", object, 1)):
            pass
        cache.unload()
        print(sorted({"torch", "numpy", "spandrel", "safetensors", "requests", "av"} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
