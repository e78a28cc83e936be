"""Frames that are interlaced without being flagged so are deinterlaced; patterns that look like combs are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from framepack.media.images.convert import to_rgb
from framepack.media.read.deinterlace import DEINTERLACED, UNFLAGGED
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from tests.support.clips import real_clip

Image = NDArray[np.uint8]
HEIGHT, WIDTH = 96, 160
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
DETAIL = np.random.default_rng(3).integers(0, 255, (HEIGHT + 200, WIDTH + 200), np.uint8)


def write(path: Path, images: Iterable[Image], pix_fmt: str = "yuv420p") -> Path:
    """Write gray images, progressive as far as the file says."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "4", "preset": "ultrafast"})
        stream.height, stream.width = HEIGHT, WIDTH
        stream.pix_fmt = pix_fmt
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "gray").reformat(format=pix_fmt)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def moving(time: float) -> Image:
    """A bright bar on a soft ground, at a moment counted in fields."""
    image = np.full((HEIGHT, WIDTH), 70, np.uint8)
    left = round(10 + 3 * time) % (WIDTH - 20)
    image[10:-10, left : left + 14] = 220
    return image


def woven(count: int, *, top_first: bool = True, paint: Callable[[float], Image] = moving) -> Iterable[Image]:
    """Frames of two fields each."""
    for number in range(count):
        first, second = paint(2 * number), paint(2 * number + 1)
        yield np.where((ROWS % 2 == 0) == top_first, first, second)


def noisy(image: Image, number: int, most: int = 40) -> Image:
    """An image with noise, other for each number."""
    noise = np.random.default_rng(number).integers(-most, most + 1, image.shape)
    return np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8)


