"""Memory of the model cache: measuring loaded models, eviction, freeing, and running out of memory."""

from __future__ import annotations

import gc
import random
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch

from framepack.errors import OutOfMemory
from framepack.models.memory.cache import ModelCache
from framepack.models.spec import ModelSpec
from framepack.units import MB
from tests.support.recipes import Model, Tensors, fill, limited, loaded, names, slow_load, spec


def tensors(key: str, size_mb: int, estimate_mb: int | None = None) -> ModelSpec[Tensors]:
    """The spec of a model with real tensors. Without an estimate, the estimate equals its size."""
    return ModelSpec(key, key, "upscaler", lambda: Tensors(size_mb), size_mb if estimate_mb is None else estimate_mb)


def test_loaded_models_are_measured_by_their_tensors() -> None:
    """Status and accounts go by what the model really holds; before that, by its estimate."""
    cache = limited(100)
    seen = []

    def load() -> Tensors:
        seen.append((cache.resident_bytes(), cache.reserved_bytes()))
        return Tensors(12)

    with cache.lease(ModelSpec("a", "a", "face", load, 30)):
        assert [model.memory_bytes for model in cache.status()] == [12 * MB]
        assert (cache.resident_bytes(), cache.reserved_bytes()) == (12 * MB, 0)
    assert seen == [(0, 30 * MB)]


def test_measured_memory_replaces_the_estimate_on_the_next_load() -> None:
    """A model that turned out smaller than its estimate pushes nobody out when it comes back."""
    cache = limited(40)
    for _ in range(2):
        with cache.lease(tensors("other", 25)):
            pass
        with cache.lease(tensors("small", 5, 30)):
            seen = loaded(cache)
        cache.unload()
    assert seen == ["other", "small"]


def test_a_model_larger_than_estimated_evicts_others_after_loading() -> None:
    """An estimate that was too small is made good once the model is there."""
    cache = limited(30)
    with cache.lease(tensors("a", 10)), cache.lease(tensors("b", 10)):
        pass
    with cache.lease(tensors("c", 15, 1)):
        assert loaded(cache) == ["a", "c"] or loaded(cache) == ["b", "c"]
        assert cache.resident_bytes() == 25 * MB


def test_unload_returns_the_freed_memory() -> None:
    """All of a model's memory is gone when it has left, unless somebody keeps part of it, which then is not freed."""
    cache = ModelCache()
    with cache.lease(tensors("a", 7)):
        pass
    assert [model.freed_bytes for model in cache.unload()] == [7 * MB]
    with cache.lease(tensors("a", 7)) as model:
        kept = model.weight
    del model
    assert [model.freed_bytes for model in cache.unload()] == [0]
    assert kept.nbytes == 7 * MB


def test_out_of_memory_while_loading_evicts_idle_models_and_retries() -> None:
    """When memory runs out in a load, idle models leave and it is loaded once more."""
    cache, tries = ModelCache(), []
    fill(cache, "idle")

    def load() -> Model:
        tries.append(loaded(cache))
        if len(tries) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return Model()

    with cache.lease(spec("used")), cache.lease(spec("new", load=load)):
        assert tries == [["idle", "used"], ["used"]]
        assert loaded(cache) == ["used", "new"]
    assert cache.loads == 3


def test_out_of_memory_twice_while_loading_raises() -> None:
    """A model that does not fit even then is a 503 with a sentence, nothing of it stays, and others go on."""
    cache, built = ModelCache(), []

    def fail() -> Model:
        half_built = Model()
        built.append(weakref.ref(half_built))
        raise MemoryError

    with pytest.raises(OutOfMemory, match="too small to load big beside"), cache.lease(spec("big", load=fail)):
        pass
    gc.collect()
    assert [model() for model in built] == [None, None]
    assert (loaded(cache), cache.resident_bytes(), cache.reserved_bytes()) == ([], 0, 0)
    fill(cache, "small")
    assert loaded(cache) == ["small"]


def test_a_model_over_the_limit_is_still_loaded() -> None:
    """Estimates may be wrong: with everything idle gone, loading decides."""
    cache = limited(20)
    fill(cache, "a")
    with cache.lease(spec("huge", memory_mb=1000)):
        assert loaded(cache) == ["huge"]


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory.")])
def test_out_of_memory_within_a_lease_raises(error: Exception) -> None:
    """A job whose work runs out of memory answers 503 with a sentence, and its model stays warm."""
    cache = ModelCache()
    with pytest.raises(OutOfMemory, match="too small for this job with one") as caught, cache.lease(spec()):
        raise error
    assert caught.value.status == 503
    assert names(cache.evict_idle()) == ["one"]


def test_memory_of_closing_models_counts_until_it_is_freed() -> None:
    """A model that is just being closed still counts, so that nobody takes its memory too early."""
    cache, seen = ModelCache(), []

    class Closing(Tensors):
        def close(self) -> None:
            seen.append((loaded(cache), cache.resident_bytes()))

    with cache.lease(ModelSpec("a", "a", "face", lambda: Closing(3), 3)):
        pass
    assert names(cache.unload()) == ["a"]
    assert seen == [([], 3 * MB)]
    assert cache.resident_bytes() == 0


def test_many_threads_stay_within_the_limit() -> None:
    """Threads that lease, release and unload as they like never see a closed model, and the books are right."""
    cache, sizes, limit_mb = limited(60), {"a": 10, "b": 20, "c": 30, "d": 25, "e": 5}, 60
    limits = threading.Semaphore(1)
    broken: list[str] = []

    class Closable(Tensors):
        closed = False

        def close(self) -> None:
            self.closed = True

    def work(seed: int) -> None:
        choice = random.Random(seed)  # noqa: S311 - reproducible, nothing secret
        for _ in range(8):
            key = choice.choice(sorted(sizes))
            one = ModelSpec(key, key, "upscaler", partial(Closable, sizes[key]), sizes[key])
            with cache.lease(one) as model:
                if model.closed or float(model.weight[-1]) != 1:
                    broken.append(key)
            del model
            if choice.random() < 0.2 and limits.acquire(blocking=False):
                cache.evict_idle()
                limits.release()

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, seed) for seed in range(4)]:
            done.result(120)
    assert broken == []
    assert cache.resident_bytes() == sum(sizes[key] for key in loaded(cache)) * MB
    assert cache.reserved_bytes() == 0
    fill(cache, "last")
    assert cache.resident_bytes() <= limit_mb * MB
    left = cache.unload()
    assert sum(model.freed_bytes for model in left) == sum(sizes.get(model.name, 0) for model in left) * MB
    assert cache.resident_bytes() == 0


# Eviction


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
    cache = limited(30)
    fill(cache, "old")
    with slow_load(cache), cache.lease(spec("new", memory_mb=20)):
        assert loaded(cache) == ["new"]


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
