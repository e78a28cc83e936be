"""One row of the corpus: a property of files, how to make one that has it, and what must come out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from framepack.media.clip import Colors
from tests.support.clips import BT709, Pixels, barred

COUNT = 12
BEEP = 0.2
"""Seconds at which the audio of most files beeps: with the frame that most of them show then."""

ENCODING = (
    "export MP4",
    "export WebM",
    "filters",
    "upscale",
    "interpolate",
    "slow motion",
    "loop",
    "ping-pong",
    "join",
    "pipeline",
    "pipeline_from_preset",
    "batch",
)
"""Operations that encode every file anew, in a format that carries what most files have."""

Patches = tuple[tuple[int, int, int], ...]
PATCHES: Patches = ((200, 60, 50), (60, 180, 70), (50, 70, 190), (235, 235, 235))
GRAYS: Patches = ((0, 0, 0), (80, 80, 80), (160, 160, 160), (235, 235, 235))


def card(patches: Patches = PATCHES) -> Callable[[int, int, int], Pixels]:
    """Frames with their number as bars in the upper half, and color patches in the lower one."""

    def frame(index: int, width: int, height: int) -> Pixels:
        image = barred(index, width, height)
        for place, color in enumerate(patches):
            image[height // 2 :, place * width // len(patches) : (place + 1) * width // len(patches)] = color
        return image

    return frame


def patches_of(image: Pixels, count: int = len(PATCHES)) -> list[tuple[int, ...]]:
    """The colors in the middle of the patches that ``card`` drew."""
    height, width, _ = image.shape
    places = [(2 * place + 1) * width // (2 * count) for place in range(count)]
    row = 3 * height // 4
    return [
        tuple(image[row - 2 : row + 2, place - 1 : place + 2].mean((0, 1)).round().astype(int).tolist())
        for place in places
    ]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A property of files.

    Every expected value is declared here. ``#`` in a sentence stands for any number.

    Attributes:
        name: Short name, unique.
        kind: Heading in the documentation.
        says: The property, in the words of the documentation.
        note: What an output has instead, in the words of the documentation; empty if all is kept.
        make: Makes the file in a folder.
        shown: The number of the source frame that each output frame shows at ``fps``; None where damage shows.
        fps: The frame rate of outputs.
        size: Width and height of upright frames.
        aspect: Width of a pixel divided by its height.
        beeps: Seconds at which the audio beeps; None if there is no audio.
        colors: Color tags of outputs.
        patches: The colors of the patches; empty if there are none.
        sdr_patches: Those in outputs that cannot be HDR.
        title: The title that outputs have.
        warnings: Sentences about the file, in every operation that reads it.
        on_decoding: Sentences of operations that decode all frames.
        in_operations: More sentences, by the name of the operation.
        copied: Whether plain loops and joins copy its packets, without decoding.
        refused: The sentence that refuses the file.
        refused_in: The sentences of operations that refuse it, by their names.
        by_url: Whether the operations get the address of the file rather than its content.
        tolerance: Allowed difference of colors, of 255.
        other_reader: Whether FFmpeg's command line shows the same frames.
        differs: Operations that this property cannot be tried with, by their names, with the reason.
    """

    name: str
    kind: str
    says: str
    make: Callable[[Path], Path]
    note: str = ""
    shown: tuple[int | None, ...] = tuple(range(COUNT))
    fps: Fraction = Fraction(25)
    size: tuple[int, int] = (64, 48)
    aspect: Fraction = Fraction(1)
    beeps: tuple[float, ...] | None = (BEEP,)
    colors: Colors = BT709
    patches: Patches = PATCHES
    sdr_patches: Patches | None = None
    title: str | None = None
    warnings: tuple[str, ...] = ()
    on_decoding: tuple[str, ...] = ()
    in_operations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    copied: bool = False
    refused: str | None = None
    refused_in: Mapping[str, str] = field(default_factory=dict)
    by_url: bool = False
    tolerance: int = 12
    other_reader: bool = True
    differs: Mapping[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> Fraction:
        """Length of the video."""
        return len(self.shown) / self.fps
