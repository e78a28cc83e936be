"""CUDA graphs prove themselves and step aside; the GPU is not there."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from framepack.models.graphs import Graphs, Recording
from framepack.models.memory import device as device_module
from framepack.models.memory.device import kept_bytes
from tests.support.graphs import Recorder, StandInCuda

CALLS_BEFORE = 4
CPU = torch.device("cpu")


def mean(first: Tensor, second: Tensor) -> Tensor:
    """Something to compute."""
    return (first + second) / 2


def call(graphs: Graphs, times: int, side: int = 4, constants: int = 0) -> list[Tensor]:
    """Compute means of different squares."""
    made = []
    for index in range(times):
        first, second = torch.full((side, side), float(index)), torch.ones(side, side)
        made.append(graphs.run("Means", mean, (first, second), constants))
        assert torch.equal(made[-1], mean(first, second))
    return made


def raising(kind: type[Exception], text: str) -> Callable[[], None]:
    """What raises an error."""

    def fail() -> None:
        raise kind(text)

    return fail


def test_an_equal_and_faster_graph_is_used_after_a_few_calls(caplog: pytest.LogCaptureFixture) -> None:
    """A short clip records nothing; a long one once, and one line says so."""
    caplog.set_level("INFO")
    recorder = Recorder()
    graphs = recorder.graphs()
    call(graphs, CALLS_BEFORE)
    assert not recorder.made

    call(graphs, 1)
    tried = recorder.replays
    call(graphs, 10)

    assert recorder.made == [[(4, 4), (4, 4)]]
    assert recorder.replays == tried + 10
    [line] = caplog.messages
    assert line.startswith(
        "Means: the fast path (CUDA graph) takes 1.00 ms where the plain one takes 2.00, at inf dB"
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"error": 0.01}, "its results differ (40.0 dB)"),
        ({"error": float("nan")}, "its results differ (nan dB)"),
        ({"milliseconds": 3.0}, "it takes 3.00 ms where the plain one takes 2.00"),
        ({"fails": raising(RuntimeError, "CUDA error: capturing\nmore")}, "RuntimeError: CUDA error: capturing ("),
        ({"fails": raising(torch.OutOfMemoryError, "CUDA out of memory.")}, "memory ran out while it was tried"),
    ],
)
def test_a_graph_that_does_not_prove_itself_steps_aside(
    change: dict[str, object], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says why; the results are the plain ones; it is not recorded again, and its memory is free."""
    recorder = Recorder()
    for name, value in change.items():
        setattr(recorder, name, value)

    call(recorder.graphs(), 20)
    gc.collect()

    assert len(recorder.made) == 1
    assert not recorder.alive
    [line] = caplog.messages
    assert line.startswith("Means: the fast path is not used: ")
    assert reason in line


def test_a_gpu_that_is_lost_while_recording_is_reported() -> None:
    """Nothing can be computed on it, with or without a graph."""
    recorder = Recorder()
    recorder.fails = raising(torch.AcceleratorError, "CUDA error: an illegal memory access was encountered")

    with pytest.raises(torch.AcceleratorError, match="illegal memory access"):
        call(recorder.graphs(), CALLS_BEFORE + 1)


def test_every_size_and_every_set_of_constants_has_its_own_graph() -> None:
    """What was recorded for one is of no use for the other."""
    recorder = Recorder()
    graphs = recorder.graphs()
    for _ in range(2):
        call(graphs, 10, side=4)
        call(graphs, 10, side=5)
        call(graphs, 10, side=5, constants=1)

    assert recorder.made == [[(4, 4)] * 2, [(5, 5)] * 2, [(5, 5)] * 2]
    assert len(recorder.alive) == 3


def test_the_graphs_that_were_used_last_are_kept() -> None:
    """The fifth replaces the one that has not been used for the longest time, whose memory is free then."""
    recorder = Recorder()
    graphs = recorder.graphs()
    for side in (1, 2, 3, 4):
        call(graphs, 5, side=side)
    call(graphs, 1, side=1)
    call(graphs, 5, side=5)
    gc.collect()
    assert len(recorder.alive) == 4

    recorder.made.clear()
    for side in (1, 3, 4, 5):
        call(graphs, 5, side=side)
    assert not recorder.made
    call(graphs, 5, side=2)
    assert recorder.made == [[(2, 2)] * 2]


def test_calls_of_many_sizes_are_not_remembered_for_ever() -> None:
    """A worker meets sizes without end."""
    recorder = Recorder()
    graphs = recorder.graphs()
    for side in range(1, 200):
        call(graphs, 1, side=side)

    assert len(graphs._sizes) <= 64


