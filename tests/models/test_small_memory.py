"""A simulated small GPU: models that do not fit together take turns, in any order, and none runs out of memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from framepack.media.clip import Colors
from framepack.models.interpolate.interpolator import EncodedPair
from framepack.models.library import ModelLibrary
from framepack.models.memory.oom import retry_after_oom
from framepack.models.spec import Group, ModelRow, ModelSpec
from framepack.models.weights.catalog import Catalog
from framepack.models.weights.store import WeightsStore
from framepack.units import MB
from tests.support.interpolation import device_frames, noise
from tests.support.networks import tiny_compact
from tests.support.recipes import Tensors
from tests.support.rife_reference import random_rife
from tests.support.weights import checkpoint, fetch_never, published

LIMIT_MB: Final = 150
BIG_MB: Final = {"enhancer": 90, "captioner": 70}
KINDS: Final = ("upscaler", "interpolator", "enhancer", "captioner")


class Small:
    """A library on a CPU with little memory: real networks for video, and two large models beside them."""

    def __init__(self, folder: Path) -> None:
        content = checkpoint({f"module.{key}": value for key, value in random_rife().items()}, None)
        rife = published(content, "tiny.pkl")
        row = ModelRow("RIFE", "interpolator", "IFNet", 1, (rife,), 25, "Tiny")
        save_file(tiny_compact(feat=16), folder / "tiny.safetensors")
        (folder / rife.filename).write_bytes(content)
        catalog = Catalog((row,))
        store = WeightsStore(folder, allow_download=False, download=fetch_never, catalog=catalog)
        self.library = ModelLibrary(catalog, store, device="cpu", memory_limit_mb=LIMIT_MB)
        self.peak_bytes = 0

    def use(self, kind: str) -> None:
        """Lease a model and let it work."""
        works: dict[str, Callable[[], None]] = {"upscaler": self._upscale, "interpolator": self._interpolate}
        works.get(kind, lambda: self._think(kind))()  # type: ignore[arg-type]

    def record_memory(self) -> None:
        """Record the memory in use by the accounts of the cache."""
        cache = self.library.cache
        self.peak_bytes = max(self.peak_bytes, cache.resident_bytes() + cache.reserved_bytes())

    def big(self, group: Group) -> AbstractContextManager[Tensors]:
        """Lease a large model of a group."""

        def load() -> Tensors:
            self.record_memory()
            return Tensors(BIG_MB[group])

        return self.library.cache.lease(ModelSpec(group, f"big {group}", group, load, BIG_MB[group]))

    def _upscale(self) -> None:
        with self.library.upscaler("tiny") as upscaler:
            self.record_memory()
            assert upscaler(torch.rand(1, 3, 40, 60)).shape == (1, 3, 160, 240)

    def _interpolate(self) -> None:
        with self.library.interpolator() as model:
            self.record_memory()
            first, second = (model.encode(frame, Colors()) for frame in device_frames(noise(2, 64, 64)))
            assert model.interpolate([EncodedPair(first, second, 0.5)] * model.batch_size(64, 64)).shape[1:] == (
                3,
                64,
                64,
            )

    def _think(self, group: Group) -> None:
        """Work that needs 30 MB in one piece, and runs out if they are not there."""
        with self.big(group) as model:
            self.record_memory()
            device = self.library.device

            def work() -> Any:
                if device.free_bytes() < 30 * MB:
                    raise torch.OutOfMemoryError("CUDA out of memory.")
                return model.weight[:4].clone()

            assert retry_after_oom(work, device.free_memory, "too small").tolist() == [1] * 4


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """One worker for all orders, as warm as the orders before have left it."""
    return Small(tmp_path_factory.mktemp("weights"))


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(order=st.permutations(KINDS * 2))
def test_models_stay_within_the_limit_in_any_order(small: Small, order: list[str]) -> None:
    """Whatever comes after whatever, it gets its memory, and the limit holds at every moment."""
    for kind in order:
        small.use(kind)
        small.record_memory()
    assert 90 * MB < small.peak_bytes <= LIMIT_MB * MB


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(outer=st.sampled_from(["upscaler", "interpolator"]), inner=st.permutations(KINDS[1:]))
def test_a_model_in_use_stays_loaded_beside_any_other(small: Small, outer: str, inner: list[str]) -> None:
    """While a small model is in use, the large ones come and go around it and never push it out."""
    library = small.library
    small.peak_bytes = 0
    lease: AbstractContextManager[Any] = library.upscaler("tiny") if outer == "upscaler" else library.interpolator()
    with lease:
        for kind in inner:
            small.use(kind)
            assert outer in [model.group for model in library.cache.status()]
    small.record_memory()
    assert small.peak_bytes <= LIMIT_MB * MB


def test_resident_memory_equals_measured_and_freed_memory(small: Small) -> None:
    """The books are the sum of what the models hold, and unloading all gives all of it back."""
    for kind in KINDS:
        small.use(kind)
    cache = small.library.cache
    held = cache.resident_bytes()
    assert held == sum(model.memory_bytes for model in cache.status()) >= 70 * MB
    assert sum(model.freed_bytes for model in cache.unload()) == held
    assert cache.resident_bytes() == 0
    assert small.library.device.free_bytes() == LIMIT_MB * MB
