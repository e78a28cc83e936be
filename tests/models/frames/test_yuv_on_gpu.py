"""The conversion to YUV on a GPU that is not there: few kernels, and the values of the conversion in strips."""

from __future__ import annotations

import pytest
import torch

from framepack.media.clip import Colors
from framepack.models.frames import yuv
from framepack.models.frames.yuv import yuv420_from_rgb
from tests.support.fake_gpu import FAKE_GPU, Operations, fake_gpu

MOST_KERNELS = 30


def kernels(height: int, width: int, device: torch.device) -> int:
    """How many kernels the conversion of one frame launches."""
    with fake_gpu(), Operations() as operations:
        frame = torch.empty((3, height, width), dtype=torch.float16, device=device)
        luma, chroma = yuv420_from_rgb(frame, Colors())
    assert luma.shape == (height, width)
    assert chroma.shape == (2, -(-height // 2), -(-width // 2))
    count: int = operations.kernels
    return count


@pytest.mark.parametrize("size", [(720, 1280), (2880, 5120), (2881, 5121)])
def test_a_gpu_launches_as_many_kernels_for_a_large_frame_as_for_a_small_one(size: tuple[int, int]) -> None:
    """In strips of 256 rows there were 313 for 5120x2880."""
    assert kernels(*size, FAKE_GPU) <= kernels(256, 256, FAKE_GPU) + 2 <= MOST_KERNELS
    assert kernels(2880, 5120, torch.device("cpu")) > 5 * MOST_KERNELS


def test_a_frame_is_converted_in_strips_if_a_gpus_memory_runs_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One log line says so."""
    convert, heights = yuv._yuv420_strip, []

    def short_of_memory(strip: torch.Tensor, colors: Colors) -> tuple[torch.Tensor, torch.Tensor]:
        heights.append(strip.shape[1])
        if strip.shape[1] > 256:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return convert(strip, colors)

    monkeypatch.setattr(yuv, "_yuv420_strip", short_of_memory)
    kernels(600, 800, FAKE_GPU)

    assert heights == [600, 256, 256, 88]
    assert caplog.messages == ["Memory ran out: a frame of 800 x 600 pixels is converted in strips."]


@pytest.mark.parametrize("size", [(720, 96), (513, 97), (511, 64), (2, 2), (1, 1)])
def test_a_frame_converted_at_once_is_that_of_the_strips(size: tuple[int, int]) -> None:
    """To the bit, at odd sizes, too."""
    frame = torch.rand((3, *size), generator=torch.Generator().manual_seed(1)).half()

    for at_once, in_strips in zip(yuv._yuv420_strip(frame, Colors()), yuv420_from_rgb(frame, Colors()), strict=True):
        assert torch.equal(at_once, in_strips)
