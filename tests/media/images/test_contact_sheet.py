"""Contact sheets: which frames they show, where, and with which number."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from framepack.media.clip import Clip, Colors, HostFrame, Matrix
from framepack.media.images.contact_sheet import ContactSheet
from tests.support.clips import flat, to_frame


def sheet(count: int, size: tuple[int, int] = (64, 48), aspect: Fraction = Fraction(1)) -> NDArray[np.uint8]:
    """The sheet of frames whose red is twice their number."""
    clip = Clip(lambda: iter(()), Fraction(25), *size, count, pixel_aspect=aspect)
    made = ContactSheet(clip, count)
    for index in reversed(range(count)):
        made.offer(index, HostFrame(to_frame(flat((2 * index, 90, 60))(0, *size), "yuv444p", Colors(Matrix.BT601))))
    with Image.open(io.BytesIO(made.jpeg())) as image:
        assert image.format == "JPEG"
        return np.asarray(image)


def test_few_frames_are_all_shown() -> None:
    """They are in rows of six, in order, at their own size."""
    image = sheet(8)
    assert image.shape == (8 + 2 * (48 + 22 + 8), 8 + 6 * (64 + 8), 3)
    for index in range(8):
        row, column = divmod(index, 6)
        color = image[8 + row * 78 + 24, 8 + column * 72 + 32]
        assert np.abs(color.astype(int) - (2 * index, 90, 60)).max() <= 6
    assert (image[8 + 78 + 24, 8 + 2 * 72 + 32] < 40).all()  # no ninth


def test_many_frames_are_spread_evenly() -> None:
    """48 of them, from the first to the last."""
    image = sheet(120)
    assert image.shape == (8 + 8 * 78, 8 + 6 * 72, 3)
    shown = [int(image[8 + (place // 6) * 78 + 24, 8 + (place % 6) * 72 + 32][0]) / 2 for place in range(48)]
    assert shown == pytest.approx([119 * place // 47 for place in range(48)], abs=4)


def test_frame_numbers_are_below_the_thumbnails() -> None:
    """There is light writing under each image, and none where no image is."""
    labels = [sheet(7)[8 + row * 78 + 48 : 8 + (row + 1) * 78 - 8] for row in range(2)]
    for row, column, is_written in ((0, 0, True), (0, 5, True), (1, 0, True), (1, 1, False)):
        part = labels[row][:, 8 + column * 72 : 72 + column * 72]
        assert (part.max() > 150) == is_written


@pytest.mark.parametrize(
    ("size", "aspect", "expected"),
    [
        ((1920, 1080), Fraction(1), (240, 135)),
        ((480, 960), Fraction(1), (120, 240)),
        ((720, 576), Fraction(16, 11), (240, 132)),
        ((2, 2), Fraction(1), (56, 2)),
        ((2000, 2), Fraction(1), (240, 1)),
    ],
)
def test_thumbnail_size(size: tuple[int, int], aspect: Fraction, expected: tuple[int, int]) -> None:
    """At most 240 on a side, in the shape a viewer sees, with room for a number."""
    width, height = expected
    assert sheet(1, size, aspect).shape == (8 + height + 22 + 8, 8 + width + 8, 3)
