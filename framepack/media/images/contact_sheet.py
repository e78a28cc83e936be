"""A contact sheet: thumbnails of frames evenly spread over a video, with their frame numbers, as a JPEG file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from framepack.media.images.convert import to_rgb

if TYPE_CHECKING:
    from PIL.Image import Image

    from framepack.media.clip import Clip, Frame

COLUMNS: Final = 6
ROWS: Final = 8

_BOX: Final = 240  # longest side of a thumbnail
_MIN_WIDTH: Final = 56  # room for a number
_GAP: Final = 8
_LABEL: Final = 22
_TEXT_SIZE: Final = 14
_QUALITY: Final = 85
_BACKGROUND: Final = (24, 24, 24)
_INK: Final = (225, 225, 225)


class ContactSheet:
    """Collects the thumbnails of a sheet: at most 48, evenly chosen from ``count`` frames of a clip.

    Frames can be offered from several threads and in any order.
    """

    def __init__(self, clip: Clip, count: int) -> None:
        width, height = float(clip.width * clip.pixel_aspect), clip.height
        factor = min(1.0, _BOX / max(width, height))
        self._size = max(1, round(width * factor)), max(1, round(height * factor))
        thumbnails = min(count, COLUMNS * ROWS)
        last = max(1, thumbnails - 1)
        self._chosen = frozenset((count - 1) * number // last for number in range(thumbnails))
        self._thumbnails: dict[int, Image] = {}

    def offer(self, index: int, frame: Frame) -> None:
        """Add a thumbnail of frame ``index`` if it is one of those chosen."""
        if index in self._chosen:
            from PIL import Image

            image = Image.fromarray(to_rgb(frame))
            self._thumbnails[index] = image.resize(self._size, Image.Resampling.BICUBIC, reducing_gap=2)

    def jpeg(self) -> bytes:
        """Draw the sheet with the thumbnails added so far, at least one."""
        from PIL import Image, ImageDraw, ImageFont

        width, height = max(_MIN_WIDTH, self._size[0]) + _GAP, self._size[1] + _LABEL + _GAP
        columns = min(COLUMNS, len(self._thumbnails))
        rows = -(-len(self._thumbnails) // COLUMNS)
        sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), _BACKGROUND)
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT_SIZE)
        for position, index in enumerate(sorted(self._thumbnails)):
            row, column = divmod(position, COLUMNS)
            left, top = _GAP + column * width, _GAP + row * height
            sheet.paste(self._thumbnails[index], (left + (width - _GAP - self._size[0]) // 2, top))
            middle = (left + (width - _GAP) // 2, top + self._size[1] + _LABEL // 2)
            draw.text(middle, str(index), _INK, font, anchor="mm")
        file = io.BytesIO()
        sheet.save(file, "JPEG", quality=_QUALITY)
        return file.getvalue()
