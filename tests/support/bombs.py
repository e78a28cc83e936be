"""Small files that are huge once decoded."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image


def gif_of_patches(path: Path, *, side: int = 3000, count: int = 30_000) -> Path:
    """An animated GIF whose frames are patches of one pixel, 23 bytes and 20 ms each."""
    screen = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    loop = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
    control = b"\x21\xf9\x04\0" + struct.pack("<H", 2) + b"\0\0"
    patch = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    path.write_bytes(screen + loop + (control + patch) * count + b";")
    return path


def one_bit_png(side: int = 7000) -> bytes:
    """A PNG file of some kilobytes with one bit per pixel."""
    file = io.BytesIO()
    Image.new("1", (side, side), 1).save(file, "PNG")
    return file.getvalue()


def deep_png(side: int = 4000) -> bytes:
    """A PNG file of a few hundred kilobytes with 16 bits for red, green, blue and opacity."""
    import av

    frame = av.VideoFrame.from_ndarray(np.full((side, side, 4), 30_000, np.uint16), "rgba64be")
    encoder = av.CodecContext.create("png", "w")
    encoder.options = {"compression_level": "1"}
    encoder.width = encoder.height = side
    encoder.pix_fmt, encoder.time_base = "rgba64be", Fraction(1)
    return b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))
