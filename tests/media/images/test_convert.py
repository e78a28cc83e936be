"""Conversion between frames, RGB and PNG with correct colors."""

from __future__ import annotations

import io
from itertools import product

import numpy as np
import pytest
from PIL import Image

from framepack.media.clip import Colors, HostFrame, Matrix
from framepack.media.frames.colors import tag
from framepack.media.images.convert import png, to_rgb
from tests.support.clips import flat, scene, to_frame
from tests.support.readback import psnr

LEVELS = (0, 40, 128, 200, 255)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le", "yuv444p12le"])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", list(Matrix))
def test_to_rgb_returns_the_original_colors(matrix: Matrix, full_range: bool, pix_fmt: str) -> None:  # noqa: FBT001 - a parameter
    """A hundred colors, every matrix, range and depth: within two steps of 255."""
    colors = Colors(matrix, full_range=full_range)
    worst = 0
    for red, green, blue in product(LEVELS, repeat=3):
        color = (red, green, blue)
        image = to_frame(flat(color)(0, 8, 8), pix_fmt, colors)
        tag(image, colors)
        rgb = to_rgb(HostFrame(image))
        assert rgb.shape == (8, 8, 3)
        assert rgb.dtype == np.uint8
        worst = max(worst, int(np.abs(rgb.astype(int) - color).max()))
    assert worst <= 2


def test_untagged_frames_get_the_most_likely_colors() -> None:
    """A small untagged image is BT.601, a large one BT.709."""
    for size, matrix in (((64, 48), Matrix.BT601), ((1280, 16), Matrix.BT709)):
        rgb = to_rgb(HostFrame(to_frame(flat((200, 50, 30))(0, *size), "yuv420p", Colors(matrix))))
        assert np.abs(rgb[8, 8].astype(int) - (200, 50, 30)).max() <= 2


def test_conversion_does_not_change_the_frame() -> None:
    """Frames are read-only: its tags and samples are kept."""
    image = to_frame(scene(0, 32, 18), "yuv420p")
    before = image.to_ndarray().copy()
    to_rgb(HostFrame(image))
    assert np.array_equal(image.to_ndarray(), before)
    assert (image.colorspace, image.color_range) == (2, 0)


def test_png_holds_exactly_the_rgb_pixels() -> None:
    """The file decodes to what ``to_rgb`` gives, bit by bit."""
    frame = HostFrame(to_frame(scene(3, 61, 43), "yuv444p", Colors(Matrix.BT601)))
    with Image.open(io.BytesIO(png(frame))) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (61, 43))
        saved = np.asarray(image)
    assert np.array_equal(saved, to_rgb(frame))
    assert psnr(saved, scene(3, 61, 43)) > 40
