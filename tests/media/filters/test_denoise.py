"""The denoiser: less noise, the same edges, no trails."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from framepack.media.clip import Frame, HostFrame
from tests.support.filters import codes, filtered, gray, host_frame, luma, one, psnr, real_frames


def noisy(frames: Sequence[Frame], deviation: float, seed: int = 0) -> list[HostFrame]:
    """Frames with normal noise in all planes."""
    rng = np.random.default_rng(seed)

    def spoiled(plane: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.round(plane + rng.normal(0, deviation, plane.shape)).clip(0, 255)

    planes = [[spoiled(plane) for plane in codes(frame)] for frame in frames]
    return [host_frame(y, u, v) for y, u, v in planes]


def mean_psnr(frames: Sequence[Frame], clean: Sequence[Frame], plane: int = 0) -> float:
    """How near luma (0) or chroma (1, 2) is to the clean frames', once the denoiser knows the scene."""
    return float(np.mean([psnr(codes(a)[plane], codes(b)[plane]) for a, b in zip(frames, clean, strict=True)][3:]))


@pytest.mark.parametrize("clip", ["bikes", "bigbuckbunny"])
@pytest.mark.parametrize(("deviation", "strength", "gain"), [(3, 3, 3), (5, 6, 5), (8, 10, 5)])
def test_denoise_raises_psnr_of_a_noisy_clip(clip: str, deviation: float, strength: float, gain: float) -> None:
    """Fitting strengths bring luma and chroma of real clips closer to what they were before noise, by decibels."""
    clean = real_frames(clip, 60, 8)
    spoiled = noisy(clean, deviation)

    result = filtered(spoiled, denoise=strength)

    assert mean_psnr(result, clean) > mean_psnr(spoiled, clean) + gain
    assert mean_psnr(result, clean, 1) > mean_psnr(spoiled, clean, 1) + gain


def test_noise_falls_with_the_strength() -> None:
    """Every step leaves less noise, and the first of all next to nothing less."""
    still = noisy([gray(126, (128, 96))] * 6, 4)
    left = [luma(filtered(still, denoise=value)[-1]).std() for value in (0.01, 0.5, 1, 2, 4, 6, 8, 10)]

    assert (np.diff(left) < 0).all()
    assert left[0] > 0.98 * luma(still[-1]).std()
    assert left[-1] < 0.25 * luma(still[-1]).std()


def test_denoise_hardly_changes_clean_frames() -> None:
    """A mild strength leaves a clean real clip as it is, for the eye."""
    clean = real_frames("bigbuckbunny", 60, 5)

    assert min(psnr(luma(a), luma(b)) for a, b in zip(filtered(clean, denoise=1), clean, strict=True)) > 44


def test_denoise_preserves_edges() -> None:
    """A step of 60 levels in noise keeps its height and its place at full strength."""
    plane = np.where(np.arange(96) < 48, 90, 150) * np.ones((64, 1), np.int64)
    result = luma(filtered(noisy([host_frame(plane, 128, 128)] * 5, 5), denoise=10)[-1]).mean(0)

    assert result[47] < 94
    assert result[48] > 146


def test_denoise_leaves_no_trails_behind_motion() -> None:
    """Where a bright square was a moment ago, the ground is as it was."""
    frames = []
    for index in range(6):
        plane = np.full((96, 128), 80)
        plane[30:60, 10 + 12 * index : 40 + 12 * index] = 140
        frames.append(host_frame(plane, 128, 128))

    last = filtered(frames, denoise=10)[-1]

    assert np.abs(luma(last) - luma(frames[-1])).max() <= 1


def test_denoise_uses_no_frames_before_a_cut() -> None:
    """The first frame of a new scene is what it would be alone, also where both scenes are alike."""
    other = luma(real_frames("bikes", 200)[0])[100:164, 100:196]
    first = np.where(other > 190, other, 255 - other)
    frames = noisy([host_frame(first, 128, 128)] * 3 + [host_frame(other, 128, 128)], 3)
    assert np.abs(first - other).mean() > 30

    assert (luma(filtered(frames, denoise=8)[-1]) == luma(one(frames[-1], denoise=8))).all()


def test_denoise_converges_on_still_frames() -> None:
    """Errors do not accumulate: still frames of one sample value keep this value."""
    for code in (16, 127, 235):
        results = filtered([gray(code)] * 20, denoise=10)
        assert {int(value) for frame in results for value in np.unique(luma(frame))} == {code}


@pytest.mark.parametrize("layout", ["yuv420p10le", "yuv422p", "yuv444p12le"])
def test_denoise_of_any_depth_and_layout(layout: str) -> None:
    """Noise of deep and of chroma-rich frames falls alike."""
    rng = np.random.default_rng(0)
    unit = 16 if "12" in layout else 4 if "10" in layout else 1
    frames = []
    for _ in range(5):
        empty = host_frame(np.full((64, 96), 126 * unit), 128 * unit, 128 * unit, layout)
        y, u, v = (p + np.round(rng.normal(0, 4 * unit, p.shape)).astype(int) for p in codes(empty))
        frames.append(host_frame(y, u, v, layout))

    for before, after in zip(codes(frames[-1]), codes(filtered(frames, denoise=8)[-1]), strict=True):
        assert after.std() < 0.35 * before.std()
        assert after.mean() == pytest.approx(before.mean(), abs=0.5 * unit)
