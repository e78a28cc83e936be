"""What a loaded model holds in memory, found by looking into it; and, once it has left, what of that is really gone.

Counting storages is exact while other jobs allocate and free beside it; differences of an allocator's or a process's
figures are not.
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

# Values that hold no tensors of the model's own. A device knows its tenants: behind it lie all the other models.
_CLOSED: Final = (
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


class Holdings:
    """The storages of a model's tensors, each counted once; keeps none of them alive.

    Args:
        model: a torch module, or any object that has some in its attributes, lists or dictionaries, however deep.
        place: where the storages lie that count; None: anywhere.

    Attributes:
        size_bytes: what they hold; 0 if there are none.
    """

    def __init__(self, model: object, place: torch.device | None = None) -> None:
        self._storages = [
            (_weak(storage), storage.nbytes())
            for storage in _storages(model)
            if place is None or storage.device.type == place.type
        ]
        self.size_bytes = sum(size for _, size in self._storages)

    def freed_bytes(self) -> int:
        """What of it is no longer there: nobody refers to it, so its memory went back to the allocator."""
        return sum(size for is_gone, size in self._storages if is_gone())


def _weak(storage: torch.UntypedStorage) -> Callable[[], bool]:
    """Says whether a storage is gone, without keeping it."""
    from torch.multiprocessing.reductions import StorageWeakRef

    is_gone: Callable[[], bool] = StorageWeakRef(storage).expired  # type: ignore[no-untyped-call]
    return is_gone


def _storages(model: object) -> Iterable[torch.UntypedStorage]:
    found = (tensor.untyped_storage() for tensor in _tensors(model))
    return {storage._cdata: storage for storage in found}.values()  # noqa: SLF001 - the storage's identity


def _tensors(model: object) -> Iterator[Tensor]:
    """Every dense tensor that can be reached from ``model``."""
    torch = sys.modules.get("torch")
    if torch is None:  # nobody has imported it, so there are none
        return
    seen: dict[int, object] = {}  # keeps what it has seen, so that no identity is given away twice
    waiting = [model]
    while waiting:
        value = waiting.pop()
        if isinstance(value, _CLOSED) or id(value) in seen:
            continue
        seen[id(value)] = value
        if not isinstance(value, torch.Tensor):
            waiting.extend(_parts(value))
        elif value.layout == torch.strided:
            yield value


def _parts(value: object) -> Iterator[object]:
    """What a container or an object holds, without running any code of its own."""
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
