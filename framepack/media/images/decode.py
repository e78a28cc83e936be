"""Read image files that strangers made: any usual kind becomes upright RGB, nothing else is opened."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from framepack.errors import FramepackError, InvalidMedia, TooLarge

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray
    from PIL.Image import Image

_FORMATS: Final = ("PNG", "JPEG", "BMP", "WEBP", "GIF")
_SEVERAL_VIEWS: Final = "MPO"  # a JPEG file with more images behind the first: of a phone, not a film
_DEEP_GRAY: Final = ("I", "I;16", "I;16L", "I;16B", "I;16N")


def read_image(data: bytes, subject: str, max_pixels: int, *, behind: int = 0) -> NDArray[uint8]:
    """Decode a PNG, JPEG, BMP, WebP or GIF file, whatever its name says.

    16 bits become 8, gray and CMYK become RGB, what is transparent shows what is behind, and EXIF's rotation is
    applied.

    Args:
        data: The file.
        subject: What messages call it, such as "The image".
        max_pixels: Most pixels it may have; looked up in its header before anything is decoded.
        behind: Gray level behind what is transparent, 0 (black) to 255 (white).

    Returns:
        Array of shape (height, width, 3), 0 to 255, upright.

    Raises:
        InvalidMedia: It is none of these, is damaged, or is animated.
        TooLarge: It has too many pixels.
    """
    import numpy as np
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _check(image, subject, max_pixels)
            return np.asarray(_upright_rgb(image, behind))
    except FramepackError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLarge(f"{subject} has far too many pixels; at most {max_pixels} are allowed.") from error
    except Exception as error:  # Pillow's readers raise anything for damaged files
        raise InvalidMedia(f"{subject} is damaged or not a PNG, JPEG, BMP, WebP or GIF image.") from error


def _check(image: Image, subject: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise TooLarge(f"{subject} has {width} x {height} pixels; at most {max_pixels} are allowed.")
    if getattr(image, "is_animated", False) and image.format != _SEVERAL_VIEWS:
        raise InvalidMedia(f"{subject} is animated; it must be a single image.")


def _upright_rgb(image: Image, behind: int) -> Image:
    from PIL import Image as Images
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode in _DEEP_GRAY:
        return _from_deep_gray(upright)
    if upright.has_transparency_data:
        ground = Images.new("RGBA", upright.size, (behind, behind, behind, 255))
        upright = Images.alpha_composite(ground, upright.convert("RGBA"))
    return upright.convert("RGB")


def _from_deep_gray(image: Image) -> Image:
    import numpy as np
    from PIL import Image as Images

    samples = np.asarray(image).astype(np.float32).clip(0, 65535)
    return Images.fromarray((samples / 257).round().astype(np.uint8)).convert("RGB")
