"""Every operation that takes a video, and what it must make of any row of the corpus."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from framepack.media.clip import Colors
from tests.corpus.row import Patches, Row
from tests.support.clips import BT709

_HDR = {16, 18}
GIF_RATE = 33
"""Up to this rate a GIF of the default quality shows every frame."""


@dataclass(frozen=True)
class Expected:
    """What must come out.

    Attributes:
        numbers: The source frame in each output frame; None where frames are mixed.
        fps: The frame rate.
        size: Width and height.
        aspect: Width of a pixel divided by its height.
        beeps: Seconds at which the audio beeps; None if there is none.
        colors: Color tags; None where files have none.
        patches: Colors of the patches.
        title: The title, None if there must be none.
        warnings: The sentences of the answer.
    """

    numbers: tuple[int | None, ...]
    fps: Fraction
    size: tuple[int, int]
    aspect: Fraction
    beeps: tuple[float, ...] | None
    colors: Colors | None
    patches: Patches
    title: str | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Operation:
    """A way to call an operation.

    Attributes:
        name: How the table calls it.
        endpoint: The operation.
        fields: Its fields.
        changes: Changes what is expected of an operation that keeps everything.
        reads: What the result is: a video, a GIF, images, an analysis, or the file itself.
        copies: Whether it copies packets where it can.
        prefixes: What precedes sentences about the source.
    """

    name: str
    endpoint: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    changes: Callable[[Row, Expected], Expected] = lambda _, expected: expected
    reads: str = "video"
    copies: bool = False
    prefixes: Sequence[str] = ("",)

    def expected(self, row: Row) -> Expected:
        """What must come out of a row."""
        if self.reads == "file":
            about: tuple[str, ...] = ()
        elif self.reads == "analysis" or (self.copies and row.copied):
            about = row.warnings
        else:
            about = row.warnings + row.on_decoding
        sentences = [prefix + sentence for prefix in self.prefixes for sentence in about]
        sentences += row.in_operations.get(self.name, ())
        kept = Expected(
            row.shown,
            row.fps,
            _even(row.size),
            row.aspect,
            row.beeps,
            row.colors,
            row.patches,
            row.title,
            tuple(sentences),
        )
        return self.changes(row, kept)


def _even(size: tuple[int, int]) -> tuple[int, int]:
    width, height = size
    return width + width % 2, height + height % 2


def _squared(row: Row, expected: Expected) -> Expected:
    width = round(row.size[0] * row.aspect)
    return replace(expected, aspect=Fraction(1), size=_even((width, row.size[1])))


def _gif(row: Row, expected: Expected) -> Expected:
    return replace(
        _squared(row, expected), beeps=None, colors=None, title=None, patches=row.sdr_patches or row.patches
    )


def _images(row: Row, expected: Expected) -> Expected:
    patches = row.sdr_patches or row.patches
    return replace(expected, size=row.size, beeps=None, colors=None, title=None, patches=patches)


def _reassembled(row: Row, expected: Expected) -> Expected:
    fps = Fraction(frames_per_second(row))
    pace = float(row.fps / fps)
    beeps = None if row.beeps is None else tuple(pace * beep for beep in row.beeps)
    patches = row.sdr_patches or row.patches
    sentences = row.in_operations.get("reassemble_frames", ())
    colors = BT709 if row.colors.transfer in _HDR else replace(row.colors, full_range=False)
    return replace(expected, fps=fps, beeps=beeps, colors=colors, patches=patches, warnings=sentences)


def frames_per_second(row: Row) -> int:
    """The whole rate at which extracted frames are reassembled."""
    return min(120, max(1, round(row.fps)))


def _doubled_size(row: Row, expected: Expected) -> Expected:
    return replace(expected, size=(2 * row.size[0], 2 * row.size[1]))


def _twice(row: Row, expected: Expected) -> Expected:
    beeps = row.beeps and (*row.beeps, *(float(row.seconds) + beep for beep in row.beeps))
    return replace(expected, numbers=row.shown * 2, beeps=beeps)


def _there_and_back(row: Row, expected: Expected) -> Expected:
    count = len(row.shown)
    numbers = row.shown + row.shown[-2:0:-1]
    end = float((2 * count - 1) / row.fps)
    beeps = row.beeps and (*row.beeps, *(end - beep - 0.05 for beep in reversed(row.beeps)))
    if beeps and count <= 2:
        beeps = row.beeps
    return replace(expected, numbers=numbers, beeps=beeps)


def _between(row: Row, expected: Expected) -> Expected:
    numbers = [number for own in row.shown for number in (own, None)]
    return replace(expected, numbers=tuple(numbers), fps=2 * row.fps)


def _slow(row: Row, expected: Expected) -> Expected:
    numbers = [number for own in row.shown for number in (own, own)]
    beeps = row.beeps and tuple(2 * beep for beep in row.beeps)
    return replace(expected, numbers=tuple(numbers), beeps=beeps)


_SHARPER = {"sharpen": 0.1}
_STEPS = [{"type": "filters", "params": _SHARPER}, {"type": "loop", "params": {"num_loops": 1}}]
_EXPORT = [{"type": "export", "params": {"format": "WebM"}}]

OPERATIONS = (
    Operation("analyze", "analyze", reads="analysis"),
    Operation("export MP4", "export", {"format": "MP4"}, _squared),
    Operation("export WebM", "export", {"format": "WebM"}, _squared),
    Operation("export GIF", "export", {"format": "GIF", "quality": 100}, _gif, "gif"),
    Operation("filters", "filters", _SHARPER),
    Operation("upscale", "upscale", {"model": "nearest", "scale_factor": 2}, _doubled_size),
    Operation("interpolate", "interpolate", {"fps_mode": "2x"}, _between),
    Operation("slow motion", "interpolate", {"fps_mode": "No Interpolation", "speed_factor": 0.5}, _slow),
    Operation("loop", "loop", {"num_loops": 1}, _twice, copies=True),
    Operation("ping-pong", "loop", {"loop_type": "ping-pong"}, _there_and_back),
    Operation("join", "join", {}, _twice, copies=True, prefixes=("video_urls[0]: ", "video_urls[1]: ")),
    Operation("pipeline", "pipeline", {"operations": _STEPS}, _twice),
    Operation("pipeline_from_preset", "pipeline_from_preset", {"preset_name": "corpus"}),
    Operation("batch", "batch", {"operations": _EXPORT}, _squared),
    Operation("save_video", "save_video", reads="file"),
    Operation("extract_frames", "extract_frames", {}, _images, "images"),
    Operation("reassemble_frames", "reassemble_frames", {"with_audio": True}, _reassembled),
)
"""All ways in which the table calls the operations that take a video."""