def band_and_noise(number: int) -> Image:
    """A band in steps of doubled pixels that moves, and still noise beside it, as in FFmpeg's ``testsrc2``."""
    steps = (ROWS // 2 * 2 - COLUMNS // 2 // 4 * 2 + 100 - 2 * number) % 48
    image = np.where((steps < 12) & (COLUMNS < 120), 200, 90).astype(np.uint8)
    image[:, 130:] = np.random.default_rng(number).integers(60, 200, (HEIGHT, WIDTH - 130))
    return image


def telecined(count: int) -> Iterable[Image]:
    """Film at four frames for each five of television: two of five are woven."""
    for group in range(count):
        one, two, three, four = (moving(8 * group + 2 * number) for number in range(4))
        yield from (one, two, np.where(ROWS % 2 == 0, two, three), np.where(ROWS % 2 == 0, three, four), four)


def decoded(path: Path) -> tuple[list[Image], list[str]]:
    """The luma-like middle channel of all frames, and the sentences."""
    warnings: list[str] = []
    clip = open_clip(path, probe(path), warn=warnings.append)
    return [to_rgb(frame)[..., 1] for frame in clip.frames()], warnings


def comb_energy(images: Iterable[Image]) -> float:
    """How much adjacent rows differ on average, without the ends of the bar."""
    return max(float(np.abs(np.diff(image[16:-16].astype(int), axis=0)).mean()) for image in images)


@pytest.mark.parametrize("top_first", [True, False], ids=["top first", "bottom first"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv420p10le"])
def test_combs_without_a_flag_are_deinterlaced_from_the_first_frame_on(
    tmp_path: Path, pix_fmt: str, *, top_first: bool
) -> None:
    """Each frame becomes one without combs, at its place."""
    path = write(tmp_path / "a.mkv", woven(40, top_first=top_first), pix_fmt)
    images, warnings = decoded(path)
    assert (len(images), warnings) == (40, [UNFLAGGED])
    assert comb_energy(woven(40)) > 5
    assert comb_energy(images) < 1
    places = [int((image[HEIGHT // 2] > 150).argmax()) for image in images]
    wanted = [int((moving(2 * number + 0.5)[HEIGHT // 2] > 150).argmax()) for number in range(40)]
    assert np.abs(np.subtract(places, wanted)).max() <= 4


@pytest.mark.parametrize("count", [8, 9, 10])
def test_short_clips_are_deinterlaced(tmp_path: Path, count: int) -> None:
    """The last frame may be the one that makes it clear."""
    images, warnings = decoded(write(tmp_path / "a.mkv", woven(count)))
    assert (len(images), warnings) == (count, [UNFLAGGED])
    assert comb_energy(images) < 1


@pytest.mark.parametrize("count", [5, 7])
def test_very_short_clips_have_a_sentence(tmp_path: Path, count: int) -> None:
    """They are too short to be sure."""
    images, warnings = decoded(write(tmp_path / "a.mkv", woven(count)))
    assert len(images) == count
    assert [sentence for sentence in warnings if "look interlaced, although" in sentence] == warnings != []


def test_combs_in_noise_are_deinterlaced(tmp_path: Path) -> None:
    """As in captures of tapes, where fine detail hides most of them."""
    path = write(tmp_path / "a.mkv", (noisy(image, number) for number, image in enumerate(woven(40))))
    images, warnings = decoded(path)
    assert (len(images), warnings) == (40, [UNFLAGGED])


def test_combs_that_begin_after_a_still_are_deinterlaced(tmp_path: Path) -> None:
    """Where nothing moves, nothing shows; a later look finds them."""
    path = write(tmp_path / "a.mkv", chain([moving(0)] * 130, woven(140)))
    images, warnings = decoded(path)
    assert (len(images), warnings) == (270, [UNFLAGGED])
    assert comb_energy(images[-20:]) < 1


def test_film_in_television_without_a_flag_has_a_sentence(tmp_path: Path) -> None:
    """Two frames of five are combed; deinterlacing would spoil the others."""
    images, warnings = decoded(write(tmp_path / "a.mkv", telecined(12)))
    assert len(images) == 60
    assert [sentence for sentence in warnings if "look interlaced, although" in sentence] == warnings != []


PATTERNS: dict[str, Callable[[int], Image]] = {
    "stripes that move": lambda n: ((ROWS + n) % 2 * 200).astype(np.uint8),
    "stripes that move slowly": lambda n: ((ROWS + n // 3) % 2 * 200).astype(np.uint8),
    "thick stripes that move": lambda n: ((ROWS + n) // 3 % 2 * 200).astype(np.uint8),
    "a checkerboard that moves": lambda n: ((ROWS + COLUMNS + n) % 2 * 200).astype(np.uint8),
    "detail that moves up": lambda n: DETAIL[n : n + HEIGHT, :WIDTH],
    "detail that moves up by three": lambda n: DETAIL[3 * n : 3 * n + HEIGHT, :WIDTH],
    "detail that moves left": lambda n: DETAIL[:HEIGHT, 2 * n : 2 * n + WIDTH],
    "light that flickers": lambda n: np.full((HEIGHT, WIDTH), 100 + 60 * (n % 2), np.uint8),
    "a bar that moves": lambda n: moving(2 * n),
    "a bar that falls": lambda n: np.roll(moving(0), n, 0),
    "a bar over stripes": lambda n: np.maximum(moving(2 * n), (ROWS % 2 * 120).astype(np.uint8)),
    "a bar whose rows lean": lambda n: np.stack([np.roll(row, k // 4) for k, row in enumerate(moving(2 * n))]),
    "doubled rows": lambda n: np.repeat(DETAIL[n : n + HEIGHT // 2, 2 * n : 2 * n + WIDTH], 2, axis=0),
    "thin lines that lean": lambda n: (((COLUMNS + ROWS // 2 + 3 * n) % 24 == 0) * 200 + 20).astype(np.uint8),
    "noise": lambda n: np.random.default_rng(n).integers(0, 255, (HEIGHT, WIDTH), np.uint8),
    "a band of doubled pixels beside noise": band_and_noise,
    "another scene each frame": lambda n: np.roll(DETAIL, 37 * n, 1)[:HEIGHT, :WIDTH],
}


@pytest.mark.parametrize("name", PATTERNS)
def test_progressive_patterns_are_no_combs(tmp_path: Path, name: str) -> None:
    """They come out as they were, without a sentence."""
    path = write(tmp_path / "a.mkv", (PATTERNS[name](number) for number in range(50)), "yuv444p")
    images, warnings = decoded(path)
    with av.open(str(path)) as container:
        plain = [frame.to_ndarray(format="rgb24")[..., 1] for frame in container.decode(video=0)]
    assert warnings == []
    assert len(images) == len(plain)
    assert max(np.abs(one.astype(int) - two).max() for one, two in zip(images, plain, strict=True)) <= 3


@pytest.mark.parametrize("name", ["bikes", "bigbuckbunny"])
def test_real_progressive_clips_have_no_combs(name: str) -> None:
    """A street and an animation."""
    _, warnings = decoded(real_clip(name))
    assert not {UNFLAGGED, DEINTERLACED} & set(warnings)
    assert "interlaced" not in " ".join(warnings)


def test_a_real_clip_whose_fields_were_woven_is_deinterlaced(tmp_path: Path) -> None:
    """Two frames of it become the fields of one."""
    with av.open(str(real_clip("bikes"))) as container:
        plain = [frame.to_ndarray(format="gray")[:HEIGHT, :WIDTH] for frame in container.decode(video=0)][:160]
    frames = (np.where(ROWS % 2, plain[2 * number + 1], plain[2 * number]) for number in range(80))
    images, warnings = decoded(write(tmp_path / "a.mkv", frames))
    assert (len(images), warnings) == (80, [UNFLAGGED])
