"""Clips opened from files: pixels, timing, formats and clean-up."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Generator
from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from framepack.errors import InvalidMedia
from framepack.media.clip import Clip, Colors, Frame, Matrix
from framepack.media.images.convert import to_rgb
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from tests.support.clips import (
    Pixels,
    Spec,
    flat,
    make_clip,
    number_of,
    numbered,
    scene,
)
from tests.support.readback import psnr, rgb_of
from tests.support.rest_server import eventually

PLANAR = {f"yuv4{layout}p{depth}" for layout in ("20", "22", "44") for depth in ("", "10le", "12le")}


def opened(path: Path, warnings: list[str] | None = None) -> Clip:
    """The clip of a file, whose warnings are collected."""
    return open_clip(path, probe(path), warn=(warnings if warnings is not None else []).append)


def read(path: Path) -> list[Frame]:
    """All frames of a file that is whole."""
    warnings: list[str] = []
    frames = list(opened(path, warnings).frames())
    assert warnings == []
    return frames


def numbers(frames: list[Frame]) -> list[int]:
    """The numbers that ``numbered`` drew."""
    known = {id(frame): number_of(to_rgb(frame)) for frame in {id(frame): frame for frame in frames}.values()}
    return [known[id(frame)] for frame in frames]


@pytest.fixture(autouse=True, scope="module")
def _pool(tmp_path_factory: pytest.TempPathFactory) -> None:
    """OpenCV's threads begin when they are needed first, and stay."""
    to_rgb(read(make_clip(tmp_path_factory.mktemp("pool") / "clip.mp4", Spec(count=1)))[0])


@pytest.fixture(autouse=True)
def _nothing_left() -> Generator[None]:
    """Every test leaves as many threads (FFmpeg's too) and open files as it found."""

    def resources() -> tuple[int, int, int]:
        gc.collect()
        return threading.active_count(), len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = resources()
    yield
    assert eventually(lambda: resources() == before)  # the kernel may still be busy with a thread that has ended


FORMATS = [
    (".mp4", "libx264", "yuv420p", "yuv420p"),
    (".mp4", "libx264", "yuv422p", "yuv422p"),
    (".mp4", "libx264", "yuv444p", "yuv444p"),
    (".mp4", "libx264", "yuv420p10le", "yuv420p10le"),
    (".mp4", "libx264", "yuv422p10le", "yuv422p10le"),
    (".mp4", "libx264", "nv12", "yuv420p"),
    (".mkv", "ffv1", "yuv444p12le", "yuv444p12le"),
    (".mkv", "ffv1", "yuv420p9le", "yuv420p10le"),
    (".mkv", "ffv1", "yuv420p14le", "yuv420p12le"),
    (".mkv", "ffv1", "yuv444p16le", "yuv444p12le"),
    (".mkv", "ffv1", "yuv440p", "yuv444p"),
    (".mkv", "ffv1", "bgr0", "yuv444p"),
    (".mkv", "libx264rgb", "rgb24", "yuv444p"),
    (".mkv", "ffv1", "gbrp10le", "yuv444p10le"),
    (".mov", "qtrle", "argb", "yuv444p"),
    (".mov", "png", "rgb24", "yuv444p"),
    (".webm", "libvpx-vp9", "yuv420p", "yuv420p"),
    (".mpg", "mpeg2video", "yuv420p", "yuv420p"),
]


@pytest.mark.parametrize(("suffix", "codec", "pix_fmt", "planar"), FORMATS)
def test_every_pixel_format_becomes_planar_yuv(
    tmp_path: Path, suffix: str, codec: str, pix_fmt: str, planar: str
) -> None:
    """The result is the same image in the planar format with the chroma resolution and depth of the source."""
    options = (
        {"crf": "4"} if codec.startswith("libx264") else {"q:v": "2", "b": "9000000"} if codec == "mpeg2video" else {}
    )
    spec = Spec(size=(96, 64), count=3, codec=codec, pix_fmt=pix_fmt, options=options)
    frames = read(make_clip(tmp_path / f"clip{suffix}", spec))
    assert {frame.on_host().format.name for frame in frames} == {planar}
    assert planar in PLANAR
    for index, frame in enumerate(frames):
        assert psnr(to_rgb(frame), scene(index, 96, 64)) > 38


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", list(Matrix))
@pytest.mark.parametrize("color", [(200, 50, 30), (20, 180, 90), (40, 60, 220), (255, 255, 255), (0, 0, 0)])
def test_known_colors_are_decoded(
    tmp_path: Path,
    color: tuple[int, int, int],
    matrix: Matrix,
    full_range: bool,  # noqa: FBT001 - a parameter
) -> None:
    """A patch of one color keeps that color, for every matrix and range."""
    primaries, transfer = {Matrix.BT709: (1, 1), Matrix.BT601: (6, 6), Matrix.BT2020: (9, 14)}[matrix]
    colors = Colors(matrix, primaries, transfer, full_range)
    spec = Spec(count=1, colors=colors, frame=flat(color), options={"crf": "1"})
    path = make_clip(tmp_path / "clip.mp4", spec)
    frame = read(path)[0]
    image = frame.on_host()
    assert probe(path).colors == colors
    assert (image.colorspace, image.color_range) == (int(matrix), 2 if full_range else 1)
    assert (image.color_primaries, image.color_trc) == (primaries, transfer)
    assert np.abs(to_rgb(frame).astype(int) - color).max() <= 2
    assert np.abs(rgb_of(image).astype(int) - color).max() <= 3


