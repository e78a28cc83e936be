"""A frame as an image file of limited size: PNG, or JPEG where that would be too large."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from framepack.media.images.convert import png, to_rgb

if TYPE_CHECKING:
    from framepack.media.clip import Frame

_QUALITIES: Final = (95, 90, 80, 65)
_SHARP_CHROMA: Final = 90  # from this quality on, chroma has every pixel


def image_file(frame: Frame, max_bytes: int) -> tuple[bytes, str]:
    """Encode a frame as PNG, else as the best JPEG of at most ``max_bytes``.

    Returns:
        The file and its media type. A file that is still too large has the lowest quality, 65.
    """
    data = png(frame)
    if len(data) <= max_bytes:
        return data, "image/png"
    from PIL import Image

    image = Image.fromarray(to_rgb(frame))
    for quality in _QUALITIES:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality, subsampling=0 if quality >= _SHARP_CHROMA else 2)
        data = file.getvalue()
        if len(data) <= max_bytes:
            break
    return data, "image/jpeg"
