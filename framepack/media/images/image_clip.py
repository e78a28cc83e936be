"""Single images as a clip: read one after another when asked for, all shown in the shape of the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Protocol

from framepack.media.clip import Clip, Colors, Frame, HostFrame
from framepack.media.frames.letterbox import Letterbox
from framepack.media.images.convert import FromRgb
from framepack.media.images.decode import read_image


class ImageFiles(Protocol):
    """Image files in order, each with its name; they may be read again and again."""

    def __len__(self) -> int:
        """How many there are, at least one."""
        ...

    def first(self) -> tuple[str, bytes]:
        """Read the first one alone."""
        ...

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Read all of them, one after another."""
        ...


def image_clip(
    files: ImageFiles, fps: Fraction, *, max_pixels: int, colors: Colors, warn: Callable[[str], None]
) -> Clip:
    """Make a clip of image files, the first of which is looked at right away.

    Images of another size than the first are scaled to fit, centerd, with black around them.

    Args:
        files: The images; see `read_image` for what they may be.
        fps: Images per second.
        max_pixels: Most pixels of an image.
        colors: What the clip's numbers are to mean.
        warn: Is told, in a sentence for the client, when sizes differ.

    Raises:
        InvalidMedia, TooLarge: The first image is damaged or too large; its name is in the message. The clip's
            frames raise the same for the others.
    """
    name, data = files.first()
    height, width, _ = read_image(data, f"Frame '{name}'", max_pixels).shape
    screen = Clip(lambda: iter(()), fps, width, height, len(files), colors)

    def frames() -> Iterator[Frame]:
        convert, letterbox = FromRgb(colors), Letterbox(screen, screen)
        size = width, height
        for name, data in files:
            frame = convert(read_image(data, f"Frame '{name}'", max_pixels))
            if (frame.width, frame.height) == (width, height):
                yield frame
                continue
            if (frame.width, frame.height) != size:
                warn(f"Frames of another size than the first were scaled to fit into {width} x {height} pixels.")
                size = frame.width, frame.height
                letterbox = Letterbox(replace(screen, width=frame.width, height=frame.height), screen)
            yield HostFrame(letterbox(frame.on_host()))

    return replace(screen, frames=frames)
