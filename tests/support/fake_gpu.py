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
                    fake: Any = torch.empty(value.shape, dtype=dtype, device=FAKE_GPU)
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
