"""Blur and sharpening: the stated strength on the whole frame, including its edges."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from framepack.media.clip import Frame, HostFrame
from framepack.media.filters.smoothing import Kernel, smooth
from tests.support.filters import codes, gray, host_frame, luma, one, real_frames


def dot() -> NDArray[np.int64]:
    """A bright pixel in the middle of darkness, as a frame's luma."""
    plane = np.full((65, 65), 256, np.int64)
    plane[32, 32] = 3760
    return plane


def deep(frame: Frame) -> HostFrame:
    """The same frame in 12 bits."""
    y, u, v = (plane * 16 for plane in codes(frame))
    return host_frame(y, u, v, "yuv420p12le")


def spread(plane: NDArray[np.int64]) -> tuple[float, float, float]:
    """Sum of what is brighter than the ground, and its variance along rows and along columns."""
    weight = (plane - 256).astype(float)
    offsets = np.arange(65) - 32
    return weight.sum(), *(float((weight.sum(axis) * offsets**2).sum() / weight.sum()) for axis in (0, 1))


@pytest.mark.parametrize("strength", [0.5, 1, 2.5, 4, 5])
def test_blur_is_a_gaussian_of_the_stated_width(strength: float) -> None:
    """A dot spreads to a standard deviation of 0.4 pixels for each unit, the same both ways, and no light is lost."""
    result = luma(one(host_frame(dot(), 2048, 2048, "yuv444p12le"), blur=strength))
    total, across, down = spread(result)

    assert total == pytest.approx(3504, rel=0.02)
    assert across == down
    assert across == pytest.approx((0.4 * strength) ** 2, rel=0.06)


@pytest.mark.parametrize("variance", [0.0, 0.001, 0.04, 0.5, 0.7, 2.99, 3.0, 3.6, 4.0, 9.1])
def test_kernels_have_exactly_their_variance(variance: float) -> None:
    """Of any variance, the weights sum up to one, fall from the middle, and spread as far as was asked for."""
    kernel = Kernel.gaussian(variance)
    taps = kernel.taps()
    offsets = np.arange(len(taps)) - kernel.radius

    assert taps.sum() == pytest.approx(1)
    assert (taps * offsets**2).sum() == pytest.approx(variance)
    assert (np.diff(taps[kernel.radius :]) < 1e-12).all()


@pytest.mark.parametrize("across", [0.0, 0.3, 1.7, 3.9])
@pytest.mark.parametrize("down", [0.0, 0.5, 2.2, 5.0])
def test_smoothing_is_the_convolution(across: float, down: float) -> None:
    """A plane becomes what the weights say, its edge repeated beyond the border."""
    kernels = Kernel.gaussian(across), Kernel.gaussian(down)
    plane = np.random.default_rng(1).random((40, 51))
    halo = ((kernels[1].radius,) * 2, (kernels[0].radius,) * 2)
    rows = np.apply_along_axis(np.convolve, 1, np.pad(plane, halo, mode="edge"), kernels[0].taps(), "valid")
    expected = np.apply_along_axis(np.convolve, 0, rows, kernels[1].taps(), "valid")

    assert smooth(plane.astype(np.float32), *kernels) == pytest.approx(expected, abs=1e-6)


def test_detail_falls_with_the_blur() -> None:
    """Each step leaves less detail, the half unit of a preset visibly so, and the first next to nothing less."""
    frame = deep(real_frames("bigbuckbunny", 0)[0])
    detail = [np.abs(np.diff(luma(one(frame, blur=value)))).mean() for value in (0, 0.1, 0.5, 1, 2, 3, 4, 4.4, 5)]

    assert (np.diff(detail) < 0).all()
    assert detail[1] > 0.995 * detail[0]
    assert detail[2] < 0.98 * detail[0]


@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p", "yuv444p"])
def test_blur_is_equally_wide_in_chroma(layout: str) -> None:
    """An edge of chroma becomes as soft, in pixels of the frame, whatever chroma's resolution."""
    widths = []
    for name in ("yuv444p", layout):
        half = 32 if name == "yuv444p" else 16
        columns = np.where(np.arange(2 * half) < half, 90, 160)
        _, u, _ = codes(one(host_frame(np.full((64, 64), 126), columns, 128, name), blur=5))
        step = np.diff(u[20].astype(float)) / 70
        offsets = (np.arange(len(step)) - (half - 1)) * (1 if name == "yuv444p" else 2)
        widths.append((step * offsets**2).sum())

    assert widths[1] == pytest.approx(widths[0], abs=0.35)


def test_sharpening_is_an_unsharp_mask() -> None:
    """What differs from the 5 x 5 average is added, 0.3 times for each unit, and clipped to black and white."""
    rng = np.random.default_rng(5)
    plane = rng.integers(80, 170, (48, 64))
    taps = np.array([1, 4, 6, 4, 1]) / 16
    wide = np.pad(plane, 2, mode="edge").astype(float)
    rows = np.apply_along_axis(np.convolve, 1, wide, taps, "valid")
    soft = np.apply_along_axis(np.convolve, 0, rows, taps, "valid")

    for value in (0.1, 1.2, 5):
        expected = (plane + 0.3 * value * (plane - soft)).clip(16, 235)
        assert np.abs(luma(one(host_frame(plane, 128, 128), sharpen=value)) - expected).max() <= 0.5 + 1e-4


def test_sharpening_rises_and_keeps_chroma() -> None:
    """Each step makes edges steeper, the first next to nothing; chroma is as it was."""
    frame = deep(real_frames("bigbuckbunny", 0)[0])
    results = [codes(one(frame, sharpen=value)) for value in (0, 0.01, 0.1, 0.5, 1, 2, 3.5, 5)]
    edges = [np.abs(np.diff(y)).mean() for y, _, _ in results]

    assert (np.diff(edges) > 0).all()
    assert edges[1] < 1.005 * edges[0]
    assert all((u == codes(frame)[1]).all() and (v == codes(frame)[2]).all() for _, u, v in results)


@pytest.mark.parametrize("look", [{"blur": 5}, {"sharpen": 5}, {"blur": 3.3, "sharpen": 2}], ids=str)
def test_detail_controls_keep_uniform_frames(look: dict[str, float]) -> None:
    """Neither borders nor the seams between pieces of work show."""
    frame = gray(100, (90, 200))

    assert np.unique(luma(one(frame, **look))).tolist() == [100]
    assert np.unique(codes(one(frame, **look))[1]).tolist() == [128]


def test_strips_leave_no_seams() -> None:
    """A tall frame is, row by row, what a part of it becomes by itself."""
    rng = np.random.default_rng(2)
    plane = rng.integers(30, 220, (200, 60))
    look = {"blur": 4.5, "sharpen": 3}

    whole = luma(one(host_frame(plane, 128, 128), **look))
    part = luma(one(host_frame(plane[50:150], 128, 128), **look))

    assert (whole[70:130] == part[20:80]).all()
