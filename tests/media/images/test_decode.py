"""Image files of every format become upright RGB; damaged, animated and oversized ones are rejected."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from framepack.errors import InvalidMedia, TooLarge
from framepack.media.images.decode import read_image
from tests.support.bombs import deep_png, one_bit_png
from tests.support.clips import damage_randomly, scene

SIZE = (40, 30)
RGB = (200, 100, 50)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The file of an image."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def image(color: Any = RGB, mode: str = "RGB") -> Image.Image:
    """An image of one color."""
    return Image.new(mode, SIZE, color)


def half_transparent() -> Image.Image:
    """A palette whose second color is transparent; all pixels have the first but the left half."""
    image = Image.new("P", SIZE, 0)
    image.putpalette([*RGB, 0, 255, 0])
    image.paste(1, (0, 0, 20, 30))
    return image


def sixteen_bits(*samples: int) -> bytes:
    """A PNG file of 16 bits per sample, of one color; OpenCV has blue first."""
    done, data = cv2.imencode(".png", np.full((30, 40, len(samples)), samples, np.uint16))
    assert done
    return data.tobytes()


KINDS: dict[str, tuple[Callable[[], bytes], tuple[int, int, int], int]] = {
    "png": (lambda: encoded(image()), RGB, 0),
    "png, 16 bits": (lambda: sixteen_bits(12850, 25700, 51400), RGB, 0),
    "png, gray": (lambda: encoded(image(90, "L")), (90, 90, 90), 0),
    "png, gray of 16 bits": (lambda: sixteen_bits(51400), (200, 200, 200), 0),
    "png, black and white": (lambda: encoded(image(1, "1")), (255, 255, 255), 0),
    "png, gray and alpha": (lambda: encoded(image((200, 128), "LA")), (100, 100, 100), 1),
    "png, palette": (lambda: encoded(image().quantize(4)), RGB, 0),
    "png, alpha": (lambda: encoded(image((*RGB, 128), "RGBA")), (100, 50, 25), 1),
    "png, alpha of 16 bits": (lambda: sixteen_bits(12850, 25700, 51400, 32896), (100, 50, 25), 1),
    "png, transparent": (lambda: encoded(image((*RGB, 0), "RGBA")), (0, 0, 0), 0),
    "png, a transparent color": (lambda: encoded(image(), transparency=RGB), (0, 0, 0), 0),
    "jpeg": (lambda: encoded(image(), "JPEG", quality=95), RGB, 3),
    "jpeg, gray": (lambda: encoded(image(90, "L"), "JPEG"), (90, 90, 90), 1),
    "jpeg, progressive": (lambda: encoded(image(), "JPEG", quality=95, progressive=True), RGB, 3),
    "jpeg, cmyk": (lambda: encoded(image((0, 127, 255, 0), "CMYK"), "JPEG", quality=95), (255, 128, 0), 4),
    "bmp": (lambda: encoded(image(), "BMP"), RGB, 0),
    "gif": (lambda: encoded(image(), "GIF"), RGB, 0),
    "webp": (lambda: encoded(image(), "WEBP", lossless=True), RGB, 0),
    "webp, alpha": (lambda: encoded(image((*RGB, 128), "RGBA"), "WEBP", lossless=True), (100, 50, 25), 1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_becomes_rgb(kind: str) -> None:
    """The colors are right, with black behind transparent pixels."""
    make, color, tolerance = KINDS[kind]
    rgb = read_image(make(), "frame.png", 10_000)
    assert rgb.shape == (30, 40, 3)
    assert rgb.dtype == np.uint8
    assert np.abs(rgb.astype(int) - color).max() <= tolerance


def test_a_transparent_palette_shows_black() -> None:
    """Where a palette's color is transparent there is black, elsewhere the color."""
    rgb = read_image(encoded(half_transparent(), transparency=1), "frame.png", 10_000)
    assert (rgb[:, :20] == 0).all()
    assert (rgb[:, 20:] == RGB).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(kind: str, orientation: int) -> None:
    """The orientation that a camera stored is applied."""
    shown = scene(3, *SIZE)
    turn: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
        1: lambda image: image,
        2: np.fliplr,
        3: lambda image: np.rot90(image, 2),
        4: np.flipud,
        5: lambda image: image.transpose(1, 0, 2),
        6: lambda image: np.rot90(image, 1),
        7: lambda image: np.rot90(image.transpose(1, 0, 2), 2),
        8: lambda image: np.rot90(image, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, dict[str, Any]] = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    stored = Image.fromarray(np.ascontiguousarray(turn[orientation](shown)))
    rgb = read_image(encoded(stored, kind, exif=exif, **options.get(kind, {})), "frame", 10_000)
    assert rgb.shape == shown.shape
    assert np.abs(rgb.astype(int) - shown).max() <= 8


def several(kind: str, **options: Any) -> bytes:
    """A file with two different images."""
    return encoded(image(), kind, save_all=True, append_images=[image((0, 0, 0))], **options)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_animations_are_rejected(kind: str) -> None:
    """An image file has to hold one image."""
    with pytest.raises(InvalidMedia, match=r"^Frame 'a' is animated; it must be a single image\.$"):
        read_image(several(kind), "Frame 'a'", 10_000)


