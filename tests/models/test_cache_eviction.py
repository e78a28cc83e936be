"""Which models leave the cache when memory is short, and that they are gone then."""

from __future__ import annotations

import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

from framepack.models.memory.cache import ModelCache
from framepack.models.spec import ModelSpec
from tests.support.recipes import Model, fill, keys, limited, names, spec


def test_least_recently_used_leaves_first() -> None:
    """When a new model does not fit, idle ones leave in the order of their last use, and only as many as needed."""
    cache = limited(30)
    fill(cache, "a", "b", "c", "a")
    with cache.lease(spec("d", memory_mb=20)):
        assert keys(cache) == ["a", "d"]


def test_used_models_are_never_evicted() -> None:
    """A model under a lease stays, even if the new one then does not fit by the estimate."""
    cache = limited(20)
    with cache.lease(spec("a")) as a, cache.lease(spec("b")):
        fill(cache, "c")
        assert not a.closed
        assert keys(cache) == ["a", "b", "c"]


def test_memory_promised_to_others_counts() -> None:
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
            assert keys(cache) == ["new"]
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


def test_model_without_close_can_leave() -> None:
    """Closing is optional."""
    cache = ModelCache()
    with cache.lease(ModelSpec("text", "text", "captioner", lambda: "a plain value", 1)) as model:
        assert model == "a plain value"
    assert names(cache.unload()) == ["text"]


def test_release_idle_spares_used_models() -> None:
    """On a shortage of memory every idle model leaves, and none in use."""
    cache = ModelCache()
    fill(cache, "a", "b")
    with cache.lease(spec("c")):
        assert names(cache.release_idle()) == ["a", "b"]
        assert keys(cache) == ["c"]
    assert names(cache.release_idle()) == ["c"]
