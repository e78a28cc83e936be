"""Decode untrusted image files of the common formats to upright RGB."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from framepack.errors import FramepackError, InvalidMedia, TooLarge

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray
    from PIL.Image import Image

_FORMATS: Final = ("PNG", "JPEG", "BMP", "WEBP", "GIF")
_MULTI_PICTURE: Final = "MPO"  # a JPEG file with more images after the first, as phones write it; not an animation
_DEEP_GRAY: Final = ("I", "I;16", "I;16L", "I;16B", "I;16N")


def read_image(data: bytes, subject: str, max_pixels: int, *, background: int = 0) -> NDArray[uint8]:
    """Decode a PNG, JPEG, BMP, WebP or GIF file, whatever its name.

    16-bit samples become 8-bit, gray and CMYK become RGB, transparency is composited on a gray level, and the EXIF
    rotation is applied.

    Args:
        data: Content of the file.
        subject: The subject of error messages, such as "The image".
        max_pixels: Maximum number of pixels, checked in the header before anything is decoded.
        background: Gray level behind transparent pixels, 0 (black) to 255 (white).

    Returns:
        Array of shape (height, width, 3), 0 to 255, upright.

    Raises:
        InvalidMedia: It is in another format, damaged or animated.
        TooLarge: It has more than ``max_pixels``.
    """
    import numpy as np
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _check(image, subject, max_pixels)
            return np.asarray(_upright_rgb(image, background))
    except FramepackError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLarge(f"{subject} has far too many pixels; at most {max_pixels} are allowed.") from error
    except Exception as error:  # Pillow's decoders raise any exception for damaged files
        raise InvalidMedia(f"{subject} is damaged or not a PNG, JPEG, BMP, WebP or GIF image.") from error


def _check(image: Image, subject: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise TooLarge(f"{subject} has {width} x {height} pixels; at most {max_pixels} are allowed.")
    if getattr(image, "is_animated", False) and image.format != _MULTI_PICTURE:
        raise InvalidMedia(f"{subject} is animated; it must be a single image.")


def _upright_rgb(image: Image, background: int) -> Image:
    from PIL import Image as Images
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode in _DEEP_GRAY:
        return _from_deep_gray(upright)
    if upright.has_transparency_data:
        ground = Images.new("RGBA", upright.size, (background, background, background, 255))
        upright = Images.alpha_composite(ground, upright.convert("RGBA"))
    return upright.convert("RGB")


def _from_deep_gray(image: Image) -> Image:
    import numpy as np
    from PIL import Image as Images

    samples = np.asarray(image).astype(np.float32).clip(0, 65535)
    return Images.fromarray((samples / 257).round().astype(np.uint8)).convert("RGB")
