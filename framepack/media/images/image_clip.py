"""A clip of image files that are decoded on demand, all at the size of the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Protocol

from framepack.media.clip import Clip, Colors, Frame
from framepack.media.frames.letterbox import Letterbox
from framepack.media.images.convert import RgbToYuv
from framepack.media.images.decode import read_image


class ImageFiles(Protocol):
    """Image files in order, each with its name; they can be read repeatedly."""

    def __len__(self) -> int:
        """Number of files, at least one."""
        ...

    def first(self) -> tuple[str, bytes]:
        """Read only the first file."""
        ...

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Read all files in order."""
        ...


def image_clip(
    files: ImageFiles, fps: Fraction, *, max_pixels: int, colors: Colors, warn: Callable[[str], None]
) -> Clip:
    """Create a clip from image files; only the first is read right away.

    Images of another size than the first are letterboxed.

    Args:
        files: The images, in formats that ``read_image`` accepts.
        fps: Images per second.
        max_pixels: Maximum number of pixels per image.
        colors: The clip's color tags.
        warn: Called with sentences for the client if sizes differ or images are transparent.

    Raises:
        InvalidMedia, TooLarge: The first image is damaged or too large; the message has its name. Iterating the
            clip's frames raises the same for the other images.
    """
    name, data = files.first()
    height, width, _ = read_image(data, f"Frame '{name}'", max_pixels).shape
    canvas = Clip(lambda: iter(()), fps, width, height, len(files), colors)

    def frames() -> Iterator[Frame]:
        convert, letterbox = RgbToYuv(colors), Letterbox(canvas, canvas)
        size = width, height
        for name, data in files:
            frame = convert(read_image(data, f"Frame '{name}'", max_pixels, warn=warn))
            if (frame.width, frame.height) == (width, height):
                yield frame
                continue
            if (frame.width, frame.height) != size:
                warn(f"Frames of another size than the first were scaled to fit into {width} x {height} pixels.")
                size = frame.width, frame.height
                letterbox = Letterbox(replace(canvas, width=frame.width, height=frame.height), canvas)
            yield letterbox(frame)

    return replace(canvas, frames=frames)
