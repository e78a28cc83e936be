"""All filters on frames in host memory: every size, format and depth is kept."""

from __future__ import annotations

import numpy as np
import pytest

from framepack.api.filter_settings import FILTER_PRESETS, FilterSettings
from framepack.media.clip import Colors, Matrix
from tests.support.filters import (
    BT709,
    LOOKS,
    STRONG,
    codes,
    each_control,
    filtered,
    host_frame,
    named,
    one,
    psnr,
    real_frames,
)

LAYOUTS = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p12le")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(2, 2), (3, 5), (33, 17), (64, 65), (130, 129)])
@pytest.mark.parametrize("controls", [STRONG, *({name: value} for name, value in STRONG.items())], ids=named)
def test_any_size_and_layout(size: tuple[int, int], layout: str, controls: dict[str, float]) -> None:
    """Small and odd frames of every layout keep size, layout and tags, and their codes stay within their depth."""
    rng = np.random.default_rng(1)
    depth = int(layout[-4:-2]) if layout.endswith("le") else 8
    colors = Colors(Matrix.BT2020, 9, 14)
    empty = host_frame(np.zeros(size[::-1], np.int64), 0, 0, layout, colors)
    y, u, v = (rng.integers(0, 2**depth, plane.shape) for plane in codes(empty))
    frame = host_frame(y, u, v, layout, colors)

    for result in filtered([frame, frame], colors, **controls):
        image = result.on_host()
        assert (image.width, image.height, image.format.name) == (*size, layout)
        assert (image.colorspace, image.color_primaries, image.color_trc, image.color_range) == (9, 9, 14, 1)
        assert max(plane.max() for plane in codes(result)) < 2**depth


@pytest.mark.parametrize("preset", sorted(FILTER_PRESETS))
def test_the_source_is_left_alone(preset: str) -> None:
    """Filtering writes into frames of its own."""
    frame = real_frames()[0]
    before = [plane.copy() for plane in codes(frame)]

    one(frame, **FILTER_PRESETS[preset].model_dump())

    assert all((now == then).all() for now, then in zip(codes(frame), before, strict=True))


@pytest.mark.parametrize("colors", [BT709, Colors(full_range=True)], ids=["limited", "full"])
@pytest.mark.parametrize("name", FilterSettings.model_fields)
def test_controls_at_their_default_change_nothing(name: str, colors: Colors) -> None:
    """Bit for bit, codes outside of the legal range included."""
    rng = np.random.default_rng(4)
    frame = host_frame(rng.integers(0, 256, (48, 64)), 90, 170, "yuv420p", colors)
    neutral = getattr(FilterSettings(), name)

    assert all(
        (a == b).all() for a, b in zip(codes(one(frame, colors, **{name: neutral})), codes(frame), strict=True)
    )


@pytest.mark.parametrize("look", each_control(0.005, 0.01), ids=named)
@pytest.mark.parametrize("clip", ["bikes", "bigbuckbunny"])
def test_the_first_step_is_a_small_one(clip: str, look: dict[str, float]) -> None:
    """Next to its default, a control hardly changes a real frame."""
    frame = real_frames(clip)[0]
    result = one(frame, **look)

    assert psnr(codes(result)[0], codes(frame)[0]) > 38
    assert min(psnr(codes(result)[plane], codes(frame)[plane]) for plane in (1, 2)) > 42
    for before, after in zip(codes(frame), codes(result), strict=True):
        assert np.abs(after - before).mean() < 2.3


@pytest.mark.parametrize("preset", LOOKS)
def test_presets_are_mild_looks(preset: str) -> None:
    """Every built-in preset changes a real frame visibly, and leaves it recognisable from edge to edge."""
    frame = real_frames("bigbuckbunny", 0)[0]
    before, after = codes(frame)[0], codes(one(frame, **LOOKS[preset]))[0]

    assert 15 < psnr(before, after) < 40
    for rows in (slice(0, 90), slice(-90, None)):
        assert np.corrcoef(before[rows, :160].ravel(), after[rows, :160].ravel())[0, 1] > 0.8
