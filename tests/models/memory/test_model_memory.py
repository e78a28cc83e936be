"""What a model holds: every storage once, wherever it is in the model, and what of it is gone."""

from __future__ import annotations

import gc
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import nn

from framepack.models.memory.cache import ModelCache
from framepack.models.memory.device import Device
from framepack.models.memory.model_memory import ModelMemory
from framepack.models.spec import ModelSpec
from framepack.models.upscale.upscaler import Upscaler
from framepack.units import MB
from tests.support.interpolation import interpolator
from tests.support.recipes import Tensors
from tests.support.upscaling import rrdb

CPU = Device(torch.device("cpu"))


@dataclass(slots=True)
class Slotted:
    """A model without ``__dict__``."""

    network: Any


class Plain:
    """A model that keeps things in containers."""

    def __init__(self, *things: object) -> None:
        self.things = {"all": [*things], "again": tuple(things)}


def weights(module: nn.Module) -> int:
    """Bytes of parameters and buffers."""
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


@pytest.mark.parametrize("wrap", [lambda each: each, Slotted, Plain, lambda each: OrderedDict(a=[{"b": each}])])
def test_tensors_are_found_in_any_object(wrap: Any) -> None:
    """A module counts with its parameters and buffers, alone or anywhere inside an object."""
    network = nn.Sequential(nn.Linear(100, 50), nn.BatchNorm1d(50))
    assert ModelMemory(wrap(network)).size_bytes == weights(network) > 20_000


def test_shared_storages_are_counted_once() -> None:
    """Tied weights and views are not counted twice; a small view keeps, and counts, its whole storage."""
    first, second = nn.Linear(100, 100, bias=False), nn.Linear(100, 100, bias=False)
    second.weight = first.weight
    network = nn.Sequential(first, second)
    assert ModelMemory(network).size_bytes == 40_000
    assert ModelMemory(Plain(network, first.weight.detach()[:1])).size_bytes == 40_000
    assert ModelMemory(first.weight.detach()[:1]).size_bytes == 40_000


def test_size_of_real_models_is_that_of_their_weights() -> None:
    """The upscaler's and the interpolator's figures are those of their networks."""
    network = rrdb(feat=64, blocks=1)
    assert ModelMemory(Upscaler(network, CPU)).size_bytes == weights(network.model) > 2 * MB
    model = interpolator()
    least = weights(model._network)
    assert (
        21 * MB < least <= ModelMemory(model).size_bytes < 1.01 * least
    )  # two of its weights are parts of larger ones


def test_other_models_on_the_device_are_not_counted() -> None:
    """A model knows its device and that knows everybody; only its own tensors are counted."""
    cache = ModelCache(lambda: device)
    device = replace(CPU, residents=cache)
    with cache.lease(ModelSpec("other", "other", "enhancer", lambda: Tensors(3), 3)):
        model = Upscaler(rrdb(), device)
        assert 0 < ModelMemory(model).size_bytes < MB


def test_storages_on_other_devices_are_not_counted() -> None:
    """Of a model that is in two places, those bytes count that are where one asks."""
    parts = Plain(torch.zeros(10), torch.zeros(100, device="meta"))
    assert ModelMemory(parts, torch.device("cpu")).size_bytes == 40


def test_models_without_tensors_have_size_zero() -> None:
    """Values, recursive containers and sparse tensors are no obstacle."""
    loop: list[object] = ["text", 1, None, print, nn, torch.device("cpu")]
    loop.append(loop)
    loop.append(torch.eye(3).to_sparse())
    assert ModelMemory(loop).size_bytes == 0


def test_freed_bytes_count_only_deleted_storages() -> None:
    """Bytes count as freed when nobody refers to their storage any more, be it through a view."""
    network = [nn.Linear(100, 100, bias=False), nn.Linear(100, 10, bias=False)]
    memory = ModelMemory(network)
    view = network[0].weight.detach()[3]
    assert memory.freed_bytes() == 0
    del network
    gc.collect()
    assert memory.freed_bytes() == 4_000
    del view
    assert memory.freed_bytes() == memory.size_bytes == 44_000
