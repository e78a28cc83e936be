"""The cache on a real GPU: what is measured is what the allocator says, and unloading gives it back."""

from __future__ import annotations

import gc

import pytest
import torch

from framepack.models.memory.cache import ModelCache
from framepack.models.memory.device import Device
from framepack.models.spec import ModelSpec
from framepack.units import MB
from tests.support.recipes import Tensors, loaded

pytestmark = pytest.mark.gpu


def recipe(key: str, size_mb: int) -> ModelSpec[Tensors]:
    """A module of so many megabytes on the GPU."""
    return ModelSpec(key, key, "upscaler", lambda: Tensors(size_mb, "cuda"), size_mb)


def test_unload_frees_the_reported_memory() -> None:
    """The measured size is the allocator's, and all of it is free again afterwards."""
    gc.collect()
    device = Device.find("cuda")
    cache = ModelCache(lambda: device)
    before = torch.cuda.memory_allocated(device.torch_device)
    with cache.lease(recipe("a", 200)):
        pass
    assert torch.cuda.memory_allocated(device.torch_device) - before == 200 * MB
    assert [model.memory_bytes for model in cache.status()] == [200 * MB]
    assert [model.freed_bytes for model in cache.unload()] == [200 * MB]
    assert torch.cuda.memory_allocated(device.torch_device) == before


def test_models_stay_within_the_limit() -> None:
    """With a limit, idle models leave before another is loaded, and the allocator never holds more."""
    gc.collect()
    before_mb = -(-torch.cuda.memory_allocated() // MB)
    cache = ModelCache(lambda: device)
    device = Device.find("cuda", before_mb + 500, cache)
    torch.cuda.reset_peak_memory_stats(device.torch_device)
    for key, size_mb in (("a", 200), ("b", 250), ("c", 300), ("a", 200), ("d", 450)):
        with cache.lease(recipe(key, size_mb)) as model:
            assert model.weight.is_cuda
        del model
    assert loaded(cache) == ["d"]
    assert torch.cuda.max_memory_allocated(device.torch_device) <= (before_mb + 500) * MB
    cache.unload()
