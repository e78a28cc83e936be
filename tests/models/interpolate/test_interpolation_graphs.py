"""Interpolation by recorded graphs: the same frames, and the plain way when memory is short. The GPU is not there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from framepack.media.clip import Colors, Frame, HostFrame
from framepack.models.frames.device_frame import DeviceFrame
from framepack.models.interpolate.interpolator import Interpolator
from framepack.models.memory.device import Device
from tests.support.graphs import Recorder
from tests.support.interpolation import between, device_frames, host_frame, interpolator, noise, run, texture
from tests.support.rife_reference import random_rife


@pytest.fixture(scope="module")
def shared() -> Interpolator:
    """An interpolator, whose network takes long to make."""
    return interpolator(random_rife(1))


@pytest.fixture
def model(shared: Interpolator) -> Interpolator:
    """One without graphs."""
    shared.graphs = None
    shared.forget()
    return shared


def recorded(model: Interpolator) -> Recorder:
    """Let an interpolator use graphs from now on; who records them."""
    recorder = Recorder()
    model.graphs = recorder.graphs()
    return recorder


def moving(count: int, kind: str) -> list[Frame]:
    """Frames of one texture that moves."""
    if kind == "device":
        whole = noise(1, 48, 64 + 4 * count)[0] * 0.5 + 0.2
        return device_frames(torch.stack([whole[..., 4 * step : 4 * step + 64] for step in range(count)]).half())
    luma = texture(48, 64 + 4 * count)
    frames = [host_frame(np.ascontiguousarray(luma[:, 4 * step : 4 * step + 64])) for step in range(count)]
    return [HostFrame(frame.on_host().reformat(format=kind)) for frame in frames]


@pytest.mark.parametrize("kind", ["yuv420p", "yuv422p10le", "device"])
def test_a_clip_is_the_same_with_and_without_graphs(kind: str, model: Interpolator) -> None:
    """To the bit: what is recorded is the same computation, with the times and the colors of each frame."""
    frames = moving(8, kind)
    expected = list(run(frames, model, 4))
    recorder = recorded(model)
    made = list(run(frames, model, 4))

    assert len(recorder.made) == 2  # features, and batches of four
    assert [shapes[0][0] for shapes in recorder.made] == [1, 4]
    assert recorder.replays > 8
    for one, other in zip(made, expected, strict=True):
        if isinstance(one, DeviceFrame) and isinstance(other, DeviceFrame):
            assert torch.equal(one.tensor, other.tensor)
        else:
            assert one is other


def test_other_colors_have_another_graph(model: Interpolator) -> None:
    """Range and matrix are constants of the kernels."""
    work = [(frame, Colors(full_range=full)) for full in (False, True) for frame in moving(6, "yuv420p")]
    expected = [model.encode(*each).tensor for each in work]
    recorder = recorded(model)
    for each, right in zip(work, expected, strict=True):
        assert torch.equal(model.encode(*each).tensor, right)

    assert recorder.made == [[(1, 48, 64), (1, 2, 24, 32)]] * 2


def test_large_frames_are_not_recorded(monkeypatch: pytest.MonkeyPatch, model: Interpolator) -> None:
    """They would keep much memory, and the GPU computes for longer than it takes to launch."""
    from framepack.models.interpolate import interpolator as module

    monkeypatch.setattr(module, "_MAX_GRAPH_PIXELS", 64 * 64)
    recorder = recorded(model)
    for width in (65, 64):
        for _ in range(6):
            between(model, *noise(2, 64, width), 0.5)

    assert all(shapes[0][-1] == 64 for shapes in recorder.made)
    assert len(recorder.made) == 2


@pytest.mark.parametrize(("free", "has_room"), [(1 << 20, False), (1 << 40, True)])
def test_a_graph_is_recorded_only_with_room_for_several(
    free: int, monkeypatch: pytest.MonkeyPatch, model: Interpolator, *, has_room: bool
) -> None:
    """It keeps its memory, which others may need."""
    monkeypatch.setattr(Device, "available_bytes", lambda _device: free)
    assert model._has_room_for_graph([torch.empty(1, 7, 64, 64)]) == has_room


def test_graphs_give_way_when_memory_runs_out(model: Interpolator) -> None:
    """Before anything is made smaller, their memory is freed; the next job may record again."""
    first, second = noise(2, 64, 64)
    expected = between(model, first, second, 0.5)
    recorder = recorded(model)
    for _ in range(8):
        between(model, first, second, 0.5)
    assert len(recorder.alive) == 2

    recorder.fails = out_of_memory
    assert torch.equal(between(model, first, second, 0.5), expected)
    assert (len(recorder.alive), model._fallback_level) == (0, 0)
    recorder.fails = lambda: None
    for _ in range(8):
        between(model, first, second, 0.5)
    assert not recorder.alive
    model.forget()
    for _ in range(8):
        assert torch.equal(between(model, first, second, 0.5), expected)
    assert len(recorder.alive) == 2


def out_of_memory() -> None:
    """As a GPU says it."""
    raise torch.OutOfMemoryError("CUDA out of memory.")
