"""Frames on their way back from the device: planar YUV as the encoder takes it, rounded once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from framepack.media.clip import Colors, HostFrame, Matrix
from framepack.models.frames.device_frame import DeviceFrame, to_device
from tests.support.upscaling import BIKES_COLORS, BUNNY_COLORS, decoded, psnr

CPU = torch.device("cpu")


def planes(frame: DeviceFrame) -> list[NDArray[np.float64]]:
    """The three planes of a frame on the host."""
    image = frame.on_host()
    return [
        np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width].astype(np.float64)
        for plane in image.planes
    ]


def expected_planes(rgb: Tensor, colors: Colors) -> list[NDArray[np.float64]]:
    """H.273 in double precision before rounding; chroma is 1-2-1 around even columns, the mean of two rows."""
    red, green, blue = rgb.double().numpy()
    kr, kb = colors.matrix.red_blue
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    result = [255 * luma if colors.full_range else 16 + 219 * luma]
    for color, weight in ((blue, kb), (red, kr)):
        difference = (color - luma) / (2 * (1 - weight))
        difference = np.pad(difference, ((0, luma.shape[0] % 2), (1, 2)), mode="edge")
        rows = (difference[0::2] + difference[1::2]) / 2
        columns = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4
        result.append(128 + (255 if colors.full_range else 224) * columns[:, : luma.shape[1] : 2])
    return result


@settings(max_examples=40)
@given(
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    matrix=st.sampled_from(list(Matrix)),
    full_range=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_yuv_matches_the_formulas_of_h273(
    width: int, height: int, matrix: Matrix, *, full_range: bool, seed: int
) -> None:
    """Each sample is the nearest number to what H.273 says, for any size, matrix and range."""
    colors = Colors(matrix, full_range=full_range)
    rgb = torch.rand((3, height, width), generator=torch.Generator().manual_seed(seed))
    ours = planes(DeviceFrame(rgb, colors))
    for made, exact in zip(ours, expected_planes(rgb, colors), strict=True):
        assert made.shape == exact.shape
        assert np.abs(made - exact.clip(0, 255)).max() < 0.501


def test_strips_of_tall_frames_have_no_seams() -> None:
    """Frames are converted strip by strip, and no strip shows."""
    rgb = torch.rand((3, 601, 8), generator=torch.Generator().manual_seed(0))
    for made, exact in zip(planes(DeviceFrame(rgb, Colors())), expected_planes(rgb, Colors()), strict=True):
        assert np.abs(made - exact).max() < 0.501


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize(("clip", "colors"), [("bikes.mp4", BIKES_COLORS), ("bigbuckbunny.mp4", BUNNY_COLORS)])
def test_a_round_trip_keeps_the_samples(clip: str, colors: Colors, dtype: torch.dtype) -> None:
    """A real frame comes back from the device as it went, within its rounding."""
    frame = decoded(clip, 40)
    tensor = to_device([HostFrame(frame)], CPU, dtype, colors)[0]
    ours = planes(DeviceFrame(tensor, colors))
    shapes = [(plane.height, plane.width) for plane in frame.planes]
    theirs = [
        np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width] for plane in frame.planes
    ]
    quality = [psnr(torch.from_numpy(a) / 255, torch.from_numpy(b / 255)) for a, b in zip(ours, theirs, strict=True)]
    assert [plane.shape for plane in ours] == shapes
    assert quality[0] > 60
    assert min(quality[1:]) > 52


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", list(Matrix))
def test_grays_stay_gray(matrix: Matrix, *, full_range: bool) -> None:
    """Black, white and gray have no color and the right luma."""
    gray = torch.tensor([0.0, 0.25, 1.0]).expand(3, 2, 3)
    y, u, v = planes(DeviceFrame(gray, Colors(matrix, full_range=full_range)))
    assert y[0].tolist() == ([0, 64, 255] if full_range else [16, 71, 235])
    assert (u == 128).all()
    assert (v == 128).all()


def test_the_frame_is_tagged_with_its_colors() -> None:
    """Size, layout and all four color tags are on the frame."""
    colors = Colors(Matrix.BT2020, primaries=9, transfer=16, full_range=True)
    frame = DeviceFrame(torch.rand(3, 7, 5), colors)
    image = frame.on_host()
    assert (frame.width, frame.height) == (image.width, image.height) == (5, 7)
    assert image.format.name == "yuv420p"
    assert (image.colorspace, image.color_primaries, image.color_trc, image.color_range) == (9, 9, 16, 2)


def test_a_frame_is_downloaded_once() -> None:
    """Asking again returns the same frame, so that a frame that is shown twice is converted once."""
    frame = DeviceFrame(torch.rand(3, 4, 4), Colors())
    assert frame.on_host() is frame.on_host()


def test_channels_last_tensors_are_accepted() -> None:
    """The memory layout of a tensor does not change its frame."""
    rgb = torch.rand(1, 3, 20, 30)
    usual = planes(DeviceFrame(rgb[0], Colors()))
    other = planes(DeviceFrame(rgb.contiguous(memory_format=torch.channels_last)[0], Colors()))
    assert all((a == b).all() for a, b in zip(usual, other, strict=True))
