"""CUDA graphs: the kernels of a computation are recorded once for each size, and then launched together.

To launch a kernel takes the CPU 5 to 10 microseconds. For a network of hundreds of small kernels that is longer than
the GPU computes. A graph launches all of them at once, but it always reads and writes the same memory, and keeps it.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

import torch
from torch import Tensor

from framepack.models.fast_path import Path, fastest
from framepack.models.memory.device import RECORDING, is_device_lost, is_out_of_memory, keep_bytes

log = logging.getLogger("framepack.models")

_CALLS_BEFORE: Final = 4  # of one size: fewer would not be worth the recording, and they warm up the libraries
_MOST_GRAPHS: Final = 4
_MOST_SIZES: Final = 64  # whose calls are counted
_SEED: Final = 1

Function = Callable[..., Tensor]
"""Computes a tensor from tensors by launching kernels, which depend only on shapes and types."""


class Recorded(Protocol):
    """A function that was recorded for inputs of one size."""

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        """Compute the result for these inputs, as a tensor of its own."""


class Recording:
    """A function recorded as a CUDA graph, on the current device.

    Args:
        function: What to record.
        inputs: Tensors of the sizes to record it for.

    Raises:
        RuntimeError: It could not be recorded, or memory ran out. The process can go on without it.
    """

    def __init__(self, function: Function, inputs: Sequence[Tensor]) -> None:
        device = inputs[0].device
        self._inputs = [torch.empty_like(each, memory_format=torch.contiguous_format) for each in inputs]
        self._fill(inputs)
        self._graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        pool = torch.cuda.graph_pool_handle()
        with RECORDING:
            stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(stream):
                function(*self._inputs)  # what is loaded or allocated at a stream's first call cannot be recorded
            torch.cuda.current_stream(device).wait_stream(stream)
            try:
                # Other threads go on using the GPU, in a way that would break a recording of the whole process.
                with torch.cuda.graph(self._graph, pool, stream, capture_error_mode="thread_local"):
                    before = torch.cuda.memory_reserved(device)
                    self._output = function(*self._inputs)
                    reserved = torch.cuda.memory_reserved(device) - before
            except BaseException:
                with suppress(Exception):  # if the allocator still records, it can never free memory again
                    torch._C._cuda_endAllocateToPool(device.index, pool)  # noqa: SLF001
                raise
        keep_bytes(self, device, max(reserved - self._output.nbytes, 0))

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        """Compute the result for these inputs, as a tensor of its own."""
        self._fill(inputs)
        self._graph.replay()
        return self._output.clone()

    def _fill(self, inputs: Sequence[Tensor]) -> None:
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)


@dataclass(slots=True)
class _Size:
    """What is known of a function with inputs of one size.

    Attributes:
        calls: How often it was called without a graph.
        recorded: Its graph, if it has one that proved itself.
        is_refused: Whether its graph did not prove itself, or failed.
    """

    calls: int = 0
    recorded: Recorded | None = None
    is_refused: bool = False


class Graphs:
    """Computes functions, after a few calls of one size by CUDA graphs where these prove themselves. Thread-safe.

    Args:
        record: Records a function for inputs of one size.
        has_room: Asked before recording, with the size of the inputs: whether there is memory for a graph.
        milliseconds: Measures the time of a call; None: by the GPU's own clock.
    """

    def __init__(
        self,
        has_room: Callable[[Sequence[Tensor]], bool],
        *,
        record: Callable[[Function, Sequence[Tensor]], Recorded] = Recording,
        milliseconds: Callable[[Callable[[], Tensor]], float] | None = None,
    ) -> None:
        self._has_room = has_room
        self._record = record
        self._milliseconds = milliseconds
        self._sizes: OrderedDict[Hashable, _Size] = OrderedDict()  # the last one was used last
        self._is_paused = False
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Number of graphs that are kept."""
        return sum(size.recorded is not None for size in self._sizes.values())

    @torch.inference_mode()
    def run(self, name: str, function: Function, inputs: Sequence[Tensor], constants: Hashable = ()) -> Tensor:
        """Return ``function(*inputs)``.

        Args:
            name: What is computed, for the log.
            function: Always the same for a name and constants.
            inputs: At least one; all on one GPU.
            constants: What else the function's kernels depend on.
        """
        if self._is_paused:
            return function(*inputs)
        with self._lock:
            size = self._size((name, constants, *((each.shape, each.dtype) for each in inputs)))
            if size.recorded is None and not size.is_refused:
                size.calls += 1
                if size.calls > _CALLS_BEFORE:
                    self._prove(size, name, function, inputs)
            if size.recorded is not None:
                try:
                    return size.recorded(inputs)
                except Exception as error:
                    if is_device_lost(error) or is_out_of_memory(error):
                        raise
                    log.warning("%s: the CUDA graph is no longer used: %s", name, error)
                    size.recorded, size.is_refused = None, True
        return function(*inputs)

    def pause(self) -> None:
        """Drop all graphs and record no others until ``resume``: memory is short."""
        with self._lock:
            self._is_paused = True
            for size in self._sizes.values():
                size.recorded = None

    def resume(self) -> None:
        """Record graphs again. Those that did not prove themselves are not tried again."""
        self._is_paused = False

    def _size(self, key: Hashable) -> _Size:
        size = self._sizes.pop(key, None) or _Size()
        self._sizes[key] = size
        if len(self._sizes) > _MOST_SIZES:
            self._sizes.popitem(last=False)
        return size

    def _prove(self, size: _Size, name: str, function: Function, inputs: Sequence[Tensor]) -> None:
        """Record a graph and keep it if it is equal and faster; the one that was used least recently is dropped."""
        size.calls = 0
        if not self._has_room(inputs):
            return
        kept = [each for each in self._sizes.values() if each.recorded is not None]
        if len(kept) >= _MOST_GRAPHS:
            kept[0].recorded = None
        trial = _Trial(function, inputs, self._record)
        with torch.cuda.device(inputs[0].device) if inputs[0].is_cuda else nullcontext():
            found = fastest(
                name,
                Path("plain", trial.outputs, trial.work),
                [Path("CUDA graph", trial.recorded_outputs, trial.recorded_work)],
                milliseconds=self._milliseconds,
            )
        if found is None:
            size.is_refused = True
        else:
            size.recorded = trial.recorded


