"""Image files: of a frame, in limited size, and of pixels, in a certain format."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from framepack.media.images.convert import png, to_rgb

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray

    from framepack.media.clip import Frame

_QUALITIES: Final = (95, 90, 80, 65)
_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "PNG": {"compress_level": 1},
    "JPEG": {"quality": 95, "subsampling": 0},
    "BMP": {},
    "WEBP": {"lossless": True},
}
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


def encoded_image(rgb: NDArray[uint8], file_format: str) -> bytes:
    """Encode pixels, without loss except for JPEG.

    Args:
        rgb: Array of shape (height, width, 3), 0 to 255.
        file_format: "PNG", "JPEG", "BMP" or "WEBP".
    """
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(rgb).save(file, file_format, **_OPTIONS[file_format])
    return file.getvalue()
