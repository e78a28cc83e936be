"""Which models leave the cache when memory is short, and that they are gone then."""

from __future__ import annotations

import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

from framepack.models.memory.cache import ModelCache
from framepack.models.spec import ModelSpec
from tests.support.recipes import Model, fill, limited, loaded, names, spec


def test_eviction_starts_with_the_least_recently_used() -> None:
    """When a new model does not fit, idle ones leave in the order of their last use, and only as many as needed."""
    cache = limited(30)
    fill(cache, "a", "b", "c", "a")
    with cache.lease(spec("d", memory_mb=20)):
        assert loaded(cache) == ["a", "d"]


def test_models_in_use_are_never_evicted() -> None:
    """A model under a lease stays, even if the new one then does not fit by the estimate."""
    cache = limited(20)
    with cache.lease(spec("a")) as a, cache.lease(spec("b")):
        fill(cache, "c")
        assert not a.closed
        assert loaded(cache) == ["a", "b", "c"]


def test_memory_reserved_for_loading_models_counts() -> None:
    """A model that is still loading already has its memory: the next one makes room beside it."""
    cache, loading, go_on = limited(30), threading.Event(), threading.Event()
    fill(cache, "old")

    def slow() -> Model:
        loading.set()
        assert go_on.wait(60)
        return Model()

    def ask() -> None:
        with cache.lease(spec("slow", load=slow)):
            pass

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        assert loading.wait(60)
        with cache.lease(spec("new", memory_mb=20)):
            assert loaded(cache) == ["new"]
        go_on.set()
        asked.result(60)


def test_evicted_model_is_closed_and_freed() -> None:
    """A model that leaves is closed, and nothing keeps it in memory."""
    cache = limited(10)
    with cache.lease(spec("a")) as kept:
        pass
    with cache.lease(spec("b")) as model:
        assert kept.closed
        gone = weakref.ref(model)
    del model
    fill(cache, "c")
    assert gone() is None


def test_a_model_without_a_close_method_can_be_evicted() -> None:
    """Closing is optional."""
    cache = ModelCache()
    with cache.lease(ModelSpec("text", "text", "captioner", lambda: "a plain value", 1)) as model:
        assert model == "a plain value"
    assert names(cache.unload()) == ["text"]


def test_evict_idle_keeps_models_in_use() -> None:
    """On a shortage of memory every idle model leaves, and none in use."""
    cache = ModelCache()
    fill(cache, "a", "b")
    with cache.lease(spec("c")):
        assert names(cache.evict_idle()) == ["a", "b"]
        assert loaded(cache) == ["c"]
    assert names(cache.evict_idle()) == ["c"]