def test_a_multi_picture_jpeg_gives_its_first_image() -> None:
    """A phone's JPEG file may hold more images after the first."""
    assert np.abs(read_image(several("MPO", quality=95), "Frame 'a'", 10_000).astype(int) - RGB).max() <= 3


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb(side: int) -> bytes:
    """A PNG file that says it has a huge image."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [200, 10_000, 40_000, 100_000])
def test_large_images_are_rejected_by_their_header(side: int) -> None:
    """Nothing is decoded, whatever the size."""
    with pytest.raises(TooLarge, match=r"^Frame 'a' has .* pixels; at most 10000 are allowed\.$"):
        read_image(bomb(side), "Frame 'a'", 10_000)


def test_damage_is_reported_with_the_name() -> None:
    """Cut off, overwritten, empty or something else: the message names the image."""
    whole = encoded(Image.fromarray(scene(1, 200, 150)))
    jpeg = encoded(Image.fromarray(scene(1, 200, 150)), "JPEG")
    text = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    swollen = text + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(80_000_000))) + chunk(b"IEND", b"")
    spoilt = bytearray(whole)
    spoilt[len(whole) // 2 : len(whole) // 2 + 200] = bytes(200)
    tiff = encoded(image(), "TIFF")
    cases = [whole[: len(whole) // 2], whole[:20], jpeg[: len(jpeg) // 2], bytes(spoilt), swollen]
    for data in [*cases, b"", b"<svg/>", tiff, bytes(1000)]:
        with pytest.raises(
            InvalidMedia, match=r"^Frame 'a 1\.png' is damaged or not a PNG, JPEG, BMP, WebP or GIF image\.$"
        ):
            read_image(data, "Frame 'a 1.png'", 100_000)


def test_damaged_files_are_decoded_or_rejected() -> None:
    """Any damage gives an image or one of the documented errors."""
    rng = np.random.default_rng(5)
    files = [make() for make, _, _ in KINDS.values()] + [several("WEBP"), several("MPO")]
    outcomes = set()
    for number in range(400):
        try:
            rgb = read_image(damage_randomly(files[number % len(files)], rng), "Frame 'a'", 10_000)
            assert rgb.ndim == 3
            outcomes.add("read")
        except (InvalidMedia, TooLarge) as error:
            outcomes.add(type(error).__name__)
    assert {"read", "InvalidMedia"} <= outcomes


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP"])
def test_a_large_image_is_reduced_by_whole_factors(kind: str) -> None:
    """What is more than enough is averaged over blocks, each side on its own; what is not is kept."""
    drawn = Image.fromarray(scene(0, 640, 300))
    data = encoded(drawn, kind, **({"quality": 95} if kind in {"JPEG", "WEBP"} else {}))
    reduced = read_image(data, "The image", 10**6, enough=100)
    assert all(100 <= side < 200 for side in reduced.shape[:2])
    small = np.asarray(drawn.resize((reduced.shape[1], reduced.shape[0]), Image.Resampling.BOX))
    assert np.abs(reduced.astype(int) - small).mean() < 3
    whole = read_image(data, "The image", 10**6)
    assert np.array_equal(read_image(data, "The image", 10**6, enough=321), whole)


def test_strips_join_without_a_seam() -> None:
    """An image of many strips is the same as one that is converted as a whole, transparency and all."""
    rng = np.random.default_rng(3)
    drawn = Image.fromarray(rng.integers(0, 256, (700, 31, 4), np.uint8))
    ground = Image.new("RGBA", drawn.size, (255, 255, 255, 255))
    expected = np.asarray(Image.alpha_composite(ground, drawn).convert("RGB"))
    assert np.array_equal(read_image(encoded(drawn), "The image", 10**6, background=255), expected)
    reduced = read_image(encoded(drawn), "The image", 10**6, background=255, enough=200)
    assert reduced.shape == (234, 31, 3)
    assert np.abs(reduced - np.asarray(Image.fromarray(expected).reduce((1, 3))).astype(int)).max() <= 1


@pytest.mark.parametrize("orientation", range(10))
def test_orientations_are_those_of_pillow(orientation: int) -> None:
    """Every orientation of EXIF, and a number that is none, also of a reduced image."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    drawn = Image.fromarray(np.random.default_rng(1).integers(0, 256, (13, 21, 3), np.uint8))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(drawn, exif=exif))))
    assert np.array_equal(read_image(encoded(drawn, exif=exif), "The image", 10**6), np.asarray(upright))
    reduced = read_image(encoded(drawn, exif=exif), "The image", 10**6, enough=5)
    assert reduced.shape[:2] == ((6, 7) if orientation in {5, 6, 7, 8} else (7, 6))


_READ = """
import re, sys
from pathlib import Path
from framepack.media.images.decode import read_image

def most_bytes():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

import numpy, PIL.PngImagePlugin
data, before = Path(sys.argv[1]).read_bytes(), most_bytes()
shape = read_image(data, "The image", 50_000_000, background=255, enough=1536).shape
print(shape[0], shape[1], most_bytes() - before)
"""


@pytest.mark.parametrize(("make", "most_bytes"), [(one_bit_png, 120e6), (deep_png, 130e6)])
def test_a_small_file_of_many_megapixels_takes_little_memory(
    make: Callable[[], bytes], most_bytes: float, tmp_path: Path
) -> None:
    """No copy of the whole image is made beside the decoded one."""
    path = tmp_path / "image.png"
    path.write_bytes(make())
    done = subprocess.run([sys.executable, "-c", _READ, str(path)], capture_output=True, check=True, timeout=60)
    height, width, taken = map(int, done.stdout.split())
    assert 1536 <= height == width < 2 * 1536
    assert taken < most_bytes
