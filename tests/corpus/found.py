"""Reading of what operations made, by PyAV and Pillow alone, and the comparison with what must be there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageSequence

from framepack.media.clip import Colors
from tests.corpus.operations import GIF_RATE, Expected
from tests.corpus.row import patches_of
from tests.support.clips import Pixels, bars_of
from tests.support.readback import beep_times, read_back

_BEEP_TOLERANCE = 0.045
_AUDIO_TOLERANCE = 0.12


@dataclass(frozen=True)
class Found:
    """What a file holds; each frame with the seconds for which it is shown."""

    frames: list[Pixels]
    durations: list[Fraction]
    fps: Fraction | None = None
    aspect: Fraction | None = None
    colors: Colors | None = None
    beeps: tuple[float, ...] | None = None
    audio_seconds: float = 0
    title: str | None = None

    @classmethod
    def video(cls, path: Path) -> Found:
        """What an MP4 or WebM file holds."""
        back = read_back(path)
        with av.open(str(path)) as container:
            title = container.metadata.get("title")
            has_audio = bool(container.streams.audio)
        beeps, seconds = None, 0.0
        if has_audio:
            beeps = tuple(beep_times(path))
            with av.open(str(path)) as container:
                seconds = max((float(frame.time or 0) for frame in container.decode(audio=0)), default=0.0)
        ends = [*back.times[1:], back.times[-1] + 1 / (back.rate or 1)]
        durations = [Fraction(end - begin) for begin, end in zip(back.times, ends, strict=True)]
        return cls(back.frames, durations, back.rate, back.aspect or Fraction(1), back.colors, beeps, seconds, title)

    @classmethod
    def gif(cls, path: Path) -> Found:
        """What a GIF holds."""
        with Image.open(path) as image:
            pages = [
                (np.asarray(page.convert("RGB")), page.info["duration"]) for page in ImageSequence.Iterator(image)
            ]
        return cls([page for page, _ in pages], [Fraction(round(ms), 1000) for _, ms in pages])

    @classmethod
    def images(cls, folder: Path) -> Found:
        """What a folder of images holds."""
        frames = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.glob("*.png"))]
        return cls(frames, [Fraction(0)] * len(frames))


def differences(found: Found, wanted: Expected, tolerance: int) -> Iterator[str]:
    """What differs in a video, one sentence each."""
    numbers = [bars_of(frame) for frame in found.frames]
    seen = [None if want is None else have for have, want in zip(numbers, wanted.numbers, strict=False)]
    if len(numbers) != len(wanted.numbers):
        yield f"count: {len(numbers)} frames, not {len(wanted.numbers)}: {numbers}"
    elif tuple(seen) != wanted.numbers:
        yield f"order: {numbers}, not {wanted.numbers}"
    if found.fps is None or abs(found.fps - wanted.fps) > wanted.fps / 2000:
        yield f"rate: {found.fps}, not {wanted.fps}"
    if found.aspect != wanted.aspect:
        yield f"pixel aspect: {found.aspect}, not {wanted.aspect}"
    length, expected_length = float(sum(found.durations)), float(len(wanted.numbers) / wanted.fps)
    if abs(length - expected_length) > 0.01 + 0.001 * expected_length:
        yield f"length: {length} s, not {expected_length}"
    if found.colors != wanted.colors:
        yield f"color tags: {found.colors}, not {wanted.colors}"
    if found.title != wanted.title:
        yield f"title: {found.title}, not {wanted.title}"
    yield from _size_and_colors(found, wanted, tolerance)
    yield from _sync(found, wanted, expected_length)


def differences_of_gif(found: Found, wanted: Expected, tolerance: int) -> Iterator[str]:
    """What differs in a GIF, whose frames are those of the grid of 10 ms."""
    begin, places = Fraction(0), []
    for frame, duration in zip(found.frames, found.durations, strict=True):
        slot = round(begin * wanted.fps)
        near = wanted.numbers[max(0, slot - 1) : slot + 2]
        if bars_of(frame) not in near and None not in near:
            yield f"order: frame {bars_of(frame)} at {float(begin)} s, not one of {near}"
        places.append(bars_of(frame))
        begin += duration
    distinct = [number for number, _ in groupby(wanted.numbers)]
    shown = [number for number, _ in groupby(places)]
    if wanted.fps <= GIF_RATE and None not in distinct and shown != distinct:
        yield f"count: {shown}, not {distinct}"
    expected_length = len(wanted.numbers) / wanted.fps
    if abs(begin - expected_length) > Fraction(1, 50):
        yield f"length: {float(begin)} s, not {float(expected_length)}"
    yield from _size_and_colors(found, wanted, tolerance + 6)


def differences_of_images(found: Found, wanted: Expected, tolerance: int) -> Iterator[str]:
    """What differs in a folder of images."""
    numbers = tuple(bars_of(frame) for frame in found.frames)
    seen = tuple(None if want is None else have for have, want in zip(numbers, wanted.numbers, strict=False))
    if len(numbers) != len(wanted.numbers) or seen != wanted.numbers:
        yield f"order: {numbers}, not {wanted.numbers}"
    yield from _size_and_colors(found, wanted, tolerance)


def _size_and_colors(found: Found, wanted: Expected, tolerance: int) -> Iterator[str]:
    sizes = {frame.shape[1::-1] for frame in found.frames}
    if sizes != {wanted.size}:
        yield f"size: {sizes}, not {wanted.size}"
    if not wanted.patches or not found.frames:
        return
    for place in (0, len(found.frames) // 2 // 2 * 2):
        colors = patches_of(found.frames[place], len(wanted.patches))
        if np.abs(np.array(colors) - np.array(wanted.patches)).max() > tolerance:
            yield f"colors of frame {place}: {colors}, not {wanted.patches}"


def _sync(found: Found, wanted: Expected, seconds: float) -> Iterator[str]:
    if (found.beeps is None) != (wanted.beeps is None):
        yield f"audio: beeps {found.beeps}, not {wanted.beeps}"
    elif found.beeps is not None and wanted.beeps is not None:
        pairs = list(zip(found.beeps, wanted.beeps, strict=False))
        if len(found.beeps) != len(wanted.beeps) or any(abs(one - two) > _BEEP_TOLERANCE for one, two in pairs):
            yield f"sync: beeps {found.beeps}, not {wanted.beeps}"
        if found.audio_seconds > seconds + _AUDIO_TOLERANCE:
            yield f"audio: {found.audio_seconds} s, longer than {seconds}"


def differences_of_sentences(found: Sequence[str], wanted: Sequence[str]) -> Iterator[str]:
    """What differs in warnings; ``#`` in a wanted one stands for any number."""
    patterns = [re.escape(sentence).replace(r"\#", "#").replace("#", r"[\d.]+") for sentence in wanted]
    missing = [
        sentence
        for sentence, pattern in zip(wanted, patterns, strict=True)
        if not any(re.fullmatch(pattern, each) for each in found)
    ]
    extra = [each for each in found if not any(re.fullmatch(pattern, each) for pattern in patterns)]
    if missing or extra:
        yield f"warnings: missing {missing}, extra {extra}"
