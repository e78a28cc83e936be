"""Copies between the host and a GPU that neither of them waits for until the data is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from framepack.media.frames.arrays import Samples


class Download:
    """Tensors on their way to host memory.

    On a GPU, ``wait`` waits for what was launched before the download was started, and not for later work.

    Args:
        tensors: At least one, all on one device. They may be freed at once; tensors on the CPU are not copied.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._copies = list(tensors)
        self._arrived: torch.cuda.Event | None = None
        if tensors[0].is_cuda:
            self._copies = [
                torch.empty_like(each, device="cpu", pin_memory=True).copy_(each, non_blocking=True)
                for each in tensors
            ]
            # The thread sleeps instead of spinning: the encoder needs the processor.
            self._arrived = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            self._arrived.record(torch.cuda.current_stream(tensors[0].device))

    def wait(self) -> list[Tensor]:
        """Return the tensors in host memory, once they are there."""
        if self._arrived is not None:
            self._arrived.synchronize()
            self._arrived = None
        return self._copies


def upload_planes(planes: Sequence[Samples], device: torch.device) -> Tensor:
    """Copy planes of one size to the device: shape (N, H, W), uint8 or int32."""
    samples = pinned(planes, device).to(device, non_blocking=True)
    if samples.dtype == torch.uint8:
        return samples
    return samples.to(torch.int32).bitwise_and_(0xFFFF)  # PyTorch has few operations for uint16


def pinned(planes: Sequence[Samples], device: torch.device) -> Tensor:
    """Gather planes of one size, uint8 or uint16 as int16; for a GPU in pinned (page-locked) memory.

    A GPU copies from there asynchronously, while the CPU continues.
    """
    dtype = torch.int16 if planes[0].dtype.itemsize > 1 else torch.uint8
    gathered = torch.empty((len(planes), *planes[0].shape), dtype=dtype, pin_memory=device.type == "cuda")
    array = gathered.numpy().view(planes[0].dtype)
    for index, plane in enumerate(planes):
        array[index] = plane
    return gathered
