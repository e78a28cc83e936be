"""Decode untrusted image files of the common formats to upright RGB."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from framepack.errors import FramepackError, InvalidMedia, TooLarge
from framepack.media.frames.colors import PUT_ON_BLACK

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray
    from PIL.Image import Image

_FORMATS: Final = ("PNG", "JPEG", "BMP", "WEBP", "GIF")
_MULTI_PICTURE: Final = "MPO"  # a JPEG file with more images after the first, as phones write it; not an animation
_OPAQUE: Final = 255
_STRIP_ROWS: Final = 128
_ORIENTATION: Final = 0x0112  # EXIF
_TRANSPOSED: Final = (5, 6, 7, 8)
_ROWS_REVERSED: Final = (3, 4, 7, 8)
_COLUMNS_REVERSED: Final = (2, 3, 6, 7)
_DEEP_GRAY: Final = ("I", "I;16", "I;16L", "I;16B", "I;16N")


def read_image(
    data: bytes,
    subject: str,
    max_pixels: int,
    *,
    background: int = 0,
    enough: int | None = None,
    warn: Callable[[str], None] | None = None,
) -> NDArray[uint8]:
    """Decode a PNG, JPEG, BMP, WebP or GIF file, whatever its name.

    16-bit samples become 8-bit, gray and CMYK become RGB, transparency is composited on a gray level, and the EXIF
    rotation is applied. Besides the result there is never more than one decoded copy of the image in memory.

    Args:
        data: Content of the file.
        subject: The subject of error messages, such as "The image".
        max_pixels: Maximum number of pixels, checked in the header before anything is decoded.
        background: Gray level behind transparent pixels, 0 (black) to 255 (white).
        enough: A width and height that suffice: larger images are reduced by whole factors to at least that; None
            keeps every pixel.
        warn: Called with a sentence for the client if the image is transparent; it may be called several times.

    Returns:
        Array of shape (height, width, 3), 0 to 255, upright.

    Raises:
        InvalidMedia: It is in another format, damaged or animated.
        TooLarge: It has more than ``max_pixels``.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _check(image, subject, max_pixels)
            if enough is not None:
                image.draft(None, (enough, enough))  # JPEG decodes at 1/2, 1/4 or 1/8
            rgb = _reduced_rgb(image, background, enough, warn)
            return _upright(rgb, image.getexif().get(_ORIENTATION, 1))
    except FramepackError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLarge(f"{subject} has far too many pixels; at most {max_pixels} are allowed.") from error
    except Exception as error:  # Pillow's decoders raise any exception for damaged files
        raise InvalidMedia(f"{subject} is damaged or not a PNG, JPEG, BMP, WebP or GIF image.") from error


def image_format(data: bytes) -> str:
    """The format of a file that `read_image` accepts: "PNG", "JPEG", "BMP", "WEBP" or "GIF"."""
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        return "JPEG" if image.format == _MULTI_PICTURE else str(image.format)


def image_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of an image before it is upright, as its header has them; None if it is damaged."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return image.size
    except Exception:  # noqa: BLE001 - Pillow's decoders raise any exception for damaged files
        return None


def _check(image: Image, subject: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise TooLarge(f"{subject} has {width} x {height} pixels; at most {max_pixels} are allowed.")
    if getattr(image, "is_animated", False) and image.format != _MULTI_PICTURE:
        raise InvalidMedia(f"{subject} is animated; it must be a single image.")


def _reduced_rgb(
    image: Image, background: int, enough: int | None, warn: Callable[[str], None] | None
) -> NDArray[uint8]:
    """Convert an image to RGB strip by strip, each averaged over blocks of pixels if it is larger than enough."""
    import numpy as np

    image.load()
    across, down = (1 if enough is None else max(1, side // enough) for side in image.size)
    rgb = np.empty((-(-image.height // down), -(-image.width // across), 3), np.uint8)
    rows = -(-_STRIP_ROWS // down) * down
    for top in range(0, image.height, rows):
        strip = _rgb(image.crop((0, top, image.width, min(top + rows, image.height))), background, warn)
        reduced = np.asarray(strip if across == down == 1 else strip.reduce((across, down)))
        rgb[top // down : top // down + len(reduced)] = reduced
    return rgb


def to_eight_bits(image: Image) -> Image:
    """The image, with 16-bit gray reduced to 8 bits."""
    return _from_deep_gray(image) if image.mode in _DEEP_GRAY else image


def _rgb(image: Image, background: int, warn: Callable[[str], None] | None) -> Image:
    from PIL import Image as Images

    if image.mode in _DEEP_GRAY:
        return _from_deep_gray(image)
    if image.has_transparency_data:
        ground = Images.new("RGBA", image.size, (background, background, background, 255))
        layer = image.convert("RGBA")
        if warn is not None and layer.getchannel("A").getextrema() != (_OPAQUE, _OPAQUE):
            warn(PUT_ON_BLACK)
        image = Images.alpha_composite(ground, layer)
    return image.convert("RGB")


def _from_deep_gray(image: Image) -> Image:
    import numpy as np
    from PIL import Image as Images

    samples = np.asarray(image).astype(np.float32).clip(0, 65535)
    return Images.fromarray((samples / 257).round().astype(np.uint8)).convert("RGB")


def _upright(rgb: NDArray[uint8], orientation: int) -> NDArray[uint8]:
    """Rotate and mirror an image by the orientation of EXIF, 1 to 8."""
    import numpy as np

    if orientation in _TRANSPOSED:
        rgb = rgb.transpose(1, 0, 2)
    if orientation in _ROWS_REVERSED:
        rgb = rgb[::-1]
    if orientation in _COLUMNS_REVERSED:
        rgb = rgb[:, ::-1]
    return np.ascontiguousarray(rgb)
