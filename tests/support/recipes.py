"""Specs of cheap models, for tests of the cache."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from framepack.models.memory.cache import ModelCache, UnloadedModel
from framepack.models.memory.device import Device
from framepack.models.spec import Group, ModelSpec
from framepack.units import MB


class Model:
    """A model that records that it was closed."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        """Record it."""
        self.closed = True


def spec(
    key: str = "one", memory_mb: int = 10, group: Group = "upscaler", load: Callable[[], Model] = Model
) -> ModelSpec[Model]:
    """The spec of a model whose public name is the key up to the @."""
    return ModelSpec(key, key.partition("@")[0], group, load, memory_mb)


class Tensors(torch.nn.Module):
    """A module with tensors of this many megabytes, written to, so that the memory is really allocated."""

    def __init__(self, size_mb: int, device: str | torch.device = "cpu") -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(size_mb * MB // 4, device=device), requires_grad=False)


class Neighbors:
    """Idle models on a device that count how often they are asked to be evicted.

    Args:
        idle: number of models.
        held_mb: memory of each of them.
    """

    def __init__(self, idle: int = 0, held_mb: int = 0) -> None:
        self.idle, self.held_mb, self.asked = idle, held_mb, 0

    def resident_bytes(self) -> int:
        """Memory of the remaining models."""
        return self.idle * self.held_mb * MB

    def reserved_bytes(self) -> int:
        """None is being loaded."""
        return 0

    def evict_idle(self, until: Callable[[], bool] | None = None) -> Sequence[object]:
        """Evict one after another."""
        self.asked += 1
        before = self.idle
        while self.idle and not (until and until()):
            self.idle -= 1
        return range(before - self.idle)


def limited(limit_mb: int) -> ModelCache:
    """A cache on a CPU with this memory limit."""
    cache = ModelCache(lambda: device)
    device = Device(torch.device("cpu"), limit_mb * MB, residents=cache)
    return cache


def names(unloaded: Iterable[UnloadedModel]) -> list[str]:
    """Names of unloaded models."""
    return [model.name for model in unloaded]


def loaded(cache: ModelCache) -> list[str]:
    """Names of the loaded models, least recently used first."""
    return [model.name for model in cache.status()]


def fill(cache: ModelCache, *names: str) -> None:
    """Load models one after another."""
    for name in names:
        with cache.lease(spec(name)):
            pass


@contextmanager
def slow_load(cache: ModelCache) -> Iterator[None]:
    """While a model named "slow" is loading in another thread; at the end of the block it is loaded and released."""
    loading, go_on = threading.Event(), threading.Event()

    def load() -> Model:
        loading.set()
        assert go_on.wait(60)
        return Model()

    def lease() -> None:
        with cache.lease(spec("slow", load=load)):
            pass

    with ThreadPoolExecutor(1) as pool:
        leased = pool.submit(lease)
        assert loading.wait(60)
        try:
            yield
        finally:
            go_on.set()
        leased.result(60)
