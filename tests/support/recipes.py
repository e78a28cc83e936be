"""Recipes of models that cost nothing, for tests of the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from framepack.models.memory.cache import ModelCache, UnloadedModel
from framepack.models.memory.device import MB, Device
from framepack.models.spec import Group, ModelSpec


class Model:
    """A model that remembers being closed."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        """Give everything back."""
        self.closed = True


def spec(
    key: str = "one", memory_mb: int = 10, group: Group = "upscaler", load: Callable[[], Model] = Model
) -> ModelSpec[Model]:
    """A recipe; the public name is the key up to the @."""
    return ModelSpec(key, key.partition("@")[0], group, load, memory_mb)


class Tensors(torch.nn.Module):
    """A real module of a given size in megabytes, touched, so that the system has really given them."""

    def __init__(self, size_mb: int, place: str | torch.device = "cpu") -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(size_mb * MB // 4, device=place), requires_grad=False)


class Neighbors:
    """Resident models that count how often they are asked to leave; some of them do.

    Args:
        idle: how many there are.
        held_mb: what each of them holds.
    """

    def __init__(self, idle: int = 0, held_mb: int = 0) -> None:
        self.idle, self.held_mb, self.asked = idle, held_mb, 0

    def resident_bytes(self) -> int:
        """What is left of them."""
        return self.idle * self.held_mb * MB

    def reserved_bytes(self) -> int:
        """None is being loaded."""
        return 0

    def release_idle(self, until: Callable[[], bool] | None = None) -> Sequence[object]:
        """Leave, one by one."""
        self.asked += 1
        before = self.idle
        while self.idle and not (until and until()):
            self.idle -= 1
        return range(before - self.idle)


def limited(limit_mb: int) -> ModelCache:
    """A cache on a CPU with so much memory."""
    cache = ModelCache(lambda: device)
    device = Device(torch.device("cpu"), limit_mb * MB, residents=cache)
    return cache


def names(unloaded: Iterable[UnloadedModel]) -> list[str]:
    """What the models that left are called."""
    return [model.name for model in unloaded]


def keys(cache: ModelCache) -> list[str]:
    """What is loaded, the least recently used first."""
    return [model.key for model in cache.status()]


def fill(cache: ModelCache, *names: str) -> None:
    """Load models, one after the other."""
    for name in names:
        with cache.lease(spec(name)):
            pass
