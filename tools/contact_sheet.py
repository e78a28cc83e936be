"""Draws ``docs/filters.png``: what every control does in steps, and every preset, on a real frame.

Run ``python -m tools.contact_sheet`` after a change of the filters, and look at the image.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

from framepack.api.filter_settings import FILTER_PRESETS, built_in_preset
from framepack.media.clip import Clip, Frame, HostFrame
from framepack.media.images.convert import to_rgb
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from framepack.operations.postprocess.filters import FiltersParams, filtered
from tests.support.clips import real_clip

if TYPE_CHECKING:
    from PIL.Image import Image

SHEET: Final = Path(__file__).parent.parent / "docs" / "filters.png"
STEPS: Final[dict[str, tuple[float, ...]]] = {
    "brightness": (-100, -40, 0, 40, 100),
    "contrast": (0, 0.5, 1, 1.6, 3),
    "saturation": (0, 0.5, 1, 1.6, 3),
    "temperature": (-100, -40, 0, 40, 100),
    "s_curve_contrast": (0, 15, 40, 70, 100),
    "vignette": (0, 10, 30, 60, 100),
    "film_grain": (0, 5, 15, 30, 50),
    "sharpen": (0, 1, 2, 3.5, 5),
    "blur": (0, 0.5, 1.5, 3, 5),
    "denoise": (0, 2, 4, 7, 10),
}
CLOSE: Final = ("film_grain", "sharpen", "blur", "denoise")  # drawn in detail, pixel by pixel
CELL: Final = (148, 84)
DETAIL_AT: Final = (430, 480)
PRESET_CELL: Final = (252, 142)
NOISE_LEVELS: Final = 6
CAPTION: Final = 18
INK, PAPER = (228, 228, 231), (24, 24, 27)


def main() -> None:
    """Filter and draw."""
    from PIL import Image, ImageDraw

    clip = open_clip(real_clip("bigbuckbunny"), probe(real_clip("bigbuckbunny")), warn=print)
    clean = list(islice(clip.frames(), 6))
    noisy = with_noise(clean)
    width = len(next(iter(STEPS.values()))) * (CELL[0] + 4)
    rows = [
        [
            (f"{name} {value:g}", control_cell(clip, noisy if name == "denoise" else clean, name, value))
            for value in values
        ]
        for name, values in STEPS.items()
    ]
    presets = [(name, preset_cell(clip, clean, name)) for name in FILTER_PRESETS]
    rows = [presets[:3], presets[3:], *rows]
    height = sum(row[0][1].height + CAPTION + 4 for row in rows)
    sheet = Image.new("RGB", (width, height), PAPER)
    pen, top = ImageDraw.Draw(sheet), 0
    for row in rows:
        for place, (caption, image) in enumerate(row):
            left = place * (width // len(row))
            pen.text((left + 4, top + 2), caption, fill=INK, font_size=12)
            sheet.paste(image, (left, top + CAPTION))
        top += row[0][1].height + CAPTION + 4
    sheet.save(SHEET, optimize=True)
    print(f"{SHEET}: {sheet.width} x {sheet.height}, {SHEET.stat().st_size / 1e6:.2f} MB")


def control_cell(clip: Clip, frames: list[Frame], name: str, value: float) -> Image:
    """One control at one value: the whole image, or a detail of it."""
    image = look(clip, frames, {name: value})
    if name not in CLOSE:
        return image.resize(CELL)
    left, top = DETAIL_AT
    return image.crop((left, top, left + CELL[0], top + CELL[1]))


def preset_cell(clip: Clip, frames: list[Frame], name: str) -> Image:
    """A preset on the whole image."""
    return look(clip, frames, {"preset": name}).resize(PRESET_CELL)


def look(clip: Clip, frames: list[Frame], fields: dict[str, object]) -> Image:
    """The last of ``frames`` with a look."""
    from dataclasses import replace

    from PIL import Image

    source = replace(clip, frames=lambda: iter(frames))
    context = SimpleNamespace(filter_preset=built_in_preset)  # all that it uses
    *_, last = filtered.apply(source, FiltersParams.parse(fields), context).frames()  # type: ignore[arg-type]
    return Image.fromarray(to_rgb(last))


def with_noise(frames: list[Frame]) -> list[Frame]:
    """The same frames out of a noisy camera."""
    import av
    import numpy as np

    from framepack.media.frames.arrays import planes_of

    rng = np.random.default_rng(1)
    results: list[Frame] = []
    for frame in frames:
        given = frame.on_host()
        image = av.VideoFrame(given.width, given.height, given.format.name)
        before, after = planes_of(given), planes_of(image)
        for plane, target in ((before.y, after.y), (before.u, after.u), (before.v, after.v)):
            target[:] = (plane + rng.normal(0, NOISE_LEVELS, plane.shape)).round().clip(0, 255)
        image.colorspace, image.color_range = given.colorspace, given.color_range
        results.append(HostFrame(image))
    return results


if __name__ == "__main__":
    main()
