"""Estimate the memory that an upscaling network needs for a frame, from what a small frame takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from framepack.models.memory.model_memory import is_gone_function
from framepack.models.networks.strips import Strips

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

    from framepack.models.networks.network import UpscalingNetwork

_PROBE_SIDE: Final = 32  # pixels of the frame with which memory is measured
_KERNEL_WORKSPACE: Final = 1.25  # factor for what kernels need besides the input and output of their layer


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Memory that a network needs for a frame.

    Attributes:
        per_pixel: Bytes per pixel of the frame.
        per_strip_pixel: Further bytes per pixel of the frame that one strip is computed from.
        strips: What computes layers in strips; None: nothing does.
    """

    per_pixel: float
    per_strip_pixel: float = 0.0
    strips: Strips | None = None

    @classmethod
    def measure(cls, network: UpscalingNetwork, dtype: torch.dtype) -> MemoryEstimate:
        """Run a small frame through a network on its device, whose input has this precision."""
        if network.device.type == "cuda":
            return cls(measure_bytes_per_pixel(network, dtype))
        strips = next((module for module in network.model.modules() if isinstance(module, Strips)), None)
        return cls(*_measure_live_bytes(network, dtype, strips), strips)

    def bytes_of(self, pixels: int, width: int) -> int:
        """Return the memory for a frame of so many pixels and this width."""
        return math.ceil(self.per_pixel * pixels + self.per_strip_pixel * min(pixels, self._strip_pixels(width)))

    def pixels_in(self, size_bytes: float, width: int) -> int:
        """Return how many pixels a frame of this width can have, for which so much memory is enough."""
        in_one_strip = size_bytes / (self.per_pixel + self.per_strip_pixel)
        in_strips = (size_bytes - self.per_strip_pixel * self._strip_pixels(width)) / self.per_pixel
        return int(max(in_one_strip, in_strips))

    def _strip_pixels(self, width: int) -> int:
        return 0 if self.strips is None else self.strips.input_pixels(width)


@torch.inference_mode()
def _measure_live_bytes(network: UpscalingNetwork, dtype: torch.dtype, strips: Strips | None) -> tuple[float, float]:
    """Measure the memory that a pixel takes outside and inside of strips, by what layers keep at the same time."""
    live = _LiveTensors()
    hooks = [layer.register_forward_hook(live.note) for layer in _leaves(network) if layer is not strips]
    if strips is not None:
        hooks += [strips.register_forward_pre_hook(live.begin_strips), strips.register_forward_hook(live.end_strips)]
    frame, output = _run_small_frame(network, dtype, hooks)
    pixels = frame.shape[-1] ** 2
    outside = _KERNEL_WORKSPACE * (live.most_bytes + frame.nbytes + 2 * output.nbytes)
    return outside / pixels, _KERNEL_WORKSPACE * live.most_strip_bytes / pixels


class _LiveTensors:
    """Records how much memory the inputs and outputs of layers take at the same time.

    Operations are not watched, because PyTorch imports its compiler for that, which takes a second and 150 MB.

    Attributes:
        most_bytes: The most that was taken outside of strips.
        most_strip_bytes: The most that was taken by a strip, beside what was there before.
    """

    def __init__(self) -> None:
        self.most_bytes = self.most_strip_bytes = 0
        self._storages: dict[int, tuple[Callable[[], bool], int]] = {}  # whether it is gone, and its size
        self._before: int | None = None  # bytes taken when the strips began

    def note(self, _layer: nn.Module, inputs: object, output: object) -> None:
        """Count after a layer."""
        for value in tree_leaves((inputs, output)):
            if isinstance(value, Tensor):
                storage = value.untyped_storage()
                identity = storage._cdata  # noqa: SLF001 - of the memory, which views share
                self._storages[identity] = is_gone_function(storage), storage.nbytes()
        if self._before is None:
            self.most_bytes = max(self.most_bytes, self._bytes())
        else:
            self.most_strip_bytes = max(self.most_strip_bytes, self._bytes() - self._before)

    def begin_strips(self, *_: object) -> None:
        """Count what follows as a strip's."""
        self._before = self._bytes()

    def end_strips(self, *_: object) -> None:
        """Count what follows as before."""
        self._before = None

    def _bytes(self) -> int:
        self._storages = {key: kept for key, kept in self._storages.items() if not kept[0]()}
        return sum(size for _, size in self._storages.values())


@torch.inference_mode()
def measure_bytes_per_pixel(network: UpscalingNetwork, dtype: torch.dtype) -> int:
    """Measure the memory that one input pixel needs during inference on a GPU, by the network's widest layer.

    Args:
        network: On its device; a small frame is run through it.
        dtype: Precision of its input.
    """
    widest = 0

    def record(_layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal widest
        if output is inputs[0]:  # nothing was allocated
            return
        tensors = [value for value in tree_leaves((inputs, output)) if isinstance(value, Tensor)]
        widest = max(widest, sum(tensor.nbytes for tensor in tensors))

    hooks = [layer.register_forward_hook(record) for layer in _leaves(network)]
    frame, output = _run_small_frame(network, dtype, hooks)
    total: int = widest + frame.nbytes + 2 * output.nbytes
    return int(_KERNEL_WORKSPACE * total / frame.shape[-1] ** 2) + 1


@torch.inference_mode()
def measure_elements_per_pixel(network: UpscalingNetwork, dtype: torch.dtype) -> int:
    """Measure the elements per input pixel of the largest tensor that the network computes.

    Args:
        network: On its device; a small frame is run through it.
        dtype: Precision of its input.
    """
    with _LargestTensor() as largest:
        frame, _ = _run_small_frame(network, dtype)
    side: int = frame.shape[-1]
    elements: int = largest.elements
    return math.ceil(elements / side**2)


class _LargestTensor(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the number of elements of the largest tensor that any operation returns."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.elements = 0

    def __torch_dispatch__(
        self, function: Any, _types: Any, arguments: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        output = function(*arguments, **(named or {}))
        for value in tree_leaves(output):
            if isinstance(value, Tensor):
                self.elements = max(self.elements, value.numel())
        return output


def _leaves(network: UpscalingNetwork) -> list[nn.Module]:
    """The layers of a network that consist of no others."""
    return [layer for layer in network.model.modules() if not any(True for _ in layer.children())]


def _run_small_frame(
    network: UpscalingNetwork, dtype: torch.dtype, hooks: Sequence[RemovableHandle] = ()
) -> tuple[Tensor, Tensor]:
    """Run a small square frame through a network, then remove the hooks; return the frame and the output."""
    side = max(_PROBE_SIDE, network.minimum_size)
    side += -side % network.size_multiple
    frame = torch.zeros((1, 3, side, side), dtype=dtype, device=network.device)
    try:
        return frame, network(frame.contiguous(memory_format=torch.channels_last))
    finally:
        for hook in hooks:
            hook.remove()
