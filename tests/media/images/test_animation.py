"""Animated WebP and PNG files are sources like any video: every frame, its time, and the last one's duration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from framepack.media.images.animation import animation_format
from tests.support.clips import barred, bars_of
from tests.support.odd_files import animated
from tests.support.readback import read_back
from tests.support.runs import Bench, bench

SUFFIXES = (".webp", ".png")


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker that encodes quickly."""
    return bench(tmp_path, video_preset="ultrafast")


@pytest.mark.parametrize("kind", [(suffix, mode) for suffix in SUFFIXES for mode in ("RGB", "RGBA")])
@pytest.mark.parametrize(
    ("durations", "fps", "shown"),
    [
        ([40] * 10, 25, list(range(10))),
        ([100] * 9 + [2000], 10, [*range(9), *[9] * 20]),
        ([50, 100, 50, 150, 50], 20, [0, 1, 1, 2, 3, 3, 3, 4]),
    ],
)
def test_frames_times_and_the_last_duration_are_right(
    worker: Bench, tmp_path: Path, kind: tuple[str, str], durations: list[int], fps: int, shown: list[int]
) -> None:
    """Each frame is shown as long as the file says."""
    source = animated(tmp_path / f"a{kind[0]}", durations, kind[1])
    answer = worker.run("export", source, format="MP4")
    back = read_back(worker.output(answer))
    assert [bars_of(frame) for frame in back.frames] == shown
    assert back.rate == fps
    assert "warnings" not in answer


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("operation", ["loop", "extract_frames", "filters", "analyze"])
def test_every_operation_takes_animations(worker: Bench, tmp_path: Path, suffix: str, operation: str) -> None:
    """Ten frames at 25 per second are ten frames."""
    fields: dict[str, Any] = {"brightness": 5} if operation == "filters" else {}
    answer = worker.run(operation, animated(tmp_path / f"a{suffix}", [40] * 10), **fields)
    assert "error" not in answer, answer
    if operation == "extract_frames":
        assert answer["frame_count"] == 10
    elif operation == "analyze":
        assert answer["analysis"]["total_frames"] == 10
        assert answer["analysis"]["codec"] == {".webp": "webp", ".png": "apng"}[suffix]
        assert answer["analysis"]["duration"] == "0.4 seconds"
        assert answer["analysis"]["file_size"] == f"{(tmp_path / f'a{suffix}').stat().st_size} B"
    else:
        assert len(read_back(worker.output(answer)).frames) == {"loop": 20, "filters": 10}[operation]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_animations_are_saved_byte_for_byte(worker: Bench, tmp_path: Path, suffix: str) -> None:
    """As the files they are, with the extension of their format."""
    source = animated(tmp_path / f"a{suffix}", [40] * 3)
    answer = worker.run("save_video", source)
    output = worker.folder / answer["saved_path"].removeprefix("/")
    assert output.suffix == suffix
    assert output.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_transparency_looks_as_in_a_gif(worker: Bench, tmp_path: Path, suffix: str) -> None:
    """Transparent is black, and half transparent is half as bright."""
    rgba = np.zeros((48, 64, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[:, 16:32, 3], rgba[:, 32:, 3] = 128, 255
    frames = []
    for shift in range(3):
        moved = rgba.copy()
        moved[:4, :4] = (40 * shift, 0, 0, 255)
        frames.append(Image.fromarray(moved, "RGBA"))
    lossless: dict[str, Any] = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    path = tmp_path / f"a{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40, **lossless)
    shown = read_back(worker.output(worker.run("export", path, format="MP4"))).frames[0]
    assert shown[24, 8].max() <= 6
    assert abs(int(shown[24, 24, 0]) - 100) <= 12
    assert abs(int(shown[24, 56, 0]) - 200) <= 12


def test_the_default_image_of_a_png_is_no_frame(worker: Bench, tmp_path: Path) -> None:
    """It is for viewers without animation."""
    path = tmp_path / "a.png"
    images = [Image.fromarray(barred(index, 64, 48)) for index in range(4)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=40, default_image=True)
    back = read_back(worker.output(worker.run("export", path)))
    assert [bars_of(frame) for frame in back.frames] == [1, 2, 3]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_still_images_are_refused(worker: Bench, tmp_path: Path, suffix: str) -> None:
    """A still image is refused with the list of what is accepted, an animation of two frames is not."""
    still = tmp_path / f"still{suffix}"
    Image.fromarray(barred(0, 64, 48)).save(still)
    assert animation_format(still) is None
    answer = worker.run("export", still)
    assert answer["code"] == "invalid_media"
    assert "animated WebP and animated PNG files are accepted." in answer["error"]
    assert len(read_back(worker.output(worker.run("export", animated(still, [40, 40])))).frames) == 2


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_limits_hold_before_anything_is_decoded(tmp_path: Path, suffix: str) -> None:
    """Pixels and frames are those of the header."""
    source = animated(tmp_path / f"a{suffix}", [40] * 10)
    for number, limit in enumerate(({"max_frames": 5}, {"max_pixels": 1024})):
        answer = bench(tmp_path / str(number), **limit).run("export", source)
        assert answer["status"] == 413
        assert f"at most {next(iter(limit.values()))} are allowed" in answer["error"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_cut_animation_gives_what_is_there_and_says_so(worker: Bench, tmp_path: Path, suffix: str) -> None:
    """Frames before the cut are kept; noise after the header is a refusal, not a crash."""
    source = animated(tmp_path / f"a{suffix}", [40] * 10)
    data = source.read_bytes()
    for kept in (0.15, 0.5, 0.9):
        source.write_bytes(data[: round(len(data) * kept)])
        answer = worker.run("export", source)
        if "error" in answer:
            assert "can be read" in answer["error"]
        else:
            assert [sentence.startswith("The end of the file is missing") for sentence in answer["warnings"]] == [
                True
            ]
    assert worker.leftovers() == []
