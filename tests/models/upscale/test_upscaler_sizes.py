"""No tensor on a GPU has 2^31 elements or more; batches are as large as suits a network. The GPU is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

from framepack.models.memory.device import Device
from framepack.models.memory.oom import WorkShape
from framepack.models.upscale import upscaler as upscaler_module
from framepack.models.upscale.memory import measure_elements_per_pixel
from framepack.models.upscale.upscaler import Upscaler
from tests.support.fake_gpu import FAKE_GPU, Operations, fake_gpu, move_to_fake_gpu
from tests.support.upscaling import compact, rrdb

LIMIT = 2**31 - 1


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A GPU with more memory than any."""

    def prepare(network: Any, _device: Device) -> torch.dtype:
        move_to_fake_gpu(network.model, torch.float16)
        return torch.float16

    monkeypatch.setattr(upscaler_module, "prepare", prepare)
    monkeypatch.setattr(Device, "available_bytes", lambda _device: 1 << 60)
    with fake_gpu():
        yield


def on_gpu(make_network: Callable[[], Any]) -> Upscaler:
    """The upscaler of a network, which is made with contents."""
    with unset_fake_temporarily():
        network = make_network()
    return Upscaler(network, Device(FAKE_GPU))


def largest(upscaler: Upscaler, width: int, height: int, count: int = 1, tile: int = 0) -> tuple[int, int]:
    """Upscale frames: the elements of the largest tensor that has to do with the network, and the number of calls."""
    frames = torch.empty((count, 3, height, width), dtype=torch.float16, device=FAKE_GPU)
    operations, calls = Operations(), 0
    call = upscaler._upscale

    def counted(part: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        with operations:
            return call(part)

    upscaler._upscale = counted  # type: ignore[method-assign,assignment]
    output = upscaler(frames, tile_size=tile)
    upscaler._upscale = call  # type: ignore[method-assign]
    assert output.shape == (count, 3, height * upscaler.scale, width * upscaler.scale)
    return operations.elements, calls


@pytest.mark.parametrize(
    ("network", "elements"),
    [
        (lambda: rrdb(feat=64, blocks=1), 64 * 16),
        (lambda: rrdb(feat=8, blocks=1), 8 + 4 * 32),
        (lambda: rrdb(feat=64, blocks=1, scale=2), 64 * 4),
        (lambda: compact(feat=64), 64),
        (lambda: compact(feat=16, scale=4), 3 * 16),
    ],
)
def test_the_elements_per_pixel_are_those_of_the_widest_layer(network: Any, elements: int) -> None:
    """Of any layer, at any size: features at full size, or those of a dense block."""
    assert measure_elements_per_pixel(network(), torch.float32) == elements


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("width", "height", "is_whole"),
    [(1920, 1088, True), (1024, 2047, True), (1024, 2048, False), (2048, 1080, False)],
)
def test_a_frame_is_upscaled_whole_while_its_largest_tensor_is_under_the_limit(
    width: int, height: int, *, is_whole: bool
) -> None:
    """x4plus computes 64 channels at 16 times the pixels."""
    elements, calls = largest(on_gpu(lambda: rrdb(feat=64, blocks=1)), width, height)

    assert (calls == 1) == is_whole == (1024 * width * height <= LIMIT)
    assert elements <= LIMIT
    assert calls <= 2


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("size", [(3840, 2160), (4096, 2304), (2896, 725), (1449, 1448)])
@pytest.mark.parametrize("tile", [0, 1334, 2048])
@pytest.mark.parametrize("scale", [2, 4])
def test_no_tensor_of_a_piece_is_over_the_limit(size: tuple[int, int], tile: int, scale: int) -> None:
    """With and without a requested tile size; x2 has another multiple and a wider overlap."""
    elements, _ = largest(on_gpu(lambda: rrdb(feat=64, blocks=1, scale=scale)), *size, tile=tile)

    assert elements <= LIMIT


@pytest.mark.usefixtures("gpu")
def test_a_narrow_network_upscales_the_largest_frame_whole() -> None:
    """The limit is the network's own."""
    assert largest(on_gpu(lambda: compact(feat=64)), 4096, 2304)[1] == 1


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("network", "size", "frames"),
    [
        (lambda: rrdb(feat=64, blocks=1), (640, 360), 1),
        (lambda: rrdb(feat=64, blocks=1), (320, 180), 2),
        (lambda: rrdb(feat=64, blocks=1), (64, 36), 16),
        (lambda: compact(feat=64), (640, 360), 4),
        (lambda: compact(feat=64), (1280, 720), 1),
    ],
)
def test_batches_are_as_large_as_suits_the_architecture(network: Any, size: tuple[int, int], frames: int) -> None:
    """A block of ESRGAN stays in the cache; a compact network needs batches to occupy the GPU."""
    assert on_gpu(network).batch_size(WorkShape(*size, 0)) == frames
