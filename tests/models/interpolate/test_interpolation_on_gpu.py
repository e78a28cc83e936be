"""Interpolation on a GPU that is not there: nothing on the way of a frame lets the CPU wait for the GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

from framepack.errors import TooLarge
from framepack.media.clip import Colors, Frame, HostFrame
from framepack.models.frames import comparison, transfer
from framepack.models.frames.device_denoiser import DeviceDenoiser
from framepack.models.frames.device_frame import DeviceFrame
from framepack.models.frames.transfer import Download
from framepack.models.interpolate.interpolator import EncodedPair, Interpolator
from framepack.models.interpolate.rife import load_rife
from framepack.models.memory.device import Device
from tests.support.fake_gpu import FAKE_GPU, FakeEvent, Operations, Waits, fake_gpu, move_to_fake_gpu
from tests.support.interpolation import host_frame, run, texture
from tests.support.rife_reference import random_rife

LIMIT = 2**31 - 1
WAITS: dict[str, Callable[[Any], object]] = {
    "item": lambda gpu: gpu.sum().item(),
    "condition": lambda gpu: bool(gpu.sum() > 1),
    "equal": lambda gpu: torch.equal(gpu, gpu),
    "download": lambda gpu: gpu.cpu(),
    "download to pageable memory": lambda gpu: torch.empty(4).copy_(gpu, non_blocking=True),
    "download that is waited for": lambda gpu: torch.empty(4, pin_memory=True).copy_(gpu),
    "values": lambda _gpu: torch.tensor([0.5], device=FAKE_GPU),
    "array": lambda _gpu: torch.from_numpy(np.zeros(4)).to(FAKE_GPU, non_blocking=True),
    "assignment": lambda gpu: gpu.__setitem__(slice(2), torch.ones(2)),
}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A GPU with more memory than any."""
    monkeypatch.setattr(Device, "available_bytes", lambda _device: 1 << 60)
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _device=None: None)
    monkeypatch.setattr(transfer, "pinned", pinned)
    monkeypatch.setattr(FakeEvent, "waits", 0)
    with fake_gpu():
        yield


def pinned(planes: Sequence[Any], _device: torch.device) -> torch.Tensor:
    """Pinned memory as large as the planes, without their contents."""
    dtype = torch.int16 if planes[0].dtype.itemsize > 1 else torch.uint8
    return torch.empty((len(planes), *planes[0].shape), dtype=dtype, pin_memory=True)


def on_gpu() -> Interpolator:
    """An interpolator on it."""
    with unset_fake_temporarily():
        model = Interpolator(load_rife(random_rife(1)), Device(torch.device("cpu")))
        model._network.half().to(memory_format=torch.channels_last)
    move_to_fake_gpu(model._network, torch.float16)
    model.device = Device(FAKE_GPU)
    return model


class Different:
    """In place of `Download` of comparisons: the frames that are compared are all different, in one scene."""

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self.download = Download(tensors)

    def wait(self) -> list[Any]:
        """A thumbnail, and that the frame is not equal."""
        shapes = [each.shape for each in self.download.wait()]
        assert shapes == [(32, 32), ()]
        return [SimpleNamespace(numpy=lambda: np.zeros((32, 32))), SimpleNamespace(numpy=lambda: np.array(0))]


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("kind", WAITS)
def test_waits_are_found(kind: str, *, inference: bool) -> None:
    """Every way to wait that this file means is one that it would see."""
    tensor = torch.empty(4, device=FAKE_GPU)
    with torch.inference_mode(inference), Waits() as waits:
        problem = ""
        try:
            WAITS[kind](tensor)
        except RuntimeError as error:  # there is no value to read, or really no GPU
            problem = str(error)
    assert waits.found or "no NVIDIA driver" in problem


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("size", "factor"), [((720, 1280), 2), ((90, 160), 4)])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
def test_frames_from_the_host_are_interpolated_without_a_wait(
    size: tuple[int, int], factor: int, pixel_format: str
) -> None:
    """Upload, features, times, network and download, one by one and in batches."""
    with unset_fake_temporarily():
        whole = texture(*size)
        frames: list[Frame] = [
            HostFrame(host_frame(np.roll(whole, step, 1)).on_host().reformat(format=pixel_format))
            for step in range(4)
        ]
    with Waits() as waits:
        made = list(run(frames, on_gpu(), factor))
        new = [frame for frame in made if isinstance(frame, DeviceFrame)]
        for frame in new:
            frame.start_download()

    assert len(new) == 3 * (factor - 1)
    assert waits.copies == 2 * len(frames) + 3 * len(new)
    assert waits.found == []
    assert FakeEvent.waits == 0


