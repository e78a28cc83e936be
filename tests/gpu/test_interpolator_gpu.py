"""The interpolator on a real GPU: half precision keeps the frames, and running out of memory is survived."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from framepack.errors import OutOfMemory
from framepack.media.clip import Colors, Frame, HostFrame
from framepack.media.prefetch import prefetch
from framepack.models.frames.device_frame import DeviceFrame
from framepack.models.graphs import Graphs
from framepack.models.interpolate.interpolator import Interpolator
from framepack.models.interpolate.rife import load_rife
from framepack.models.memory.device import Device
from tests.support.interpolation import (
    Calls,
    between,
    device_frames,
    interpolator,
    mixing,
    noise,
    psnr,
    real_frames,
    run,
)
from tests.support.rife_reference import random_rife

pytestmark = pytest.mark.gpu


@pytest.fixture
def gpu() -> Iterator[Device]:
    """The GPU, all of whose memory may be used again afterwards."""
    device = Device.find("cuda")
    device.release()
    yield device
    torch.cuda.set_per_process_memory_fraction(1.0)
    device.release()


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("size", [(128, 192), (271, 639)])
def test_half_precision_is_close_to_single_precision(seed: int, size: tuple[int, int], gpu: Device) -> None:
    """Frames drawn on the GPU are within 48 dB of those of the CPU in single precision."""
    state = random_rife(seed)
    first, second = noise(2, *size, seed)
    made = between(Interpolator(load_rife(state), gpu), first, second, 0.25, 0.5)
    assert made.is_cuda
    assert made.dtype == torch.float32
    assert psnr(made.cpu(), between(interpolator(state), first, second, 0.25, 0.5)) > 48


def test_without_motion_the_frames_are_blended_by_the_mask(gpu: Device) -> None:
    """Colors pass in single precision: a mix of the neighbors is exact."""
    first, second = noise(2, 100, 200)
    made = between(Interpolator(load_rife(mixing(0.3)), gpu), first, second, 0.5)
    assert (made[0].cpu() - (0.3 * first + 0.7 * second)).abs().max() < 1e-3


def test_flow_is_exact(gpu: Device) -> None:
    """Whole pixels of flow move whole pixels, over the full width of a large frame."""
    first, second = noise(2, 64, 4096)
    made = between(Interpolator(load_rife(mixing(1 - 1e-6, flow=(3, -2, 0, 0))), gpu), first, second, 0.5)
    assert (made[0, :, 2:, :-3].cpu() - first[:, :-2, 3:]).abs().max() < 1e-2


def test_a_video_is_interpolated(gpu: Device) -> None:
    """Frames of a real clip, in batches: as many as they should be, and those of the CPU."""
    state = random_rife(1, motion=0.5)
    model = Interpolator(load_rife(state), gpu)
    calls = Calls(model)
    made = list(run(real_frames("bikes", 60, 8), model, 4, 0.5))
    expected = list(run(real_frames("bikes", 60, 8), interpolator(state), 4, 0.5))
    assert len(made) == len(expected) == 64
    assert max(calls.batches) > 1
    for one, other in zip(made, expected, strict=True):
        if isinstance(one, DeviceFrame):
            assert isinstance(other, DeviceFrame)
            assert one.tensor.is_cuda
            assert psnr(one.tensor.cpu(), other.tensor) > 45
        assert one.on_host().format.name == "yuv420p"


def test_frames_in_gpu_memory_are_not_downloaded(gpu: Device) -> None:
    """What another network made on the GPU is interpolated without a way to the host."""
    whole = noise(1, 64, 80)[0].cuda().half()
    frames = device_frames(torch.stack([whole[..., step : step + 72] for step in (0, 3, 6)]))
    made = list(run(frames, Interpolator(load_rife(mixing()), gpu)))
    assert all(isinstance(frame, DeviceFrame) and frame.tensor.is_cuda for frame in made)
    assert [frame is frames[index // 2] for index, frame in enumerate(made)] == [True, False, True, False, True, True]


def test_out_of_memory_falls_back_to_half_size_and_then_raises(gpu: Device) -> None:
    """With too little memory motion is found at half the size; with none at all the client is told."""
    model = Interpolator(load_rife(mixing(0.4)), gpu)
    first, second = noise(2, 2176, 3840)
    whole = between(model, first, second, 0.5)
    peak = torch.cuda.max_memory_allocated()
    total = torch.cuda.get_device_properties(0).total_memory
    del whole
    gpu.release()
    torch.cuda.set_per_process_memory_fraction(0.75 * peak / total)
    made = between(model, first, second, 0.5)
    assert model._fallback_level == 2
    assert (made[0].cpu() - (0.4 * first + 0.6 * second)).abs().max() < 1e-3
    del made
    gpu.release()
    torch.cuda.set_per_process_memory_fraction(0.1 * peak / total)
    with pytest.raises(OutOfMemory):
        between(model, first, second, 0.5)
    torch.cuda.set_per_process_memory_fraction(1.0)
    assert between(model, first, second, 0.5).is_cuda


@pytest.mark.parametrize("size", [(180, 320), (720, 1280)])
def test_graphs_prove_themselves_and_keep_the_frames(size: tuple[int, int], gpu: Device) -> None:
    """They are recorded while another thread downloads frames, used, and give the frames of the plain way."""
    state = random_rife(1, motion=0.5)
    whole = noise(1, size[0], size[1] + 80)[0] * 0.5 + 0.2
    frames: list[Frame] = [to_host(whole[..., 4 * step : 4 * step + size[1]]) for step in range(20)]
    model = Interpolator(load_rife(state), gpu)
    plain = Interpolator(load_rife(state), gpu, use_fast_path=False)
    made = list(prefetch(lambda: started(run(frames, model, 4))))
    expected = list(run(frames, plain, 4))
    assert model.graphs is not None
    assert len(model.graphs) >= 2
    for one, other in zip(made, expected, strict=True):
        if isinstance(one, DeviceFrame) and isinstance(other, DeviceFrame):
            assert psnr(one.tensor.cpu(), other.tensor.cpu()) > 60
            difference = one.on_host().to_ndarray().astype(int) - other.on_host().to_ndarray()
            assert abs(difference).max() <= 2


def test_a_recording_that_fails_leaves_the_gpu_usable(gpu: Device) -> None:
    """A function that reads a value cannot be recorded: it is computed plainly, and memory can still be freed."""
    graphs = Graphs(lambda _inputs: True)

    def reads(values: torch.Tensor) -> torch.Tensor:
        return values * float(values.sum())

    values = torch.arange(4.0, device=gpu.torch_device)
    for _ in range(8):
        assert graphs.run("Sums", reads, (values,)).tolist() == [0, 6, 12, 18]
    assert len(graphs) == 0
    gpu.release()
    first, second = noise(2, 64, 64)
    made = between(Interpolator(load_rife(mixing()), gpu), first, second, 0.5)
    assert (made[0].cpu() - (first + second) / 2).abs().max() < 1e-3


def test_memory_of_graphs_is_not_planned_for_others(gpu: Device) -> None:
    """What they keep is not free, and is free again without them."""
    free = gpu.available_bytes()
    model = Interpolator(load_rife(mixing()), gpu)
    first, second = noise(2, 720, 1280)
    for _ in range(8):
        between(model, first, second, 0.5)
    assert model.graphs is not None
    assert len(model.graphs) == 2
    gpu.release()
    assert gpu.available_bytes() < free - (100 << 20)
    model.graphs.pause()
    del model
    gpu.release()
    assert gpu.available_bytes() > free - (100 << 20)


def to_host(rgb: torch.Tensor) -> HostFrame:
    """A frame on the host."""
    return HostFrame(DeviceFrame(rgb, Colors()).on_host())


def started(frames: Iterator[Frame]) -> Iterator[Frame]:
    """As the writer takes frames."""
    for frame in frames:
        frame.start_download()
        yield frame
