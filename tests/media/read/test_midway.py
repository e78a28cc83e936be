"""Frames whose colors or pixel aspect change midway are converted to those of the first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from framepack.media.clip import Colors, Matrix
from framepack.media.frames.arrays import samples_of
from framepack.media.read.normalize import Normalizer
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from tests.corpus.frames import alpha, woven
from tests.corpus.midway import one_after_another
from tests.support.clips import BT709, Pixels, Spec, flat

_BT601 = Colors(Matrix.BT601, 6, 6)
_B_FRAMES = {"preset": "veryfast", "crf": "4", "bf": "3"}
_GREEN, _WHITE = flat((40, 180, 40)), flat((235, 235, 235))
_CONVERTED = "Frames with other color tags than the first were converted to its colors."
_FITTED = "Frames with another pixel aspect than the first were scaled to fit into {width} x 48 pixels."


def part(
    frame: Callable[[int, int, int], Pixels],
    colors: Colors | None = BT709,
    aspect: Fraction | None = None,
    **fields: object,
) -> Spec:
    """One part of a recording: 12 frames, decoded in another order than shown."""
    return Spec(**{"count": 12, "frame": frame, "colors": colors, "aspect": aspect, "options": _B_FRAMES, **fields})  # type: ignore[arg-type]


def lumas(path: Path) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """The luma of all frames as they are read, and the sentences about them."""
    sentences: list[str] = []
    clip = open_clip(path, probe(path), warn=sentences.append)
    found = [samples_of(frame.on_host().planes[0], 8).copy() for frame in clip.frames()]
    return found, sentences


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (BT709, Colors(Matrix.BT601, 1, 1)),
        (BT709, replace(BT709, full_range=True)),
        (replace(BT709, full_range=True), BT709),
    ],
    ids=["matrix", "full range", "limited range"],
)
def test_frames_of_another_matrix_or_range_are_converted_from_the_first_on(
    tmp_path: Path, first: Colors, second: Colors
) -> None:
    """The same color becomes the same samples, in every frame."""
    path = one_after_another(tmp_path, "a.ts", part(_GREEN, first), part(_GREEN, second))

    found, sentences = lumas(path)

    middles = [int(luma[24, 32]) for luma in found]
    assert len(middles) == 24
    assert max(middles) - min(middles) <= 1
    assert sentences == [_CONVERTED]


def test_frames_before_the_change_keep_the_colors_that_they_lack_tags_for(tmp_path: Path) -> None:
    """FFmpeg gives the last untagged frames the tags of its decoder, which is ahead; they are not converted."""
    path = one_after_another(tmp_path, "a.ts", part(_GREEN, None), part(_GREEN))

    found, sentences = lumas(path)

    middles = [int(luma[24, 32]) for luma in found]
    assert max(middles[:12]) - min(middles[:12]) <= 1
    assert max(middles[12:]) - min(middles[12:]) <= 1
    assert sentences == [_CONVERTED]


@pytest.mark.parametrize("second", [None, Colors(Matrix.BT709, 1, 14)], ids=["no tags", "the same curve"])
def test_frames_pass_through_where_tags_end_or_mean_the_same(tmp_path: Path, second: Colors | None) -> None:
    """Missing tags contradict nothing; BT.2020 has the curve of BT.709."""
    path = one_after_another(tmp_path, "a.ts", part(_GREEN), part(_GREEN, second))

    _, sentences = lumas(path)

    assert sentences == []


@pytest.mark.parametrize(
    ("first", "second", "columns", "rows", "width"),
    [
        (Fraction(1), Fraction(4, 3), 64, 36, 64),
        (Fraction(4, 3), Fraction(1), 48, 48, 86),
        (Fraction(4, 3), None, 64, 48, None),
        (Fraction(1), Fraction(201, 200), 64, 48, None),
    ],
    ids=["wider", "narrower", "unknown", "half a percent"],
)
def test_frames_of_another_pixel_aspect_are_fitted(
    tmp_path: Path, first: Fraction, second: Fraction | None, columns: int, rows: int, width: int | None
) -> None:
    """The second part fills as much of the frame as its shape allows; the sentence names the width as displayed."""
    path = one_after_another(tmp_path, "a.ts", part(_WHITE, aspect=first), part(_WHITE, aspect=second))

    found, sentences = lumas(path)

    assert all((luma > 200).all() for luma in found[:12])
    for luma in found[12:]:
        assert (luma > 100).any(0).sum() == columns
        assert (luma > 100).any(1).sum() == rows
    assert sentences == ([] if width is None else [_FITTED.format(width=width)])


def test_interlaced_frames_keep_their_marks_while_they_are_deinterlaced(tmp_path: Path) -> None:
    """Television: the pixel aspect and the tags change between two interlaced parts."""
    options = {"flags": "+ildct+ilme", "b": "8M"}
    one, two = (
        part(woven, colors, aspect, size=(64, 64), codec="mpeg2video", options=options)
        for colors, aspect in ((_BT601, Fraction(1)), (BT709, Fraction(2)))
    )
    path = one_after_another(tmp_path, "a.ts", one, two)

    found, sentences = lumas(path)

    borders = [int(luma[-14:].max()) for luma in found]
    assert all(border > 100 for border in borders[:12])
    assert all(border < 30 for border in borders[12:])
    assert sentences == [
        "The video is interlaced; each of its frames was deinterlaced to one frame.",
        "Frames with another pixel aspect than the first were scaled to fit into 64 x 64 pixels.",
        _CONVERTED,
    ]


def test_transparent_frames_that_keep_alpha_are_not_converted_and_it_is_said(tmp_path: Path) -> None:
    """Filters for colors know no alpha."""
    info = probe(alpha("a.mov", "prores_ks", "yuva444p10le")(tmp_path))
    sentences: list[str] = []
    normalize = Normalizer(info, sentences.append, keep_alpha=True)
    frame = av.VideoFrame(64, 48, info.pixel_format)
    frame.colorspace = frame.color_primaries = frame.color_trc = 9
    frame.color_trc = 14

    result = normalize(frame)

    assert result.format.name == info.pixel_format
    assert sentences == [
        "Frames with other color tags than the first were not converted to its colors, because transparency is kept."
    ]
