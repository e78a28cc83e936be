"""Graphs where there is no GPU: recordings that compute on the CPU, and those that do what they should not."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from framepack.models.graphs import Graphs

Function = Callable[..., Tensor]


class Recorder:
    """Records functions, in place of CUDA graphs.

    Attributes:
        made: The shapes for which something was recorded.
        alive: The recordings that still exist.
        replays: How often one was used.
        error: Added to all results.
        fails: Called at every replay; may raise an error.
        plain_milliseconds: What a call of the function takes.
        milliseconds: What a call of its recording takes.
        room: Whether there is memory for a recording.
    """

    def __init__(self) -> None:
        self.made: list[list[tuple[int, ...]]] = []
        self.alive: weakref.WeakSet[Any] = weakref.WeakSet()
        self.replays = 0
        self.error = 0.0
        self.fails: Callable[[], object] = lambda: None
        self.plain_milliseconds = 2.0
        self.milliseconds = 1.0
        self.room = True
        self._is_plain = True

    def __call__(self, function: Function, inputs: Sequence[Tensor]) -> Any:
        """Record a function."""
        self.made.append([tuple(each.shape) for each in inputs])
        recording = _Recording(self, function, inputs)
        self.alive.add(recording)
        return recording

    def graphs(self) -> Graphs:
        """Graphs that are recorded here."""
        return Graphs(lambda _inputs: self.room, record=self, milliseconds=self._took)

    def _took(self, work: Callable[[], Tensor]) -> float:
        before = self.replays
        work()
        return self.plain_milliseconds if self.replays == before else self.milliseconds


class _Recording:
    def __init__(self, recorder: Recorder, function: Function, inputs: Sequence[Tensor]) -> None:
        self._recorder, self._function = recorder, function
        self._shapes = [(each.shape, each.dtype) for each in inputs]

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        recorder = self._recorder
        recorder.replays += 1
        recorder.fails()
        assert [(each.shape, each.dtype) for each in inputs] == self._shapes
        made = self._function(*inputs)
        return made + recorder.error if recorder.error else made


class StandInCuda:
    """What `torch.cuda` has for recording, on the CPU; a replay computes what was recorded anew, in its place.

    Attributes:
        reserved: Bytes that are reserved.
        steps: What was asked for, in order.
    """

    def __init__(self, monkeypatch: Any) -> None:
        self.reserved = 1000
        self.steps: list[str] = []
        self._recorded: tuple[Function, tuple[Tensor, ...], Tensor] | None = None
        self._is_recording = False
        for name in ("CUDAGraph", "Stream", "graph", "graph_pool_handle", "current_stream", "stream"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _device: self.reserved)
        monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", self._end)

    def function(self, compute: Function) -> Function:
        """A function that can be recorded."""

        def recordable(*inputs: Tensor) -> Tensor:
            output = compute(*inputs)
            if self._is_recording:
                self.reserved += 500
                self._recorded = compute, inputs, output
            else:
                self.steps.append("call")
            return output

        return recordable

    def CUDAGraph(self) -> StandInCuda:  # noqa: N802 - PyTorch's name
        """The graph is this."""
        return self

    def replay(self) -> None:
        """Compute it anew, where the inputs and the output are."""
        assert self._recorded is not None
        compute, inputs, output = self._recorded
        self.steps.append("replay")
        output.copy_(compute(*inputs))

    def Stream(self, _device: object) -> StandInCuda:  # noqa: N802
        """The stream is this."""
        return self

    def current_stream(self, _device: object) -> StandInCuda:
        """So is this one."""
        return self

    def wait_stream(self, _other: object) -> None:
        """All is done."""
        self.steps.append("wait")

    def graph_pool_handle(self) -> tuple[int, int]:
        """A pool of memory."""
        return (0, 7)

    def stream(self, _stream: object) -> StandInCuda:
        """A context."""
        return self

    def graph(self, graph: object, pool: object, stream: object, *, capture_error_mode: str) -> StandInCuda:
        """The context in which is recorded."""
        assert graph is stream is self
        assert (pool, capture_error_mode) == ((0, 7), "thread_local")
        self._is_recording = True
        self.steps.append("record")
        return self

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, *_error: object) -> None:
        """End, whatever happened."""
        self._is_recording = False

    def _end(self, _device: object, pool: object) -> None:
        self.steps.append("end")
        assert pool == (0, 7)
        raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