def test_untagged_gray_is_full_range(tmp_path: Path) -> None:
    """White stays white, black stays black."""
    for level in (0, 128, 255):
        spec = Spec(count=1, codec="ffv1", pix_fmt="gray", colors=None, frame=flat((level, level, level)))
        frame = read(make_clip(tmp_path / "clip.mkv", spec))[0]
        assert np.abs(to_rgb(frame).astype(int) - level).max() <= 1


def test_transparency_is_composited_on_black(tmp_path: Path) -> None:
    """Half transparent red is dark red, transparent white is black."""
    path = tmp_path / "clip.mov"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("qtrle", rate=25, width=32, height=16, pix_fmt="argb")
        rgba = np.zeros((16, 32, 4), np.uint8)
        rgba[:, :16] = (220, 20, 20, 128)
        rgba[:, 16:] = (255, 255, 255, 0)
        output.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, "rgba").reformat(format="argb")))
        output.mux(stream.encode(None))
    rgb = to_rgb(next(opened(path).frames())).astype(int)
    assert np.abs(rgb[8, 4] - (110, 10, 10)).max() <= 3
    assert np.abs(rgb[8, 28]).max() <= 1


def corners(index: int, width: int, height: int) -> Pixels:
    """Red at the top left, green at the top right, blue at the bottom left, white at the bottom right."""
    frame = np.zeros((height, width, 3), np.uint8)
    top, left = np.s_[: height // 2], np.s_[: width // 2]
    bottom, right = np.s_[height // 2 :], np.s_[width // 2 :]
    frame[top, left], frame[top, right] = (220, 20, 20), (20, 220, 20)
    frame[bottom, left], frame[bottom, right] = (20, 20, 220), (220, 220, 220)
    return frame


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_and_mirroring_are_applied(tmp_path: Path, rotation: int, mirrored: bool) -> None:  # noqa: FBT001 - a parameter
    """The frame comes out as a player shows it: turned clockwise, then mirrored."""
    spec = Spec(size=(64, 32), count=2, frame=corners, rotation=rotation, mirrored=mirrored)
    path = make_clip(tmp_path / "clip.mp4", spec)
    upright = np.rot90(corners(0, 64, 32), -rotation // 90)
    expected = upright[:, ::-1] if mirrored else upright
    clip = opened(path)
    frame = next(iter(read(path)))
    assert (clip.width, clip.height) == (frame.width, frame.height) == (expected.shape[1], expected.shape[0])
    for y in (4, expected.shape[0] - 5):
        for x in (4, expected.shape[1] - 5):
            assert np.abs(to_rgb(frame)[y, x].astype(int) - expected[y, x]).max() <= 12


def test_a_frame_size_that_changes_is_scaled_to_the_first(tmp_path: Path) -> None:
    """All frames have the first frame's size, and all are there."""
    path = tmp_path / "clip.ts"
    spec = Spec(size=(96, 64), count=5, options={"bf": "0"})
    parts = [
        make_clip(tmp_path / "a.ts", spec),
        make_clip(tmp_path / "b.ts", replace(spec, size=(48, 32), start=Fraction(1, 5))),
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = list(opened(path).frames())
    assert {(frame.width, frame.height) for frame in frames} == {(96, 64)}
    assert len(frames) == 10
    small = np.asarray(scene(2, 48, 32)).repeat(2, 0).repeat(2, 1)
    assert psnr(to_rgb(frames[7]), small) > 24


def test_frames_are_duplicated_until_the_next(tmp_path: Path) -> None:
    """A duplicated frame is the same object again, and there are as many output frames as announced."""
    slots = [0, 1, 2, 6, 7, 12]
    spec = Spec(times=[Fraction(slot, 30) for slot in slots], frame=numbered)
    path = make_clip(tmp_path / "clip.mkv", spec)
    clip = opened(path)
    assert clip.fps == 30 or clip.fps == Fraction(30000, 1001)
    frames = read(path)
    assert len(frames) == clip.length == 13
    assert numbers(frames) == [0, 1, 2, 2, 2, 2, 3, 4, 4, 4, 4, 4, 5]
    assert frames[2] is frames[3]
    assert frames[1] is not frames[2]


def test_variable_rates_do_not_drift(tmp_path: Path) -> None:
    """After 600 irregular frames in 80 seconds, every frame is still at its own time."""
    slots = np.cumsum(np.random.default_rng(3).integers(1, 8, 600))
    slots -= slots[0]
    spec = Spec(size=(16, 16), times=[Fraction(int(slot) * 1001, 30000) for slot in slots], frame=numbered)
    path = make_clip(tmp_path / "clip.mkv", spec)
    frames = read(path)
    shown = numbers(frames)
    assert len(frames) == slots[-1] + 1
    assert [shown[slot] for slot in slots] == [index % 16 for index in range(600)]
    changes = [index for index, (before, after) in enumerate(pairwise(frames), start=1) if before is not after]
    assert changes == list(slots[1:])


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".avi", "mpeg4"), (".mpg", "mpeg2video"), (".flv", "flv1"), (".m4v", "mpeg4")]
)
def test_old_containers_are_read(tmp_path: Path, suffix: str, codec: str) -> None:
    """Containers that keep decoding times only, or times of their own kind, give every frame once."""
    if suffix == ".m4v":
        suffix = ".mov"
    path = make_clip(tmp_path / f"clip{suffix}", Spec(count=14, codec=codec, frame=numbered))
    assert numbers(read(path)) == list(range(14))


def test_frames_without_timestamps_are_read_one_by_one(tmp_path: Path) -> None:
    """Where the clock is set back midway times mean nothing: the order counts."""
    part = make_clip(tmp_path / "part.ts", Spec(count=6, frame=numbered, options={"bf": "0"}))
    path = tmp_path / "clip.ts"
    path.write_bytes(2 * part.read_bytes())
    clip = opened(path)
    assert (clip.length, clip.fps) == (12, Fraction(25))
    assert numbers(list(clip.frames())) == [0, 1, 2, 3, 4, 5] * 2


def test_edit_lists_are_applied(tmp_path: Path) -> None:
    """Frames before the point where the file's edit begins are decoded but not shown."""
    spec = Spec(start=Fraction(-2, 5), count=30, frame=numbered, options={"bf": "2", "preset": "veryfast"})
    path = make_clip(tmp_path / "clip.mp4", spec)
    assert probe(path).length == 20
    assert numbers(read(path)) == [index % 16 for index in range(10, 30)]


def test_frames_can_be_iterated_again_and_in_parallel(tmp_path: Path) -> None:
    """Each call of ``frames`` is a reading of its own."""
    clip = opened(make_clip(tmp_path / "clip.mp4", Spec(count=8, frame=numbered)))
    both = list(zip(clip.frames(), clip.frames(), strict=True))
    assert numbers([first for first, _ in both]) == numbers([second for _, second in both]) == list(range(8))


def test_nothing_is_decoded_before_iteration(tmp_path: Path) -> None:
    """Opening a clip opens no file."""
    path = make_clip(tmp_path / "clip.mp4", Spec(count=2))
    clip = opened(path)
    path.unlink()
    with pytest.raises(InvalidMedia):
        next(clip.frames())


def test_closing_early_leaves_no_thread_or_descriptor(tmp_path: Path) -> None:
    """Closing, dropping or failing after some frames ends the decoder (the fixture counts)."""
    clip = opened(make_clip(tmp_path / "clip.mp4", Spec(count=60)))
    frames = clip.frames()
    assert len(list(islice(frames, 3))) == 3
    del frames

    def fail() -> None:
        for _ in clip.frames():
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()


def test_frames_carry_no_picture_types(tmp_path: Path) -> None:
    """Frames forget the frame type that the source's encoder chose."""
    frames = read(make_clip(tmp_path / "clip.mp4", Spec(count=12, options={"g": "2"})))
    assert {frame.on_host().pict_type for frame in frames} == {0}
