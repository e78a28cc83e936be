"""Draws ``docs/filters.png``: every preset, and every control at several values, on a real frame.

Run ``python -m tools.contact_sheet`` after changing the filters, and look at the image.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from framepack.api.filter_settings import CONTROLS, FILTER_PRESETS, built_in_preset
from framepack.media.clip import Clip, Frame, HostFrame
from framepack.media.images.convert import to_rgb
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from framepack.operations.postprocess.filters import FiltersParams, filtered
from tests.support.clips import real_clip

if TYPE_CHECKING:
    from PIL.Image import Image

    from framepack.api.filter_settings import Control

SHEET: Final = Path(__file__).parent.parent / "docs" / "filters.png"
COLUMNS: Final = 5
CELL: Final = (148, 84)
DETAIL_AT: Final = (430, 480)
PRESETS_A_ROW: Final = 3
PRESET_CELL: Final = (252, 142)
NOISE_LEVELS: Final = 6
CAPTION: Final = 18
INK, PAPER = (228, 228, 231), (24, 24, 27)


Fields = dict[str, Any]
"""The fields of a request that make one cell."""


def main() -> None:
    """Draw the sheet and write it to ``SHEET``."""
    from PIL import Image, ImageDraw
    from PIL.PngImagePlugin import PngInfo

    clip = open_clip(real_clip("bigbuckbunny"), probe(real_clip("bigbuckbunny")), warn=print)
    clean = list(islice(clip.frames(), 6))
    noisy = with_noise(clean)
    drawn = [
        [(caption, cell(clip, noisy if "denoise" in fields else clean, fields)) for caption, fields in row.items()]
        for row in rows()
    ]
    width = COLUMNS * (CELL[0] + 4)
    height = sum(row[0][1].height + CAPTION + 4 for row in drawn)
    sheet = Image.new("RGB", (width, height), PAPER)
    pen, top = ImageDraw.Draw(sheet), 0
    for row in drawn:
        for place, (caption, image) in enumerate(row):
            left = place * (width // len(row))
            pen.text((left + 4, top + 2), caption, fill=INK, font_size=12)
            sheet.paste(image, (left, top + CAPTION))
        top += row[0][1].height + CAPTION + 4
    described = PngInfo()
    described.add_text("Description", description())
    sheet.save(SHEET, optimize=True, pnginfo=described)
    print(f"{SHEET}: {sheet.width} x {sheet.height}, {SHEET.stat().st_size / 1e6:.2f} MB")


def rows() -> list[dict[str, Fields]]:
    """The rows of the sheet: the fields of each cell, by its caption."""
    presets = list(FILTER_PRESETS)
    first = [presets[start : start + PRESETS_A_ROW] for start in range(0, len(presets), PRESETS_A_ROW)]
    controls = sorted(CONTROLS, key=lambda control: control.traits.is_fine)
    return [
        *({name: {"preset": name} for name in names} for names in first),
        *(
            {f"{name} {value:g}": {name: value} for value in values_of(control)}
            for control in controls
            for name in [control.request_name]
        ),
    ]


def description() -> str:
    """The captions of the sheet. They are stored in its file, so that a test can tell whether it is up to date."""
    return "; ".join(", ".join(row) for row in rows())


def values_of(control: Control) -> list[float]:
    """The values in the row of a control: the default, both ends and values between them. Every row has five."""
    values = {control.default, *control.toward_ends(0.4), *control.toward_ends(1)}
    if len(values) < COLUMNS:  # the default is one of the ends
        values |= {*control.toward_ends(0.15), *control.toward_ends(0.7)}
    return sorted(values)


def cell(clip: Clip, frames: list[Frame], fields: Fields) -> Image:
    """Draw a preset, or a control at one value, on the whole image or on a detail."""
    image = filtered_image(clip, frames, fields)
    if "preset" in fields:
        return image.resize(PRESET_CELL)
    if not any(control.traits.is_fine for control in CONTROLS if control.request_name in fields):
        return image.resize(CELL)
    left, top = DETAIL_AT
    return image.crop((left, top, left + CELL[0], top + CELL[1]))


def filtered_image(clip: Clip, frames: list[Frame], fields: Fields) -> Image:
    """The last of ``frames``, filtered."""
    from dataclasses import replace

    from PIL import Image

    source = replace(clip, frames=lambda: iter(frames))
    context = SimpleNamespace(filter_preset=built_in_preset)  # the effect uses nothing else
    *_, last = filtered.apply(source, FiltersParams.parse(fields), context).frames()  # type: ignore[arg-type]
    return Image.fromarray(to_rgb(last))


def with_noise(frames: list[Frame]) -> list[Frame]:
    """Add camera noise to frames."""
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