def test_no_graph_is_recorded_without_room_for_it(caplog: pytest.LogCaptureFixture) -> None:
    """It is asked again later."""
    recorder = Recorder()
    recorder.room = False
    graphs = recorder.graphs()
    call(graphs, 20)
    assert (recorder.made, caplog.messages) == ([], [])

    recorder.room = True
    call(graphs, 5)
    assert len(recorder.made) == 1


def test_graphs_are_dropped_while_memory_is_short() -> None:
    """Until `resume`, all is computed plainly."""
    recorder = Recorder()
    graphs = recorder.graphs()
    call(graphs, 10)
    graphs.pause()
    gc.collect()
    assert not recorder.alive

    tried = recorder.replays
    call(graphs, 10)
    assert recorder.replays == tried
    graphs.resume()
    call(graphs, 10)
    assert len(recorder.made) == 2


def test_a_graph_that_fails_later_is_replaced_by_the_plain_way(caplog: pytest.LogCaptureFixture) -> None:
    """The call that met the failure has its result, too."""
    recorder = Recorder()
    graphs = recorder.graphs()
    call(graphs, 5)
    recorder.fails = raising(RuntimeError, "CUDA error: graph update failed")
    call(graphs, 10)

    assert caplog.messages == ["Means: the CUDA graph is no longer used: CUDA error: graph update failed"]
    assert len(recorder.made) == 1


def test_memory_that_runs_out_in_a_graph_is_left_to_the_caller() -> None:
    """Who knows how to do the work in smaller parts."""
    recorder = Recorder()
    graphs = recorder.graphs()
    call(graphs, 5)
    recorder.fails = raising(torch.OutOfMemoryError, "CUDA out of memory.")

    with pytest.raises(torch.OutOfMemoryError):
        call(graphs, 1)


def test_a_recording_reads_new_inputs_and_gives_results_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later replay does not change an earlier result; the inputs that it was recorded with are not used again."""
    cuda = StandInCuda(monkeypatch)
    first, second = torch.zeros(3, 2), torch.ones(3, 2)
    recording = Recording(cuda.function(mean), (first, second))
    assert cuda.steps == ["wait", "call", "wait", "record"]

    earlier = recording((torch.full((3, 2), 4.0), torch.full((3, 2), 2.0)))
    rows = torch.arange(6.0).view(2, 3).t()  # in another order in memory
    later = recording((rows, second))

    assert torch.equal(earlier, torch.full((3, 2), 3.0))
    assert torch.equal(later, mean(rows, second))
    assert (float(first.sum()), float(second.sum())) == (0.0, 6.0)
    assert cuda.steps[4:] == ["replay", "replay"]


def test_the_memory_of_a_recording_is_not_counted_as_free_while_it_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch reports it as reserved and not allocated, but only the recording can use it."""
    cuda = StandInCuda(monkeypatch)
    recording = Recording(cuda.function(mean), (torch.zeros(3, 2), torch.ones(3, 2)))
    assert kept_bytes(CPU) == 500 - 3 * 2 * 4
    assert kept_bytes(torch.device("cuda:0")) == 0

    gone = weakref.ref(recording)
    del recording
    gc.collect()
    assert gone() is None
    assert kept_bytes(CPU) == 0


def test_a_recording_that_fails_ends_the_allocators_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise no memory could ever be freed again; the error is that of the recording."""
    cuda = StandInCuda(monkeypatch)

    def fails_once_recorded(first: Tensor, second: Tensor) -> Tensor:
        if "record" in cuda.steps:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return mean(first, second)

    with pytest.raises(torch.OutOfMemoryError):
        Recording(cuda.function(fails_once_recorded), (torch.zeros(2), torch.ones(2)))
    assert cuda.steps[-2:] == ["record", "end"]
    assert kept_bytes(CPU) == 0


def test_no_thread_frees_memory_while_another_one_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's allocator refuses that with an error."""
    import threading

    cuda = StandInCuda(monkeypatch)
    order: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: order.append("freed"))
    threads: list[threading.Thread] = []

    def slow(first: Tensor, second: Tensor) -> Tensor:
        if "record" in cuda.steps:
            threads.append(threading.Thread(target=device_module.release_memory))
            threads[0].start()
            threads[0].join(0.2)
            order.append("recorded")
        return mean(first, second)

    Recording(cuda.function(slow), (torch.zeros(2), torch.ones(2)))
    threads[0].join()
    assert order == ["recorded", "freed"]
