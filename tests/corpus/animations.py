"""Rows about the delays of animated images."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image

from tests.corpus.timing import rows_of
from tests.support.odd_files import animated, gif


def zero_delays(folder: Path) -> Path:
    """A GIF whose delays are zero."""
    path = gif(folder / "a.gif", [100] * 6)
    data = path.read_bytes()
    for flags in (0, 4, 8):
        data = data.replace(bytes([0x21, 0xF9, 4, flags, 10, 0]), bytes([0x21, 0xF9, 4, flags, 0, 0]))
    path.write_bytes(data)
    with Image.open(path) as image:
        assert image.info["duration"] == 0
    return path


_AS_IN_BROWSERS: dict[str, Any] = {
    "shown": tuple(range(6)),
    "fps": Fraction(10),
    "beeps": None,
    "patches": (),
    "note": "10 frames per second, as in browsers",
}

_SHORT_LAST: dict[str, Any] = {
    "shown": (*[0] * 5, *[1] * 5, 2),
    "fps": Fraction(10),
    "beeps": None,
    "patches": (),
    "note": "a multiple of the rate, so that it ends in time",
}

ROWS = rows_of(
    "Animations",
    (
        "uneven-gif",
        "A GIF with uneven delays",
        lambda folder: gif(folder / "a.gif", [50, 100, 50, 150, 50]),
        {"shown": (0, 1, 1, 2, 3, 3, 3, 4), "fps": Fraction(20), "beeps": None, "patches": ()},
    ),
    (
        "gif-30ms",
        "A GIF with delays of 30 ms",
        lambda folder: gif(folder / "a.gif", [30] * 60),
        {"shown": tuple(range(60)), "fps": Fraction(100, 3), "beeps": None, "patches": ()},
    ),
    (
        "gif-one",
        "A GIF of one frame with a delay of 200 ms",
        lambda folder: gif(folder / "a.gif", [200]),
        {"shown": (0,), "fps": Fraction(5), "beeps": None, "patches": ()},
    ),
    (
        "gif-zero",
        "A GIF with delays of zero",
        zero_delays,
        _AS_IN_BROWSERS,
    ),
    (
        "gif-10ms",
        "A GIF with delays of 10 ms",
        lambda folder: gif(folder / "a.gif", [10] * 6),
        _AS_IN_BROWSERS,
    ),
    (
        "gif-some-10ms",
        "A GIF with some delays of 10 ms",
        lambda folder: gif(folder / "a.gif", [10, 200, 10, 300, 10]),
        {
            "shown": (0, 1, 1, 2, 3, 3, 3, 4),
            "fps": Fraction(10),
            "beeps": None,
            "patches": (),
            "note": "these frames are shown for 100 ms, as in browsers",
        },
    ),
    (
        "webp-10ms",
        "An animated WebP with delays of 10 ms",
        lambda folder: animated(folder / "a.webp", [10] * 6),
        {**_AS_IN_BROWSERS, "other_reader": False},
    ),
    (
        "apng-10ms",
        "An animated PNG with delays of 10 ms",
        lambda folder: animated(folder / "a.png", [10] * 6),
        {**_AS_IN_BROWSERS, "other_reader": False},
    ),
    (
        "gif-last",
        "A last frame that stays longer (GIF)",
        lambda folder: gif(folder / "a.gif", [100] * 5 + [500]),
        {"shown": (0, 1, 2, 3, 4, 5, 5, 5, 5, 5), "fps": Fraction(10), "beeps": None, "patches": ()},
    ),
    (
        "gif-short-last",
        "A last frame that is shorter than the others (GIF)",
        lambda folder: gif(folder / "a.gif", [500, 500, 100]),
        _SHORT_LAST,
    ),
    (
        "apng-short-last",
        "The same in an animated PNG",
        lambda folder: animated(folder / "a.png", [500, 500, 100]),
        {**_SHORT_LAST, "other_reader": False},
    ),
)
