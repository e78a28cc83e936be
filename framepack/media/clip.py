"""Clips: lazy video that can be iterated repeatedly. Nothing is decoded until ``frames()`` is iterated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import av


class Matrix(IntEnum):
    """The matrix between RGB and YUV; the numbers are those of ITU-T H.273 and FFmpeg."""

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
    """The color tags of a clip. Never unknown: an untagged source gets its most likely tags when it is opened.

    Attributes:
        matrix: The matrix between RGB and YUV.
        primaries: Color primaries as an H.273 number, passed through unchanged.
        transfer: Transfer characteristics as an H.273 number, passed through unchanged.
        full_range: Whether luma spans 0..255 instead of 16..235 (for 8 bits).
    """

    matrix: Matrix = Matrix.BT709
    primaries: int = 1
    transfer: int = 1
    full_range: bool = False


class Frame(Protocol):
    """One frame, stored in host memory or in device memory; read-only."""

    @property
    def width(self) -> int:
        """Pixels in a row."""

    @property
    def height(self) -> int:
        """Rows."""

    @property
    def size_bytes(self) -> int:
        """The host memory that it takes."""

    def start_download(self) -> None:
        """Start bringing a frame on a GPU to host memory, where it will be needed. Nothing is waited for."""

    def on_host(self) -> av.VideoFrame:
        """The frame as planar YUV in host memory. A frame on the device is converted and downloaded once."""


@dataclass(frozen=True, slots=True)
class HostFrame:
    """A frame in host memory: planar YUV, 8 to 16 bits; in clips with alpha, it is a fourth plane."""

    video: av.VideoFrame

    @property
    def width(self) -> int:
        """Pixels in a row."""
        return self.video.width

    @property
    def height(self) -> int:
        """Rows."""
        return self.video.height

    @property
    def size_bytes(self) -> int:
        """Size of its planes."""
        return sum(plane.buffer_size for plane in self.video.planes)

    def start_download(self) -> None:
        """Do nothing: it is there."""

    def on_host(self) -> av.VideoFrame:
        """The frame itself."""
        return self.video


ClockJumps = tuple[tuple[int, Fraction], ...]
"""Jumps of a stream's clock: for each the number of the first packet after it, and seconds to add to times from there
on."""


@dataclass(frozen=True, slots=True)
class ProbedAudio:
    """What ``probe`` has found of an audio stream.

    Attributes:
        start: Its first timestamp in seconds; 0 if it is not known.
        rate: Samples per second.
        channels: FFmpeg's names of its channels, in order.
    """

    start: Fraction
    rate: int
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AudioSource:
    """An audio stream of a file, as the audio of a clip.

    Attributes:
        path: The file.
        stream: Index of the audio stream in the file.
        delay: Seconds from the clip's first frame to the first audio sample; may be negative.
        clock_jumps: Where its clock starts anew or jumps.
        ignores_edits: Whether the edit list of the stream does not count.
        probed: What is known of the stream without opening the file again; None if nothing is.
    """

    path: Path
    stream: int
    delay: Fraction = Fraction(0)
    clock_jumps: ClockJumps = ()
    ignores_edits: bool = False
    probed: ProbedAudio | None = None


@dataclass(frozen=True, slots=True)
class StretchedAudio:
    """Audio played ``speed`` times as fast at the same pitch."""

    audio: AudioPlan
    speed: Fraction


@dataclass(frozen=True, slots=True)
class ReversedAudio:
    """The first ``seconds`` of some audio, played backwards."""

    audio: AudioPlan
    seconds: Fraction


@dataclass(frozen=True, slots=True)
class AudioSequence:
    """Audio played one after another, each part trimmed or padded to exactly its seconds; None is silence."""

    parts: tuple[tuple[AudioPlan | None, Fraction], ...]


AudioPlan = AudioSource | StretchedAudio | ReversedAudio | AudioSequence
"""A description of a clip's audio: how to render it from files. It holds no samples."""


@dataclass(slots=True)
class Marks:
    """Marks of a source that only some outputs keep.

    Attributes:
        is_stereo: Whether its frames hold the views of both eyes (3D).
        captioned: Number of frames with closed captions, so far, when it was last decoded.
    """

    is_stereo: bool = False
    captioned: int = 0


Format = Literal["mp4", "webm", "gif"]


@dataclass(frozen=True, slots=True)
class Encoding:
    """The file format that a clip is encoded to.

    Attributes:
        format: MP4 (H.264, AAC), WebM (VP9, Opus) or an animated GIF (no audio).
        quality: 0 to 100; higher means better quality and a larger file. None means the deployment's default.
    """

    format: Format = "mp4"
    quality: int | None = None

    @property
    def extension(self) -> str:
        """The file name extension, with the dot."""
        return f".{self.format}"


@dataclass(frozen=True, slots=True)
class Clip:
    """Video at a constant frame rate.

    Attributes:
        frames: Starts decoding; each call iterates from the start. Closing the iterator stops all work behind it.
        fps: Exact frame rate (30000/1001, never 29.97).
        width: Pixels in a row of every frame.
        height: Rows of every frame.
        length: Number of frames that ``frames`` yields, or None if unknown.
        colors: Color tags of the frames.
        audio: The audio of the frames, or None.
        pixel_aspect: Width of a pixel divided by its height (sample aspect ratio).
        encoding: The file format that it is encoded to.
        has_alpha: Whether frames have alpha, beside straight colors. All of them are ``HostFrame`` objects then, and
            only their size may be changed.
        metadata: Names and values of the file's metadata that outputs have, too; see `framepack.media.metadata`.
        marks: Marks of its sources; of one that is shown several times as often.
        repeats: How many times the frames and the audio play in total. They are computed and encoded once. An effect
            that changes each frame independently can ignore this; any other starts with ``expand_repeats``.
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
    has_alpha: bool = False
    metadata: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    marks: tuple[Marks, ...] = field(default=(), repr=False, compare=False)

    @property
    def total_frames(self) -> int | None:
        """Number of frames including repeats, or None if unknown."""
        return None if self.length is None else self.length * self.repeats

    @property
    def encoded_frames(self) -> int | None:
        """Number of frames that are encoded, or None if unknown: except in GIFs, packets are repeated as they are."""
        return self.total_frames if self.encoding.format == "gif" else self.length

    @property
    def duration_seconds(self) -> float | None:
        """Duration in seconds including repeats, or None if unknown."""
        return None if self.total_frames is None else float(self.total_frames / self.fps)

    def expand_repeats(self) -> Clip:
        """Return the same video with every repeat as frames of its own, for effects that compare adjacent frames.

        The frames are computed again for each repeat.

        Raises:
            ValueError: The clip is repeated and its length is unknown.
        """
        if self.repeats == 1:
            return self
        if self.length is None:
            raise ValueError("the repeats of a clip of unknown length cannot be expanded")
        once = replace(self, repeats=1)

        def frames() -> Iterator[Frame]:
            for _ in range(self.repeats):
                yield from once.frames()

        audio = None if self.audio is None else AudioSequence(((self.audio, self.length / self.fps),) * self.repeats)
        return replace(once, frames=frames, length=self.total_frames, audio=audio)

    def with_frames(self, frames: Callable[[], Iterator[Frame]], *, width: int, height: int) -> Clip:
        """Return a clip with the same timing and audio and other frames."""
        return replace(self, frames=frames, width=width, height=height)
