"""The upscaler on a real GPU: half precision keeps the frames, and running out of memory is survived."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from framepack.errors import OutOfMemory
from framepack.media.clip import Frame, HostFrame
from framepack.models.frames.device_frame import DeviceFrame, to_device
from framepack.models.memory.device import Device
from framepack.models.upscale.upscale_frames import UpscaleTarget, upscale_frames
from framepack.models.upscale.upscaler import Upscaler
from tests.support.upscaling import (
    BUNNY_COLORS,
    REAL_NETWORKS,
    decoded,
    psnr,
    real_frame,
    real_network,
    real_reference,
)

pytestmark = pytest.mark.gpu
CPU = torch.device("cpu")


@pytest.fixture
def gpu() -> Iterator[Device]:
    """The GPU, all of whose memory may be used again afterwards."""
    device = Device.find("cuda")
    device.release()
    yield device
    torch.cuda.set_per_process_memory_fraction(1.0)
    device.release()


@pytest.mark.parametrize("name", REAL_NETWORKS)
@pytest.mark.parametrize("clip", ["bikes.mp4", "bigbuckbunny.mp4"])
def test_half_precision_is_close_to_single_precision(name: str, clip: str, gpu: Device, tmp_path: Path) -> None:
    """Frames in float16 are within 48 dB of the spandrel's in single precision."""
    frame = real_frame(clip, 50, 300, 100, (160, 120))
    upscaler = Upscaler(real_network(name, tmp_path), gpu)
    made = upscaler(frame)
    expected = real_reference(name, tmp_path).to("cuda")(frame.cuda())
    assert upscaler.dtype == made.dtype == torch.float16
    assert psnr(made, expected) > 48


@pytest.mark.parametrize("name", REAL_NETWORKS)
def test_tiles_and_batches_equal_the_whole_frame(name: str, gpu: Device, tmp_path: Path) -> None:
    """Tiled or in company, a frame is what it is whole and alone."""
    upscaler = Upscaler(real_network(name, tmp_path), gpu)
    batch = torch.cat([real_frame("bigbuckbunny.mp4", 50, left, 100, (256, 192)) for left in (100, 400, 700)])
    whole = torch.cat([upscaler(frame[None]) for frame in batch])
    assert psnr(upscaler(batch), whole) > 60
    assert psnr(upscaler(batch, tile_size=96), whole) > 48


@pytest.mark.parametrize("name", REAL_NETWORKS[1:])
def test_a_fused_trunk_gives_the_same_frames(name: str, gpu: Device, tmp_path: Path) -> None:
    """If ESRGAN's trunk is computed by kernels of our own, no frame tells; the log of the test says whether it is."""
    plain = Upscaler(real_network(name, tmp_path), gpu, use_fast_path=False)
    network: Any = real_network(name, tmp_path)
    upscaler = Upscaler(network, gpu)
    assert network.model.fused_trunk is not None, "it stepped aside"
    batch = torch.cat([real_frame("bigbuckbunny.mp4", 50, left, 100, (253, 191)) for left in (100, 400, 700)])
    assert psnr(upscaler(batch), plain(batch)) > 60


def test_conversions_match_the_cpu(gpu: Device) -> None:
    """A real frame becomes the same RGB on the GPU, and the same YUV when it comes back."""
    frames: list[Frame] = [HostFrame(decoded("bigbuckbunny.mp4", index)) for index in (40, 50)]
    there = to_device(frames, gpu.torch_device, torch.float32, BUNNY_COLORS)
    here = to_device(frames, CPU, torch.float32, BUNNY_COLORS)
    assert (there.cpu() - here).abs().max() < 1e-5
    for gpu_image, cpu_image in zip(there, here, strict=True):
        images = [DeviceFrame(tensor, BUNNY_COLORS).on_host() for tensor in (gpu_image, cpu_image)]
        first, second = (torch.from_numpy(image.to_ndarray()).int() for image in images)
        assert (first - second).abs().max() <= 1


def test_out_of_memory_does_not_change_the_output(gpu: Device, tmp_path: Path) -> None:
    """With hardly any memory the frame is cut smaller, and is what such tiles give without need."""
    upscaler = Upscaler(real_network(REAL_NETWORKS[1], tmp_path), gpu)
    frame = real_frame("bigbuckbunny.mp4", 50, 0, 0, (1280, 720)).cuda()
    gpu.release()
    total = torch.cuda.get_device_properties(gpu.torch_device).total_memory
    room = torch.cuda.memory_reserved(gpu.torch_device) + 2_500_000_000
    torch.cuda.set_per_process_memory_fraction(min(1.0, room / total))
    split = upscaler(frame)
    torch.cuda.set_per_process_memory_fraction(1.0)
    sizes = [upscaler(frame, tile_size=tile) for tile in (640, 320, 160, 80, 64)]
    assert max(psnr(split, direct) for direct in sizes) > 60


def test_no_memory_at_all_raises(gpu: Device, tmp_path: Path) -> None:
    """If nothing fits the client is told, and the next job works."""
    upscaler = Upscaler(real_network(REAL_NETWORKS[2], tmp_path), gpu)
    frame = real_frame("bigbuckbunny.mp4", 50, 0, 0, (640, 360)).cuda()
    gpu.release()
    total = torch.cuda.get_device_properties(gpu.torch_device).total_memory
    torch.cuda.set_per_process_memory_fraction(torch.cuda.memory_reserved(gpu.torch_device) / total)
    with pytest.raises(OutOfMemory):
        upscaler(frame)
    torch.cuda.set_per_process_memory_fraction(1.0)
    assert upscaler(frame).shape == (1, 3, 1440, 2560)


def test_a_video_is_upscaled(gpu: Device, tmp_path: Path) -> None:
    """Frames of a real video come out in order, as many as went in, as the CPU makes them."""
    frames: list[Frame] = [HostFrame(decoded("bigbuckbunny.mp4", index)) for index in range(4)]
    results = []
    for device in (gpu, Device.find("cpu")):
        upscaler = Upscaler(real_network(REAL_NETWORKS[0], tmp_path), device)
        results.append(
            [
                torch.from_numpy(frame.on_host().to_ndarray()) / 255
                for frame in upscale_frames(
                    iter(frames),
                    upscaler,
                    UpscaleTarget(2560, 1440, BUNNY_COLORS),
                    colors=BUNNY_COLORS,
                    tile_size=0,
                    check=lambda: None,
                )
            ]
        )
    assert len(results[0]) == len(results[1]) == 4
    assert min(psnr(one, other) for one, other in zip(*results, strict=True)) > 48