@pytest.mark.usefixtures("gpu")
def test_frames_on_the_gpu_are_compared_without_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thumbnails and equality are read once per frame, and a frame later than they are computed."""
    monkeypatch.setattr(comparison, "Download", Different)
    arrived = []

    def frames() -> Iterator[Frame]:
        for _ in range(5):
            arrived.append(FakeEvent.waits)
            yield DeviceFrame(torch.empty(3, 144, 256, dtype=torch.float16, device=FAKE_GPU), Colors())

    with Waits() as waits:
        made = list(run(frames(), on_gpu(), 2))

    assert len(made) == 10
    assert waits.found == []
    assert FakeEvent.waits == 5
    assert arrived == [0, 0, 1, 2, 3]


@pytest.mark.usefixtures("gpu")
def test_a_scene_cut_is_found_by_the_denoiser_without_a_wait() -> None:
    """The decision stays on the GPU."""
    denoiser = DeviceDenoiser(1.0, Colors())
    with Waits() as waits:
        for _ in range(3):
            denoiser(torch.empty(3, 90, 160, dtype=torch.float16, device=FAKE_GPU))

    assert waits.found == []


@pytest.mark.usefixtures("gpu")
def test_a_download_that_was_started_is_not_started_again() -> None:
    """Nor is a frame converted twice; only who needs the frame waits for it."""
    frame = DeviceFrame(torch.empty(3, 90, 160, dtype=torch.float16, device=FAKE_GPU), Colors())
    assert frame.size_bytes == 0
    with Waits() as waits:
        frame.start_download()
        frame.start_download()

    assert (waits.copies, waits.found) == (3, [])
    assert frame.size_bytes == 90 * 160 * 3 // 2
    [download] = frame._download
    assert [plane.shape for plane in download.wait()] == [(90, 160), (45, 80), (45, 80)]
    assert FakeEvent.waits == 1


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("width", "height", "is_whole"), [(8704, 8704, True), (8704, 8832, False)])
def test_no_tensor_is_over_the_limit(
    width: int, height: int, caplog: pytest.LogCaptureFixture, *, is_whole: bool
) -> None:
    """Frames of more than 76 million pixels have their motion estimated at half the size, and one line says so."""
    frames: list[Frame] = [
        DeviceFrame(torch.empty(3, height, width, dtype=torch.float16, device=FAKE_GPU), Colors()) for _ in range(3)
    ]
    model = on_gpu()
    assert (28 * width * height <= LIMIT) == is_whole
    with Operations() as operations:
        encoded = [model.encode(frame, Colors()) for frame in frames]
        for pair in pairwise(encoded):
            made = model.interpolate([EncodedPair(*pair, 0.5)])

    assert made.shape == (1, 3, height, width)
    assert operations.elements <= LIMIT
    assert operations.elements >= (28 if is_whole else 7) * width * height
    said = f"The motion between frames of {width} x {height} pixels is estimated at half the size."
    assert caplog.messages == ([] if is_whole else [said])


@pytest.mark.usefixtures("gpu")
def test_a_frame_that_is_too_large_even_so_is_refused() -> None:
    """Before anything is computed."""
    frame = DeviceFrame(torch.empty(3, 17408, 17664, dtype=torch.float16, device=FAKE_GPU), Colors())
    model = on_gpu()
    with Operations() as operations, pytest.raises(TooLarge, match=r"17664 x 17408 .* at most 306 million pixels"):
        model.encode(frame, Colors())

    assert operations.kernels == 0
