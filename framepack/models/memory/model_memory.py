"""Measure the memory of a loaded model by its tensors, and how much of it was freed when the model was unloaded.

Counting the model's storages stays exact while other jobs allocate and free memory at the same time. Differences of
the allocator's or the process's totals do not.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Final

from framepack.models.memory.device import Device

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# The walk does not look inside values of these types: they hold no tensors of the model's own. A `Device` refers to
# the cache, and so to all other models.
_OPAQUE: Final = (
    str,
    bytes,
    int,
    float,
    complex,
    type(None),
    type,
    ModuleType,
    FunctionType,
    MethodType,
    BuiltinFunctionType,
    Device,
)
_CONTAINERS: Final = (list, tuple, set, frozenset, deque)


class ModelMemory:
    """The storages of a model's tensors, each counted once; keeps none of them alive.

    Args:
        model: A torch module, or any object that has tensors in its attributes, lists or dictionaries, however deep.
        device: Count only storages on devices of this type; None: count all.

    Attributes:
        size_bytes: Total size of the storages; 0 if there are none.
    """

    def __init__(self, model: object, device: torch.device | None = None) -> None:
        self._storages = [
            (is_gone_function(storage), storage.nbytes())
            for storage in _storages(model)
            if device is None or storage.device.type == device.type
        ]
        self.size_bytes = sum(size for _, size in self._storages)

    def freed_bytes(self) -> int:
        """Size of the storages that no longer exist: their memory went back to the allocator."""
        return sum(size for is_gone, size in self._storages if is_gone())


def is_gone_function(storage: torch.UntypedStorage) -> Callable[[], bool]:
    """Return a function that says whether a storage is gone, and does not keep it alive."""
    from torch.multiprocessing.reductions import StorageWeakRef

    is_gone: Callable[[], bool] = StorageWeakRef(storage).expired  # type: ignore[no-untyped-call]
    return is_gone


def _storages(model: object) -> Iterable[torch.UntypedStorage]:
    found = (tensor.untyped_storage() for tensor in _tensors(model))
    return {storage._cdata: storage for storage in found}.values()  # noqa: SLF001 - the storage's identity


def _tensors(model: object) -> Iterator[Tensor]:
    """Yield every dense tensor that can be reached from ``model``."""
    torch = sys.modules.get("torch")
    if torch is None:  # it was never imported, so there are no tensors
        return
    visited: dict[int, object] = {}  # keeps the objects alive, so that no id is reused during the walk
    waiting = [model]
    while waiting:
        value = waiting.pop()
        if isinstance(value, _OPAQUE) or id(value) in visited:
            continue
        visited[id(value)] = value
        if not isinstance(value, torch.Tensor):
            waiting.extend(_members(value))
        elif value.layout == torch.strided:
            yield value


def _members(value: object) -> Iterator[object]:
    """Yield what a container or an object holds, without running any code of its own."""
    if isinstance(value, dict):
        yield from dict.values(value)
    elif isinstance(value, _CONTAINERS):
        yield from value
    yield from getattr(value, "__dict__", {}).values()
    for kind in type(value).__mro__:
        names = kind.__dict__.get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            slot = kind.__dict__.get(name)
            if slot is not None and hasattr(value, name):
                yield getattr(value, name)
