"""A clip of image files that are decoded on demand, all at the size of the first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final, Protocol, TypeVar, cast

from framepack.closing import closing
from framepack.media.clip import Clip, Colors, Frame, HostFrame
from framepack.media.frames.letterbox import Letterbox
from framepack.media.images.convert import RgbToYuv
from framepack.media.images.decode import image_size, read_image

R = TypeVar("R")

_PIXEL_BYTES: Final = 10  # of an image that is being decoded: Pillow's own, RGB and planar YUV


@dataclass(slots=True)
class _Image:
    """An image file; once it is decoded, the frame in place of its content, and what there is to say about it."""

    name: str
    data: bytes
    frame: HostFrame | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Decoder:
    """Decodes image files, in several threads at once.

    Attributes:
        width: Width of the first image.
        height: Height of the first image.
        max_pixels: Maximum number of pixels per image.
        colors: The colors of the frames.
    """

    width: int
    height: int
    max_pixels: int
    colors: Colors
    _of_thread: threading.local = field(default_factory=threading.local)

    def prepare(self, name: str, data: bytes) -> _Image:
        """Decode a file if it is as large as the first; others wait, so that the first's size limits the memory."""
        image = _Image(name, data)
        if image_size(data) == (self.width, self.height):
            image.frame, image.data = self.decode(image), b""
        return image

    def decode(self, image: _Image) -> HostFrame:
        """Decode a file to planar YUV 4:4:4."""
        if not hasattr(self._of_thread, "convert"):
            self._of_thread.convert = RgbToYuv(self.colors)
        rgb = read_image(image.data, f"Frame '{image.name}'", self.max_pixels, warn=image.warnings.append)
        return cast("HostFrame", self._of_thread.convert(rgb))


class ImageFiles(Protocol):
    """Image files in order, each with its name; they can be read repeatedly."""

    def __len__(self) -> int:
        """Number of files, at least one."""
        ...

    def first(self) -> tuple[str, bytes]:
        """Read only the first file."""
        ...

    def each(self, work: Callable[[str, bytes], R], result_bytes: int) -> Iterator[R]:
        """Read all files, and yield what ``work`` makes of each, in order; close the iterator to stop early.

        Args:
            work: Called with the name and the content of a file, in several threads at once. Its first error, in the
                order of the files, is raised here.
            result_bytes: The memory that a result takes; it limits how many there are at a time.
        """
        ...


def image_clip(
    files: ImageFiles, fps: Fraction, *, max_pixels: int, colors: Colors, warn: Callable[[str], None]
) -> Clip:
    """Create a clip from image files; only the first is read right away.

    Images of the size of the first are decoded in several threads; those of another size are letterboxed.

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
    decoder = _Decoder(width, height, max_pixels, colors)

    def frames() -> Iterator[Frame]:
        letterbox = Letterbox(canvas, canvas)
        size = width, height
        with closing(files.each(decoder.prepare, _PIXEL_BYTES * width * height)) as images:
            for image in images:
                frame = image.frame or decoder.decode(image)
                for sentence in image.warnings:
                    warn(sentence)
                if (frame.width, frame.height) == (width, height):
                    yield frame
                    continue
                if (frame.width, frame.height) != size:
                    warn(f"Frames of another size than the first were scaled to fit into {width} x {height} pixels.")
                    size = frame.width, frame.height
                    letterbox = Letterbox(replace(canvas, width=frame.width, height=frame.height), canvas)
                yield letterbox(frame)

    return replace(canvas, frames=frames)