class _Trial:
    """A function and its recording, and what they are compared with: random inputs, twice."""

    def __init__(
        self,
        function: Function,
        inputs: Sequence[Tensor],
        record: Callable[[Function, Sequence[Tensor]], Recorded],
    ) -> None:
        self._function = function
        self._like = inputs
        self._record = record

    def outputs(self) -> list[Tensor]:
        """What the function computes."""
        return [self._function(*inputs) for inputs in self._inputs]

    def work(self) -> Tensor:
        """One call."""
        return self._function(*self._inputs[0])

    def recorded_outputs(self) -> list[Tensor]:
        """What the recording computes."""
        return [self.recorded(inputs) for inputs in self._inputs]

    def recorded_work(self) -> Tensor:
        """One call of it, with all that is copied."""
        return self.recorded(self._inputs[0])

    @cached_property
    def recorded(self) -> Recorded:
        """The recording."""
        return self._record(self._function, self._like)

    @cached_property
    def _inputs(self) -> list[list[Tensor]]:
        random = torch.Generator(self._like[0].device).manual_seed(_SEED)
        return [[_noise(each, random) for each in self._like] for _ in range(2)]


def _noise(like: Tensor, random: torch.Generator) -> Tensor:
    """Values of 0..1, or samples of 8 bits."""
    if like.dtype.is_floating_point:
        return torch.rand(like.shape, generator=random, dtype=like.dtype, device=like.device)
    return torch.randint(256, like.shape, generator=random, dtype=like.dtype, device=like.device)
