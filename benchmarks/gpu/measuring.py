"""What every part of the GPU run shares: where it runs, how it takes time, and where its rows go."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from framepack.models.memory.device import Device

SHRINK: Final = 8
"""By how much images are made smaller on a CPU, where a run only shows that every part works."""

_ROUNDS: Final = 3


@dataclass
class Bench:
    """One run.

    Attributes:
        device: Where the networks run.
        folder: Where rows, profiles and temporary files go.
        rows: What was measured, by part.
    """

    device: Device
    folder: Path
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def place(self) -> torch.device:
        """The device, as PyTorch names it."""
        return self.device.torch_device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of convolutions there."""
        return torch.float16 if self.device.is_cuda else torch.float32

    def size(self, *pixels: int) -> tuple[int, ...]:
        """Sizes of images: as they are on a GPU, and small and even on a CPU."""
        return pixels if self.device.is_cuda else tuple(max(each // SHRINK // 2 * 2, 16) for each in pixels)

    def count(self, frames: int) -> int:
        """Number of frames: as it is on a GPU, and a few on a CPU."""
        return frames if self.device.is_cuda else min(frames, 4)

    def images(self, count: int, width: int, height: int) -> Tensor:
        """Random images of shape (N, 3, H, W) in 0..1 on the device."""
        width, height = self.size(width, height)
        return torch.rand(count, 3, height, width, device=self.place)

    def add(self, part: str, **row: Any) -> None:
        """Print a row, and keep it even if the run is cut off."""
        self.rows.setdefault(part, []).append(row)
        line = json.dumps({"part": part, **row})
        print(line, flush=True)
        with (self.folder / "rows.jsonl").open("a") as file:
            file.write(line + "\n")

    def synchronize(self) -> None:
        """Wait until the device has done everything."""
        if self.device.is_cuda:
            torch.cuda.synchronize()

    def milliseconds(self, work: Callable[[], Any], least_seconds: float = 0.5) -> float:
        """The median time of a call, the device's work included; two calls before warm up. Once on a CPU."""
        for _ in range(2 if self.device.is_cuda else 0):
            work()
        self.synchronize()
        times: list[float] = []
        end = time.perf_counter() + (least_seconds if self.device.is_cuda else 0)
        while len(times) < (_ROUNDS if self.device.is_cuda else 1) or time.perf_counter() < end:
            started = time.perf_counter()
            work()
            self.synchronize()
            times.append(time.perf_counter() - started)
        return round(1e3 * statistics.median(times), 3)

    def peak_bytes(self, work: Callable[[], Any]) -> int:
        """Memory of the device that a call takes beside what was taken before; 0 on a CPU."""
        if not self.device.is_cuda:
            return 0
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before

    @contextmanager
    def cudnn_benchmark(self) -> Iterator[None]:
        """Let cuDNN try its algorithms and take the fastest."""
        torch.backends.cudnn.benchmark = True
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = False

    def write_tables(self) -> Path:
        """Write one Markdown table for each part."""
        target = self.folder / "tables.md"
        target.write_text("\n".join(_table(part, rows) for part, rows in self.rows.items()))
        return target


class Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what passes through the memory of a device: what each operation reads and writes, views aside.

    Attributes:
        read_and_written_bytes: The sum.
        kernels: Number of operations that write something.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.read_and_written_bytes = 0
        self.kernels = 0

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        storages = {each.untyped_storage()._cdata for each in inputs}  # noqa: SLF001 - the storage's identity
        outputs = [each for each in tree_leaves(result) if isinstance(each, Tensor)]
        is_view = all(each.untyped_storage()._cdata in storages for each in outputs)  # noqa: SLF001
        is_allocation = "empty" in func._schema.name  # noqa: SLF001 - the way to ask an operation
        if not is_allocation and (func._schema.is_mutable or not is_view):  # noqa: SLF001
            self.kernels += 1
            self.read_and_written_bytes += sum(each.nbytes for each in (*inputs, *outputs))
        return result


def counted(work: Callable[[], Any]) -> tuple[float, float, int]:
    """GB of traffic, TFLOP and kernels of a call."""
    from torch.utils.flop_counter import FlopCounterMode

    from framepack.models.kernels import convolution as _  # noqa: F401 - defines the operation

    ours = {torch.ops.framepack.convolve_slice: _convolution_flops}
    with FlopCounterMode(display=False, custom_mapping=ours) as flops, Traffic() as traffic:
        work()
    return traffic.read_and_written_bytes / 1e9, flops.get_total_flops() / 1e12, traffic.kernels


def _convolution_flops(source: Sequence[int], weights: Sequence[int], *_shapes: Any, **_named: Any) -> int:
    """Two for each pixel of a source (N, H, W, C) and each weight."""
    return 2 * math.prod(source[:3]) * math.prod(weights)


def decibels(one: Tensor, other: Tensor) -> float:
    """How close two images of 0..1 are."""
    error = (one.double() - other.double()).square().mean()
    return round(float(-10 * torch.log10(error + 1e-12)), 1)


def _table(part: str, rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names), *([str(row.get(name, "")) for name in names] for row in rows)]
    return f"## {part}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
