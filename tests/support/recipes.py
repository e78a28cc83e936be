"""Recipes of models that cost nothing, for tests of the cache."""

from __future__ import annotations

from collections.abc import Callable

from framepack.models.cache import ModelCache
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


def keys(cache: ModelCache) -> list[str]:
    """What is loaded, the least recently used first."""
    return [model.key for model in cache.status()]


def fill(cache: ModelCache, *names: str) -> None:
    """Load models, one after the other."""
    for name in names:
        with cache.lease(spec(name)):
            pass
