"""Networks on a GPU that is not there: tensors with a device, a size and a type, but no contents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

FAKE_GPU = torch.device("cuda:0")
_VIEWS = (
    "prim.",
    "view",
    "slice",
    "select",
    "unbind",
    "permute",
    "expand",
    "detach",
    "alias",
    "split",
    "unsqueeze",
    "empty",
)


@contextmanager
def fake_gpu() -> Iterator[None]:
    """Let all tensors that are created be without contents, and on any device."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def move_to_fake_gpu(network: nn.Module, dtype: torch.dtype) -> None:
    """Replace the weights of a network by ones without contents; within `fake_gpu`."""
    for module in network.modules():
        for kind in (module._parameters, module._buffers):
            for name, value in kind.items():
                if value is not None:
                    fake: Any = torch.empty_strided(value.shape, value.stride(), dtype=dtype, device=FAKE_GPU)
                    is_weight = kind is module._parameters
                    kind[name] = nn.Parameter(fake, requires_grad=False) if is_weight else fake


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what a GPU would do.

    Attributes:
        kernels: Number of operations that are not mere views.
        elements: Number of elements of the largest tensor.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kernels = 0
        self.elements = 0

    def __torch_dispatch__(
        self, function: Any, _types: Any, arguments: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        output = function(*arguments, **(named or {}))
        self.kernels += not any(view in str(function) for view in _VIEWS)
        for value in tree_leaves(output):
            if isinstance(value, torch.Tensor):
                self.elements = max(self.elements, value.numel())
        return output


# Reads of a value or a size that the GPU computes. In inference mode, some operations are seen by their outer names.
_READS = ("_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select")


class Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Finds operations that let the CPU wait for a GPU: reads of values, and copies that are not asynchronous.

    A copy is asynchronous if it is called so and the memory on the host is pinned.

    Attributes:
        found: The operations, with their devices.
        copies: Number of copies between host and GPU.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []
        self.copies = 0
        self._pinned: dict[int, Any] = {}

    def __torch_dispatch__(
        self, function: Any, _types: Any, arguments: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        named = named or {}
        name = function._schema.name.removeprefix("aten::")
        first = arguments[0] if arguments else None
        if name in _READS and isinstance(first, torch.Tensor) and first.is_cuda:
            self.found.append(name)
        output = function(*arguments, **named)
        if isinstance(output, torch.Tensor):
            if named.get("pin_memory"):
                storage = output.untyped_storage()
                self._pinned[storage._cdata] = storage  # which keeps its address from being used again
            if name in {"_to_copy", "to", "copy_"}:
                given = dict(zip((each.name for each in function._schema.arguments), arguments, strict=False)) | named
                source = given["src"] if name == "copy_" else first
                self._copied(name, source, output, asynchronous=bool(given.get("non_blocking")))
        return output

    def _copied(self, name: str, source: Any, target: Any, *, asynchronous: bool) -> None:
        if source.is_cuda == target.is_cuda:
            return
        self.copies += 1
        host = target if source.is_cuda else source
        if not asynchronous or host.untyped_storage()._cdata not in self._pinned:
            self.found.append(f"{name} from {source.device} to {target.device}")


class FakeEvent:
    """An event of a GPU that is not there, in place of `torch.cuda.Event`; counts waits for all of them."""

    waits = 0

    def __init__(self, **_options: Any) -> None:
        self.is_recorded = False

    def record(self, _stream: object = None) -> None:
        """From here on, it can be waited for."""
        self.is_recorded = True

    def synchronize(self) -> None:
        """As if everything before it were done."""
        assert self.is_recorded
        FakeEvent.waits += 1
