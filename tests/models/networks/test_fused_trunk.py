"""ESRGAN's trunk by kernels of our own: the plain network's numbers, in Triton's interpreter and on a fake GPU."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

from benchmarks.gpu.measuring import counted
from framepack.models.kernels.convolution import Epilogue, Kernel, Tiling, convolve
from framepack.models.upscale.fused import TILINGS
from framepack.models.upscale.memory import measure_bytes_per_pixel, measure_elements_per_pixel
from tests.support.fake_gpu import FAKE_GPU, fake_gpu, move_to_fake_gpu
from tests.support.upscaling import compact, rrdb

ROOT = Path(__file__).parents[3]
SHARED_BYTES = {80: 166_912, 89: 101_376, 90: 232_448, 100: 232_448, 120: 101_376}
"""What a block may have, by compute capability, as NVIDIA's guide says: A100, RTX 4090, H100, B200, RTX 5090."""

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton comes with PyTorch for CUDA only")
TILING = Tiling(8, 16, 64, 4, 3)


def interpreted(what: str) -> dict[str, float]:
    """Relative errors by case, from a process whose kernels Triton interprets on the CPU."""
    command = [sys.executable, "-m", "tests.support.fused_trunk", what]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    errors: dict[str, float] = json.loads(done.stdout)
    return errors


@needs_triton
def test_convolutions_of_slices_equal_pytorchs_and_touch_nothing_else() -> None:
    """At all borders, in batches, with every epilogue, whatever the tiles; what is around them holds NaN."""
    errors = interpreted("convolutions")

    assert len(errors) == 14
    assert max(errors.values()) < 2e-6


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("capability", sorted(SHARED_BYTES))
def test_kernels_are_compiled_for_every_gpu_that_can_be_rented(capability: int, tmp_path: Path) -> None:
    """Four kernels for each tiling, whatever the size of a frame; they fit into the shared memory."""
    from tests.support.stub_gpu_driver import SIZES

    command = [sys.executable, "-m", "tests.support.stub_gpu_driver", str(capability), str(SHARED_BYTES[capability])]
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    launches = json.loads(done.stdout)

    assert done.stderr == ""
    assert len(launches["loaded"]) == 4 * len(TILINGS)
    assert all(0 < kernel["shared"] <= SHARED_BYTES[capability] for kernel in launches["loaded"])
    convolutions = 3 * 5 + 1
    programs = [
        count * math.ceil(height / tiling.rows) * math.ceil(width / tiling.own_columns)
        for tiling in TILINGS
        for count, _, height, width in SIZES
        for _ in range(convolutions)
    ]
    assert launches["programs"] == programs


@needs_triton
@pytest.mark.slow
def test_networks_with_fused_trunks_equal_the_plain_ones() -> None:
    """The published shapes with fewer blocks, at odd sizes and in batches, in single precision."""
    errors = interpreted("networks")

    assert errors.keys() == {"x4plus", "x2plus", "anime_6B"}
    assert max(errors.values()) < 1e-5


def on_fake_gpu(*, is_fused: bool, scale: int = 4, blocks: int = 2) -> Any:
    """A network on a GPU that is not there; within `fake_gpu`."""
    with unset_fake_temporarily():
        network = rrdb(feat=64, blocks=blocks, scale=scale)
    move_to_fake_gpu(network.model, torch.float16)
    model: Any = network.model
    if is_fused:
        model.fused_trunk = model.fuse_trunk(TILING)
    return network


@pytest.mark.parametrize("scale", [2, 4])
def test_a_fused_trunk_moves_a_third_of_the_memory(scale: int) -> None:
    """On a fake GPU: the same shape and type, five kernels a dense block, and nothing is concatenated."""
    with fake_gpu(), torch.inference_mode():
        frames = torch.empty((2, 3, 72, 100), dtype=torch.float16, device=FAKE_GPU)
        frames = frames.contiguous(memory_format=torch.channels_last)
        plain, fused = (on_fake_gpu(is_fused=is_fused, scale=scale) for is_fused in (False, True))
        expected, made = plain(frames), fused(frames)
        features = plain.model.conv_first(torch.nn.functional.pixel_unshuffle(frames, plain.model.square))
        plain_gigabytes, plain_tflop, plain_kernels = counted(lambda: plain.model.trunk(features))
        gigabytes, tflop, kernels = counted(lambda: fused.model.fused_trunk(features))

    assert (made.shape, made.dtype, made.stride()) == (expected.shape, expected.dtype, expected.stride())
    assert kernels == 5 * 3 * 2 + 2  # and the last convolution, and a copy of the features
    assert plain_kernels > 2.8 * kernels
    assert tflop == plain_tflop
    assert gigabytes < 0.36 * plain_gigabytes


@pytest.mark.parametrize("scale", [2, 4])
def test_the_memory_of_a_fused_trunk_is_measured(scale: int) -> None:
    """Three buffers of 192 channels beside the features in and out, or the wide layers after them."""
    with fake_gpu():
        plain, fused = (on_fake_gpu(is_fused=is_fused, scale=scale) for is_fused in (False, True))
        plain_bytes, fused_bytes = (measure_bytes_per_pixel(each, torch.float16) for each in (plain, fused))
        elements = measure_elements_per_pixel(fused, torch.float16)
    shrunk = (4 // scale) ** 2  # the 2x network gathers 2 x 2 pixels

    assert fused_bytes == plain_bytes >= 2 * (3 * 192 + 2 * 64) / shrunk
    assert elements == 1024 / shrunk


def test_narrower_networks_and_other_architectures_cannot_be_fused() -> None:
    """A user's own ESRGAN with fewer channels stays as it is."""
    models: list[Any] = [rrdb(feat=64).model, rrdb(feat=8).model]

    assert [model.can_fuse_trunk for model in models] == [True, False]
    assert not hasattr(compact().model, "can_fuse_trunk")


def test_tensors_that_the_kernel_cannot_address_are_refused() -> None:
    """Before anything is read or written there: other sizes, unaligned or scattered pixels, channels not in a row."""
    kernel = Kernel.pack(torch.zeros(32, 64, 3, 3), None)
    buffer = torch.zeros(1, 4, 6, 192)
    source, target = buffer[..., :64], buffer[..., 64:96]
    wrong = (
        (buffer[..., :32], target),
        (source, buffer[..., 64:128]),
        (source[:, :3], target),
        (torch.zeros(1, 4, 6, 65)[..., :64], target),
        (torch.zeros(1, 8, 6, 64)[:, ::2], target),
        (torch.zeros(1, 64, 4, 6).permute(0, 2, 3, 1), target),
    )
    for given, result in wrong:
        with pytest.raises(ValueError, match=r"kernel|apart|Strides"):
            convolve(given, kernel, result, TILING, Epilogue())
    with pytest.raises(ValueError, match="another shape"):
        convolve(source, kernel, target, TILING, Epilogue(addend=source))
