"""Film grain and the vignette."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.filters import codes, filtered, gray, host_frame, luma, one, psnr, real_frames

# Film grain


@pytest.mark.parametrize("strength", [1, 2, 5, 8, 10, 25, 50])
def test_grain_has_the_requested_strength(strength: float) -> None:
    """In mid gray its standard deviation is 0.14 levels for each unit, from the first unit on, around no change."""
    noise = luma(
        one(host_frame(np.full((256, 256), 126 * 16), 2048, 2048, "yuv420p12le"), film_grain_strength=strength)
    )
    levels = noise / 16 - 126

    assert levels.std() == pytest.approx(0.14 * 219 / 255 * strength, rel=0.05)
    assert abs(levels.mean()) < 0.02 * strength


def test_grain_differs_in_every_frame() -> None:
    """Two frames of one frame carry grain that has nothing in common."""
    first, second = (luma(frame) - 126 for frame in filtered([gray(126, (320, 240))] * 2, film_grain_strength=30))

    assert first.std() > 3
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05


def test_grain_does_not_repeat_within_a_frame() -> None:
    """The bands that grain is laid in have nothing in common either."""
    noise = luma(one(gray(126, (320, 256)), film_grain_strength=30)).reshape(4, -1) - 126.0

    assert np.abs(np.corrcoef(noise) - np.eye(4)).max() < 0.05


def test_grain_is_deterministic() -> None:
    """Run twice, every pixel of every frame is the same."""
    runs = [filtered(real_frames(count=3), film_grain_strength=20, denoise=2) for _ in range(2)]

    assert all((luma(one_) == luma(other)).all() for one_, other in zip(*runs, strict=True))


def test_grain_does_not_change_black_white_and_chroma() -> None:
    """Letterbox bars stay clean, and grain has no color."""
    for level in (16, 235):
        assert np.unique(luma(one(gray(level), film_grain_strength=50))).tolist() == [level]
    frame = real_frames()[0]
    grainy = codes(one(frame, film_grain_strength=50))

    assert all((plane == before).all() for plane, before in zip(grainy[1:], codes(frame)[1:], strict=True))


def test_grain_size_scales_with_the_frame() -> None:
    """Neighbors are more alike in a large frame than in a small one, so that both look alike at one size."""
    likeness = []
    for size in ((64, 240), (64, 1080), (64, 2160)):
        noise = luma(one(host_frame(np.full(size[::-1], 2016), 2048, 2048, "yuv420p12le"), film_grain_strength=50))
        likeness.append(np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1])

    assert likeness[0] < 0.1
    assert likeness[0] < likeness[1] < likeness[2]


# Vignette


def corner(frame_size: tuple[int, int], strength: float) -> float:
    """Light that is left in the corner of a white frame."""
    return float((luma(one(gray(235, frame_size), vignette=strength))[0, 0] - 16) / 219)


def test_vignette_is_continuous_from_zero() -> None:
    """The first step is hardly seen, ten is mild, a hundred is strong, and every step darkens."""
    left = [corner((320, 180), strength) for strength in (0.5, 1, 5, 10, 20, 30, 50, 75, 100)]

    assert left[0] > 0.99
    assert left[3] == pytest.approx(0.91, abs=0.01)
    assert left[-1] == pytest.approx(0.09, abs=0.015)
    assert (np.diff(left) < 0).all()


@pytest.mark.parametrize("size", [(320, 180), (180, 320), (200, 200)])
def test_vignette_follows_the_frame_shape(size: tuple[int, int]) -> None:
    """The center keeps its light, and the middles of all four edges lose the same."""
    y = luma(one(gray(235, size), vignette=60))
    width, height = size
    middles = [y[0, width // 2], y[-1, width // 2], y[height // 2, 0], y[height // 2, -1]]

    assert y[height // 2, width // 2] == 235
    assert max(middles) - min(middles) <= 1
    assert (y == y[::-1]).all()
    assert (y == y[:, ::-1]).all()


def test_vignette_scales_chroma_with_luma() -> None:
    """Chroma fades as luma does, so that corners keep their hue."""
    frame = host_frame(np.full((64, 64), 200), 96, 160, "yuv444p")
    y, u, v = codes(one(frame, vignette=80))
    light, blue, red = (y[0, 0] - 16) / 184, (u[0, 0] - 128) / -32, (v[0, 0] - 128) / 32

    assert blue == pytest.approx(light, abs=0.02)
    assert red == pytest.approx(light, abs=0.02)
    assert light < 0.35


def test_vignette_of_a_preset_keeps_the_corners_visible() -> None:
    """The strength of `cinematic`, 10, changes a real frame mildly."""
    frame = real_frames()[0]

    assert 35 < psnr(luma(one(frame, vignette=10)), luma(frame)) < 60
    assert luma(one(gray(126, (640, 360)), vignette=10)).min() > 114
