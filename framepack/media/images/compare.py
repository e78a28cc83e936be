"""Before-and-after images: one frame of two videos side by side, whole and enlarged."""

from __future__ import annotations

import secrets
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from framepack.closing import closing
from framepack.errors import InvalidMedia, StorageFailed
from framepack.media.images.convert import to_rgb
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip

if TYPE_CHECKING:
    from PIL.Image import Image

_PANEL_WIDTH = 640  # pixels of each image
_ZOOM = 3  # how much larger the detail is drawn
_CAPTION_HEIGHT = 28
_INK, _PAPER = (235, 235, 235), (24, 24, 27)


def compare(before: Path, after: Path, image: Path, *, second: float = 0.5) -> None:
    """Write a PNG to ``image``: ``before`` on the left, ``after`` on the right, a detail of both below.

    Both are drawn at the same size. ``before`` is enlarged bilinearly, as a player would do, so the image shows the
    difference that a viewer sees.

    Raises:
        InvalidMedia: One of the files is not a readable video.
        StorageFailed: The file cannot be written; one that was there before stays.
    """
    from PIL import Image, ImageDraw

    images = [_frame(path, second) for path in (before, after)]
    names = [
        f"{name}: {image.width} x {image.height}" for name, image in zip(("before", "after"), images, strict=True)
    ]
    height = round(_PANEL_WIDTH * images[1].height / images[1].width)
    size = (_PANEL_WIDTH, height)
    panels = [image.resize(size, Image.Resampling.BILINEAR) for image in images]
    corner = _busiest(*panels)
    details = [_detail(image, size, corner) for image in images]

    sheet = Image.new("RGB", (2 * _PANEL_WIDTH + 4, 2 * height + _CAPTION_HEIGHT + 4), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for column, (name, panel, detail) in enumerate(zip(names, panels, details, strict=True)):
        left = column * (_PANEL_WIDTH + 4)
        pen.text((left + 8, 6), name, fill=_INK, font_size=15)
        sheet.paste(panel, (left, _CAPTION_HEIGHT))
        sheet.paste(detail, (left, _CAPTION_HEIGHT + height + 4))
    _save(sheet, image)


def _save(sheet: Image, path: Path) -> None:
    """Write a PNG file, whole or not at all."""
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        sheet.save(part, "PNG", optimize=True)
        part.replace(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StorageFailed(f"{path} could not be written: {reason}.") from error
    finally:
        part.unlink(missing_ok=True)


def _frame(path: Path, second: float) -> Image:
    """The frame of ``path`` shown at ``second``, or its last one."""
    from PIL import Image

    try:
        info = probe(path)
    except InvalidMedia as error:
        raise InvalidMedia(f"{path}: {error.message}") from error
    clip = open_clip(path, info, warn=lambda _: None)
    wanted = min(round(second * clip.fps), max(0, info.length - 1))
    with closing(clip.frames()) as frames:
        return Image.fromarray(to_rgb(next(islice(frames, wanted, None))))


def _busiest(before: Image, after: Image) -> tuple[float, float]:
    """The detail whose contours changed most: its upper left corner, as fractions of width and height."""
    import numpy as np

    contours = [np.hypot(*np.gradient(np.asarray(image.convert("L"), np.float32))) for image in (before, after)]
    change = np.abs(contours[1] - contours[0])
    height, width = change.shape[0] // _ZOOM, change.shape[1] // _ZOOM
    sums = {
        (left, top): change[top : top + height, left : left + width].sum()
        for top in range(0, change.shape[0] - height + 1, height // 4)
        for left in range(0, change.shape[1] - width + 1, width // 4)
    }
    left, top = max(sums, key=lambda corner: sums[corner])
    return left / change.shape[1], top / change.shape[0]


def _detail(image: Image, size: tuple[int, int], corner: tuple[float, float]) -> Image:
    """The detail of ``image`` whose upper left corner is ``corner``, enlarged to ``size``."""
    from PIL import Image

    left, top = corner[0] * image.width, corner[1] * image.height
    box = (left, top, left + image.width / _ZOOM, top + image.height / _ZOOM)
    return image.resize(size, Image.Resampling.BILINEAR, box=box)
