"""The point-wise controls: exact and rounded once."""

from __future__ import annotations

import numpy as np
import pytest

from framepack.media.clip import Colors, Matrix
from tests.support.filters import (
    BT709,
    Values,
    all_grays,
    codes,
    gray,
    host_frame,
    luma,
    one,
    real_frames,
    rgb_of,
    s_curve,
    tone,
)

LAYOUTS = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p12le")
FULL = Colors(full_range=True)
MIXED = {"brightness": -5, "contrast": 1.3, "s_curve_contrast": 15, "temperature": 20, "saturation": 0.9}
LOOKS = (
    {"brightness": 7},
    {"contrast": 0.83},
    {"contrast": 2.9},
    {"s_curve_contrast": 100},
    {"brightness": 31, "contrast": 0.6, "s_curve_contrast": 37},
    MIXED,
)


def levels(depth: int, colors: Colors) -> tuple[float, float]:
    """Code of black, and steps from there to white."""
    unit = 2 ** (depth - 8)
    return (0, 2**depth - 1) if colors.full_range else (16 * unit, 219 * unit)


@pytest.mark.parametrize("look", LOOKS, ids=str)
@pytest.mark.parametrize("colors", [BT709, FULL], ids=["limited", "full"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_luma_is_the_curve_in_double_precision_rounded_once(
    layout: str, colors: Colors, look: dict[str, float]
) -> None:
    """Every code comes out as the exact curve of all controls together, rounded to the nearest code."""
    ramp = all_grays(layout, colors)
    black, steps = levels(ramp.video.format.components[0].bits, colors)

    exact = tone((luma(ramp) - black) / steps, **look) * steps + black

    assert np.abs(luma(one(ramp, colors, **look)) - exact).max() <= 0.5 + 1e-6


def test_tone_curve_loses_no_levels() -> None:
    """Controls together leave as many levels as the exact curve does; one after the other, rounding loses some."""
    ramp = all_grays()
    exact = np.round(tone((luma(ramp) - 16) / 219, contrast=0.5, s_curve_contrast=100) * 219)

    together = luma(one(ramp, contrast=0.5, s_curve_contrast=100))
    in_turns = luma(one(one(ramp, contrast=0.5), s_curve_contrast=100))

    assert len(np.unique(together)) == len(np.unique(exact))
    assert len(np.unique(in_turns)) < 0.8 * len(np.unique(exact))


def test_a_smooth_ramp_stays_smooth() -> None:
    """Through six controls at once no step of a 10-bit ramp is further from the exact one than rounding."""
    ramp = all_grays("yuv420p10le")
    y = (luma(ramp) - 64) / 876
    height, width = y.shape
    x, z = (np.arange(0.5, side) * 2 / side - 1 for side in (width, height))
    falloff = np.cos(np.hypot(x[None, :], z[:, None]) / np.sqrt(2)) ** 4
    exact = tone(y, **MIXED) * (1 - 0.3 * (1 - falloff)) * 876 + 64

    result = luma(one(ramp, **MIXED, vignette=30))

    assert np.abs(result - exact).max() <= 0.51
    assert len(np.unique(result)) == len(np.unique(np.round(exact)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_pixel_formats_give_equal_colors(layout: str) -> None:
    """A color comes out the same from 8, 10 and 12 bits and every chroma layout."""
    depth = int(layout[-4:-2]) if layout.endswith("le") else 8
    unit = 2 ** (depth - 8)
    plain = host_frame(np.full((32, 32), 100, np.uint8), 110, 150, "yuv444p")
    deep = host_frame(np.full((32, 32), 100 * unit), 110 * unit, 150 * unit, layout)
    look = {**MIXED, "blur": 1, "sharpen": 1, "vignette": 10}

    wanted = [plane.astype(float).mean() for plane in codes(one(plain, **look))]

    assert [plane.mean() / unit for plane in codes(one(deep, **look))] == pytest.approx(wanted, abs=0.6)


# Brightness and contrast


def test_brightness_reaches_white_and_black() -> None:
    """At its ends a real frame is all white and all black, without color."""
    for value, code in ((100, 235), (-100, 16)):
        y, u, v = codes(one(real_frames()[0], brightness=value))
        assert np.unique(y).tolist() == [code]
        assert np.unique(u).tolist() == np.unique(v).tolist() == [128]


def test_brightness_rises() -> None:
    """Every step makes the frame brighter, the first one by its hundredth."""
    means = [luma(one(real_frames()[0], brightness=value)).mean() for value in range(-100, 101, 20)]
    first = luma(one(gray(126), brightness=1)) - 126

    assert (np.diff(means) > 0).all()
    assert np.unique(first).tolist() == [2]


def test_contrast_pivots_at_mid_gray() -> None:
    """Zero is flat gray, mid gray never moves, and more contrast spreads tones farther."""
    frame = real_frames()[0]
    y, u, v = codes(one(frame, contrast=0))
    spreads = [luma(one(frame, contrast=value)).std() for value in (0, 0.01, 0.25, 0.5, 0.75, 1.01, 1.5, 2, 3)]

    assert (np.unique(y).tolist(), np.unique(u).tolist(), np.unique(v).tolist()) == ([126], [128], [128])
    assert np.abs(luma(one(gray(126), contrast=3)) - 126).max() <= 1
    assert (np.diff(spreads) > 0).all()


# Saturation


def test_saturation_zero_is_black_and_white() -> None:
    """Without saturation chroma is gone and luma is as it was."""
    frame = real_frames()[0]
    y, u, v = codes(one(frame, saturation=0))

    assert np.unique(u).tolist() == np.unique(v).tolist() == [128]
    assert (y == luma(frame)).all()


def test_saturation_rises_and_keeps_luma() -> None:
    """Chroma grows with every step, and luma is the same at all of them."""
    frame = real_frames("bigbuckbunny", 0)[0]
    results = [codes(one(frame, saturation=value)) for value in (0, 0.01, 0.5, 0.9, 1.1, 1.5, 2, 3)]
    strength = [np.hypot(u - 128, v - 128).mean() for _, u, v in results]

    assert (np.diff(strength) > 0).all()
    assert all((y == luma(frame)).all() for y, _, _ in results)


# Temperature


def warmth(value: float, colors: Colors = BT709) -> tuple[Values, Values]:
    """Gray levels, 0..1, and red minus blue that temperature gives them."""
    ramp = all_grays("yuv444p10le", colors)
    red, _, blue = rgb_of(one(ramp, colors, temperature=value), colors)
    return (luma(ramp)[0] - 64) / 876, (red - blue)[0]


@pytest.mark.parametrize("value", [100, 20, 1, -1, -20, -100])
def test_temperature_changes_every_tone(value: float) -> None:
    """From the shadows to the highlights, red and blue drift apart in proportion to the tone."""
    tones, difference = warmth(value)
    room = 1 - 0.4 * abs(value) / 100
    inside = (tones > 0.02) & (tones < room)

    assert inside.sum() > 400
    assert difference[inside] == pytest.approx(0.6 * value / 100 * tones[inside], abs=0.004)


def test_temperature_keeps_luma_and_black() -> None:
    """No temperature moves luma, and black stays black."""
    frame = real_frames()[0]
    tones, difference = warmth(100)

    assert all((luma(one(frame, temperature=value)) == luma(frame)).all() for value in (-100, -1, 1, 55, 100))
    assert np.abs(difference[np.abs(tones) < 1e-9]).max() < 1e-9


def test_temperature_rises() -> None:
    """Every step warms, in the shadows, the middle and the highlights."""
    steps = [warmth(value) for value in range(-100, 101, 20)]
    for tone_wanted in (0.1, 0.25, 0.5, 0.75, 0.9):
        place = int(np.abs(steps[0][0] - tone_wanted).argmin())
        assert (np.diff([difference[place] for _, difference in steps]) > 0).all()


@pytest.mark.parametrize("matrix", list(Matrix))
@pytest.mark.parametrize("span", ["limited", "full"])
def test_temperature_is_a_white_balance(matrix: Matrix, span: str) -> None:
    """Red and blue are multiplied and luma is restored, by whatever matrix and range the clip has."""
    colors = Colors(matrix, full_range=span == "full")
    kr, kb = matrix.red_blue
    frame = host_frame(np.full((16, 16), 400), 560, 470, "yuv444p10le", colors)
    red, green, blue = rgb_of(frame, colors)[:, 0, 0]

    gained = np.array([1.15 * red, green, 0.85 * blue])
    weights = np.array([kr, 1 - kr - kb, kb])
    expected = gained + weights @ (np.array([red, green, blue]) - gained)

    assert rgb_of(one(frame, colors, temperature=50), colors)[:, 0, 0] == pytest.approx(expected, abs=0.003)


# S-curve


def test_s_curve_passes_its_points_unquantized() -> None:
    """The quarter tones move by 0.15 of the strength, whatever its last digit."""
    points = host_frame(np.tile([64, 64 + 219, 64 + 438, 64 + 657, 940], (4, 4)), 512, 512, "yuv420p10le")
    for strength in (1, 5, 10, 15, 33, 100):
        bend = 0.15 * strength / 100 * 876
        expected = [64, 64 + 219 - bend, 64 + 438, 64 + 657 + bend, 940]
        assert luma(one(points, s_curve_contrast=strength))[0, :5] == pytest.approx(expected, abs=0.5)


def test_s_curve_is_monotonic() -> None:
    """Brighter stays brighter at every strength, and the curve grows steeper in the middle."""
    ramp = all_grays("yuv420p10le")
    curves = [luma(one(ramp, s_curve_contrast=strength))[0] for strength in (1, 10, 25, 50, 75, 100)]
    middle = [curve[550] - curve[450] for curve in curves]

    assert all((np.diff(curve) >= 0).all() for curve in curves)
    assert (np.diff(middle) > 0).all()
    assert s_curve(0, np.linspace(0, 1, 5)) == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_s_curve_raises_chroma_contrast() -> None:
    """Chroma grows where the curve is steep, in the middle, and shrinks where it is flat, in the shadows."""
    middle, shadow = (host_frame(np.full((16, 16), code), 134, 122, "yuv444p") for code in (126, 30))

    assert codes(one(middle, s_curve_contrast=100))[1].mean() > 136
    assert codes(one(shadow, s_curve_contrast=100))[1].mean() < 134


# Gamut


@pytest.mark.parametrize(
    "look",
    [
        {"saturation": 3},
        {"contrast": 3},
        {"brightness": 60, "saturation": 2},
        {"brightness": -60, "contrast": 2},
        {"temperature": 100, "s_curve_contrast": 100},
        {"temperature": -100, "contrast": 1.5, "saturation": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("colors", [BT709, FULL, Colors(Matrix.BT601)], ids=["709", "full", "601"])
def test_colors_stay_in_gamut_and_keep_their_hue(look: dict[str, float], colors: Colors) -> None:
    """Whatever the controls, red, green and blue stay within black and white."""
    random = np.random.default_rng(3)
    white = 1023 if colors.full_range else 940
    frame = host_frame(
        random.integers(1023 - white, white, (64, 64)),
        random.integers(312, 712, (64, 64)),
        random.integers(312, 712, (64, 64)),
        "yuv444p10le",
        colors,
    )
    result = one(frame, colors, **look)
    rgb = rgb_of(result, colors)

    assert rgb.min() > -0.004
    assert rgb.max() < 1.004
    if "temperature" not in look:
        before, after = (planes[1:] for planes in (codes(frame), codes(result)))
        products = [(old - 512) * (new - 512) for old, new in zip(before, after, strict=True)]
        assert min(product.min() for product in products) >= -512  # rounding around gray aside
