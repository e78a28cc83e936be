"""A clip: lazy, re-iterable video. Nothing is decoded until somebody iterates ``frames()``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import av


class Matrix(IntEnum):
    """How RGB and YUV relate; the numbers are those of ITU-T H.273 and of FFmpeg."""

    BT709 = 1
    BT601 = 6
    BT2020 = 9

    @property
    def red_blue(self) -> tuple[float, float]:
        """Weights (Kr, Kb) of red and blue in luma."""
        return {
            Matrix.BT709: (0.2126, 0.0722),
            Matrix.BT601: (0.299, 0.114),
            Matrix.BT2020: (0.2627, 0.0593),
        }[self]


@dataclass(frozen=True, slots=True)
class Colors:
    """What the numbers of a frame mean. Never unknown: an untagged source gets its likely tags when opened.

    ``primaries`` and ``transfer`` are H.273 numbers, carried through untouched. ``full_range`` is true when luma
    spans 0..255 instead of 16..235 (for 8 bits).
    """

    matrix: Matrix = Matrix.BT709
    primaries: int = 1
    transfer: int = 1
    full_range: bool = False


class Frame(Protocol):
    """One frame, at home on the host or on the device; read-only."""

    @property
    def width(self) -> int:
        """Pixels in a row."""

    @property
    def height(self) -> int:
        """Rows."""

    def on_host(self) -> av.VideoFrame:
        """The frame as planar YUV in host memory (converted and fetched once if it is on the device)."""


@dataclass(frozen=True, slots=True)
class HostFrame:
    """A decoded frame as the decoder left it: planar YUV, 8 to 16 bits."""

    video: av.VideoFrame

    @property
    def width(self) -> int:
        """Pixels in a row."""
        return self.video.width

    @property
    def height(self) -> int:
        """Rows."""
        return self.video.height

    def on_host(self) -> av.VideoFrame:
        """The frame itself."""
        return self.video


@dataclass(frozen=True, slots=True)
class AudioSource:
    """A clip's audio: stream ``stream`` of the file ``path``.

    ``delay`` is the time in seconds from the clip's first frame to the audio's first sample (may be negative).
    """

    path: Path
    stream: int
    delay: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class StretchedAudio:
    """An audio played ``speed`` times as fast, its pitch kept."""

    audio: AudioPlan
    speed: Fraction


@dataclass(frozen=True, slots=True)
class ReversedAudio:
    """The first ``seconds`` of an audio, backwards."""

    audio: AudioPlan
    seconds: Fraction


@dataclass(frozen=True, slots=True)
class Sequence:
    """Audio one after another, each cut or filled with silence to exactly its seconds; None is silence."""

    parts: tuple[tuple[AudioPlan | None, Fraction], ...]


AudioPlan = AudioSource | StretchedAudio | ReversedAudio | Sequence
"""A plan of a clip's audio: how to make it from files, not samples."""

Format = Literal["mp4", "webm", "gif"]


@dataclass(frozen=True, slots=True)
class Encoding:
    """What file a clip becomes.

    Attributes:
        format: MP4 (H.264, AAC), WebM (VP9, Opus) or an animated GIF (no audio).
        quality: 0 to 100, higher is better and larger; None is the deployment's own choice.
    """

    format: Format = "mp4"
    quality: int | None = None

    @property
    def extension(self) -> str:
        """The end of the file's name, with its dot."""
        return f".{self.format}"

    @property
    def content_type(self) -> str:
        """The file's media type."""
        return {"mp4": "video/mp4", "webm": "video/webm", "gif": "image/gif"}[self.format]


@dataclass(frozen=True, slots=True)
class Clip:
    """Video at a constant frame rate.

    Attributes:
        frames: Starts decoding; call again to iterate again. Closing the iterator stops all work behind it.
        fps: Exact frames per second (30000/1001, never 29.97).
        width: Pixels in a row of every frame.
        height: Rows of every frame.
        length: Number of frames that ``frames`` gives, or None while unknown.
        colors: What the pixels mean.
        audio: The audio that belongs to the frames, or None.
        pixel_aspect: Width of a pixel over its height.
        encoding: What file it is to become.
        repeats: How often frames and audio are shown in all. They are computed and encoded once; an effect that
            changes each frame by itself need not care, any other begins with ``unrolled``.
    """

    frames: Callable[[], Iterator[Frame]]
    fps: Fraction
    width: int
    height: int
    length: int | None
    colors: Colors = Colors()
    audio: AudioPlan | None = None
    pixel_aspect: Fraction = Fraction(1)
    encoding: Encoding = Encoding()
    repeats: int = 1

    @property
    def shown_frames(self) -> int | None:
        """Number of frames with all repeats, or None while unknown."""
        return None if self.length is None else self.length * self.repeats

    @property
    def duration_seconds(self) -> float | None:
        """Length in seconds with all repeats, or None while unknown."""
        return None if self.shown_frames is None else float(self.shown_frames / self.fps)

    @contextmanager
    def playing(self) -> Iterator[Iterator[Frame]]:
        """Iterate over the frames; at the end of the ``with`` block all work behind them stops."""
        frames = self.frames()
        try:
            yield frames
        finally:
            close = getattr(frames, "close", None)
            if close is not None:
                close()

    def unrolled(self) -> Clip:
        """The same video with its repeats written out as frames, for effects that look from one frame to the next.

        Its frames are computed anew for each repeat.

        Raises:
            ValueError: It is repeated and its length is unknown.
        """
        if self.repeats == 1:
            return self
        if self.length is None:
            raise ValueError("a clip of unknown length cannot be unrolled")
        once = replace(self, repeats=1)

        def frames() -> Iterator[Frame]:
            for _ in range(self.repeats):
                yield from once.frames()

        audio = None if self.audio is None else Sequence(((self.audio, self.length / self.fps),) * self.repeats)
        return replace(once, frames=frames, length=self.shown_frames, audio=audio)

    def with_frames(self, frames: Callable[[], Iterator[Frame]], *, width: int, height: int) -> Clip:
        """The same timeline and audio with other frames."""
        return replace(self, frames=frames, width=width, height=height)
