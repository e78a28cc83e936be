"""Animated WebP and PNG files, which FFmpeg does not read: converted without loss to a video that it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from framepack.errors import FramepackError, InvalidMedia
from framepack.media.containers import UNREADABLE, open_output
from framepack.media.images.decode import to_eight_bits
from framepack.media.images.image_metadata import read_image_metadata

if TYPE_CHECKING:
    from av.video.stream import VideoStream
    from PIL.Image import Image

AnimationFormat = Literal["webp", "apng"]

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_WEBP_HEAD_BYTES: Final = 21
_WEBP_ANIMATION: Final = 2  # of the flags in the extended header
_MOST_CHUNKS: Final = 1000
_TIME_BASE: Final = Fraction(1, 90_000)
_TICKS_PER_MS: Final = 90
_LEAST_MS: Final = 11
_DEFAULT_MS: Final = 100  # browsers show frames without a duration, or with less than the least, for so long
_PNG_OPTIONS: Final = {"compression_level": "1", "pred": "up"}

Check = Callable[[int, int, int], None]
"""Called with width, height and number of frames before anything is decoded; raises if that is too much."""


def animation_format(path: Path) -> AnimationFormat | None:
    """Whether a file is an animated WebP or PNG file, by its content; None if it is neither."""
    with path.open("rb") as file:
        head = file.read(_WEBP_HEAD_BYTES)
        if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X":
            return "webp" if len(head) == _WEBP_HEAD_BYTES and head[20] & _WEBP_ANIMATION else None
        if not head.startswith(_PNG):
            return None
        place = len(_PNG)
        for _ in range(_MOST_CHUNKS):
            file.seek(place)
            chunk = file.read(8)
            if chunk[4:] == b"acTL":
                return "apng"
            if chunk[4:] == b"IDAT" or len(chunk) < 8:  # noqa: PLR2004 - a length and a name
                return None
            place += 12 + int.from_bytes(chunk[:4], "big")
    return None


def convert_animation(path: Path, target: Path, *, check: Check, warn: Callable[[str], None]) -> dict[str, str]:
    """Convert an animated image file to a QuickTime file of PNG images, with exact times and transparency.

    Args:
        path: The file, for which ``animation_format`` is not None.
        target: The new file.
        check: Called before anything is decoded, and before each frame.
        warn: Called with a sentence for the client if the end of the file is missing.

    Returns:
        The metadata; see `read_image_metadata`. The new file has none.

    Raises:
        InvalidMedia: No frame can be read.
        DiskFull: The disk is full.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=("WEBP", "PNG")) as image:
            skipped = int(bool(getattr(image, "default_image", False)))  # a PNG image for viewers without animation
            count = getattr(image, "n_frames", 1) - skipped
            check(*image.size, count)
            with open_output(target, "mov") as output:
                stream = output.add_stream("png", options=_PNG_OPTIONS)
                written = 0
                for packet in _packets(_frames(image, range(skipped, skipped + count), check), stream):
                    output.mux_one(packet)
                    written += 1
                if not written:
                    raise InvalidMedia(UNREADABLE)  # noqa: TRY301 - the handler lets it pass
            found = read_image_metadata(image)
    except FramepackError:
        raise
    except Exception as error:  # Pillow's decoders raise any exception for damaged files
        raise InvalidMedia(UNREADABLE) from error
    if written < count:
        warn(f"The end of the file is missing: of {count} frames it holds {written}.")
    return found


def _frames(image: Image, numbers: range, check: Check) -> Iterator[tuple[Image, float]]:
    """The frames of an image, each with its duration in milliseconds, as far as they can be read."""
    for number in numbers:
        check(*image.size, len(numbers))
        try:
            image.seek(number)
            image.load()
        except Exception:  # noqa: BLE001 - as above
            return
        duration = float(image.info.get("duration") or 0)
        yield to_eight_bits(image), duration if duration >= _LEAST_MS else _DEFAULT_MS


def _packets(frames: Iterator[tuple[Image, float]], stream: VideoStream) -> Iterator[Any]:
    """Encode frames; each packet lasts as long as its frame."""
    import av
    import numpy as np
    from av.codec.context import ThreadType

    codec, elapsed, layout, pixel_format = stream.codec_context, 0.0, "", ""
    for image, milliseconds in frames:
        if not layout:
            has_alpha = image.has_transparency_data or image.mode in {"RGBA", "LA", "PA"}
            layout, pixel_format = ("RGBA", "rgba") if has_alpha else ("RGB", "rgb24")
            codec.width, codec.height = image.size
            codec.pix_fmt = pixel_format
            codec.time_base = stream.time_base = _TIME_BASE
            codec.thread_type = ThreadType.NONE  # threads would delay packets
        frame = av.VideoFrame.from_ndarray(np.asarray(image.convert(layout)), pixel_format)
        begin, elapsed = elapsed, elapsed + milliseconds
        frame.pts, frame.time_base = round(begin * _TICKS_PER_MS), _TIME_BASE
        for packet in stream.encode(frame):
            packet.duration = round(elapsed * _TICKS_PER_MS) - round(begin * _TICKS_PER_MS)
            yield packet
