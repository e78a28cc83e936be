"""Frames that are interlaced, change their size midway or are transparent, through real operations."""

from __future__ import annotations

import io
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from framepack.media.clip import Clip, Colors
from framepack.media.images.convert import to_rgb
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from framepack.storage.frames.folders import folder_key
from tests.support.clips import Spec, make_clip, real_clip
from tests.support.codings import Coding, encoded
from tests.support.odd_files import with_sample_box
from tests.support.readback import read_back
from tests.support.runs import Bench, bench
from tests.support.transparency import ALPHA, glass, palette_video

DEINTERLACED = "The video is interlaced; each of its frames was deinterlaced to one frame."
PUT_ON_BLACK = "Transparent pixels were put on black."


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker that encodes quickly."""
    return bench(tmp_path, video_preset="ultrafast")


def opened(path: Path) -> tuple[Clip, list[str]]:
    """A clip, and the list that gets its sentences."""
    warnings: list[str] = []
    return open_clip(path, probe(path), warn=warnings.append), warnings


def decoded(path: Path) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """The frames of a clip, and its sentences."""
    clip, warnings = opened(path)
    return [to_rgb(frame) for frame in clip.frames()], warnings


# Interlaced


def wave(time: int, width: int, height: int) -> NDArray[Any]:
    """Vertical stripes that move four pixels per unit of time."""
    row = 128 + 100 * np.sin((np.arange(width) - 4 * time) / 5.0)
    return np.broadcast_to(row[None, :, None], (height, width, 3)).round()


def whole(index: int, width: int, height: int) -> NDArray[Any]:
    """A progressive frame."""
    return wave(2 * index, width, height)


def woven(index: int, width: int, height: int) -> NDArray[Any]:
    """An interlaced frame: its even rows show one time, its odd rows the next."""
    frame = whole(index, width, height).copy()
    frame[1::2] = wave(2 * index + 1, width, height)[1::2]
    return frame


@cache
def images() -> list[NDArray[np.uint8]]:
    """Part of a real video with fine detail that moves: 60 frames of 192 x 128."""
    with av.open(str(real_clip("bikes"))) as container:
        frames = islice(container.decode(video=0), 60)
        pixels = [cast("NDArray[np.uint8]", frame.to_ndarray(format="rgb24")) for frame in frames]
    return [frame[60:188, 120:312] for frame in pixels]


def street(index: int, _width: int, _height: int) -> NDArray[np.uint8]:
    """A progressive frame of it."""
    return images()[index]


def street_woven(first: int, second: int) -> NDArray[np.uint8]:
    """The even rows of one frame of it, and the odd rows of another."""
    frame = images()[first].copy()
    frame[1::2] = images()[second][1::2]
    return frame


def combing(rgb: NDArray[np.uint8]) -> float:
    """How much rows differ from the mean of their neighbors, in levels."""
    rows = rgb[..., 1].astype(float)
    return float(np.abs(rows[1:-1] - (rows[:-2] + rows[2:]) / 2).mean())


_FIELDS = {"flags": "+ildct+ilme"}
INTERLACED = [
    Coding("clip.ts", "mpeg2video", options={**_FIELDS, "b": "8M", "g": "6", "bf": "2"}),
    Coding("clip.mp4", "libx264", options={**_FIELDS, "crf": "4"}),
    Coding("clip.mkv", "libx264", options={**_FIELDS, "crf": "4", "bf": "3"}),
    Coding("clip.mov", "prores", "yuv422p10le", _FIELDS),
    Coding("clip.avi", "mpeg4", options={**_FIELDS, "b": "8M"}),
]


@pytest.mark.parametrize("coding", INTERLACED, ids=lambda coding: f"{coding.codec}{Path(coding.name).suffix}")
def test_interlaced_frames_are_deinterlaced_one_by_one(tmp_path: Path, coding: Coding) -> None:
    """No combs, every frame at its place, and one sentence."""
    path = encoded(tmp_path, coding, woven, [(96, 64)], 14)
    frames, warnings = decoded(path)
    assert warnings == [DEINTERLACED]
    assert len(frames) == 14
    assert combing(woven(0, 96, 64)) > 10
    assert max(combing(frame) for frame in frames) < 1
    for index, frame in enumerate(frames):
        nearest = min(range(32), key=lambda time: float(np.abs(frame - wave(time, 96, 64)).mean()))
        assert nearest in {2 * index, 2 * index + 1}


@pytest.mark.parametrize("coding", INTERLACED, ids=lambda coding: f"{coding.codec}{Path(coding.name).suffix}")
def test_progressive_frames_that_are_flagged_as_interlaced_pass_untouched(tmp_path: Path, coding: Coding) -> None:
    """Films are often flagged so; they are not softened, and there is no sentence."""
    path = encoded(tmp_path, coding, street, [(192, 128)], 14)
    with av.open(str(path)) as container:
        source = list(container.decode(video=0))
        assert all(frame.interlaced_frame for frame in source)
    clip, warnings = opened(path)
    result = [frame.on_host() for frame in clip.frames()]
    assert warnings == []
    for before, after in zip(source, result, strict=True):
        assert np.array_equal(before.to_ndarray(), after.to_ndarray())


def changed(path: Path) -> str:
    """For each frame whether it differs from what the decoder gives."""
    with av.open(str(path)) as container:
        source = [frame.to_ndarray() for frame in container.decode(video=0)]
    clip, _ = opened(path)
    result = [frame.on_host().to_ndarray() for frame in clip.frames()]
    return "".join("=" if np.array_equal(*pair) else "d" for pair in zip(source, result, strict=True))


def test_only_the_interlaced_part_of_a_video_is_deinterlaced(tmp_path: Path) -> None:
    """A film with an interlaced end, all of it flagged: cadence decides frame by frame."""

    def mixed(index: int, _width: int, _height: int) -> NDArray[np.uint8]:
        return images()[index] if index < 12 else street_woven(2 * index, 2 * index + 1)

    path = encoded(tmp_path, INTERLACED[1], mixed, [(192, 128)], 24)
    result = changed(path)
    assert (result[:11], result[12:]) == (11 * "=", 12 * "d")  # the last whole frame is judged beside a woven one


def test_film_on_interlaced_video_has_no_combs(tmp_path: Path) -> None:
    """3:2 pulldown weaves two of five frames; none of these stays as it is."""
    fields = ((0, 0), (1, 1), (1, 2), (2, 3), (3, 3))

    def telecined(index: int, _width: int, _height: int) -> NDArray[np.uint8]:
        group, place = divmod(index, 5)
        return street_woven(4 * group + fields[place][0], 4 * group + fields[place][1])

    result = changed(encoded(tmp_path, INTERLACED[1], telecined, [(192, 128)], 25))
    assert {result[place::5] for place in (2, 3)} == {"ddddd"}


def test_an_operation_on_an_interlaced_video_keeps_count_and_rate(tmp_path: Path, worker: Bench) -> None:
    """Filters work on deinterlaced frames, and the answer says so."""
    path = encoded(tmp_path, INTERLACED[0], woven, [(96, 64)], 25)
    answer = worker.run("filters", path, sharpen=1)
    output = read_back(worker.output(answer))
    assert answer["warnings"] == [DEINTERLACED]
    assert len(output.frames) == 25
    assert output.rate == 25
    assert max(combing(frame) for frame in output.frames) < 1


# Sizes


def disc(_index: int, width: int, height: int) -> NDArray[Any]:
    """A red disc of 30 pixels in the middle of gray."""
    y, x = np.mgrid[0:height, 0:width]
    frame = np.full((height, width, 3), 120)
    frame[np.hypot(x - width / 2 + 0.5, y - height / 2 + 0.5) < 15] = 230, 40, 40
    return frame


def extent(rgb: NDArray[np.uint8]) -> tuple[int, int]:
    """Width and height of what is red."""
    rows, columns = np.nonzero((rgb[..., 0] > 170) & (rgb[..., 1] < 90))
    return int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


SIZED = [
    Coding("clip.webm", "libvpx", options={"deadline": "realtime", "crf": "4", "b": "4M"}),
    Coding("clip9.webm", "libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "0"}),
    Coding("clip.ts", "libx264", options={"bf": "0", "crf": "4"}),
    Coding("clip.avi", "mjpeg", "yuvj420p", colors=Colors(full_range=True)),
    Coding("clip.mov", "png", "rgb24"),
]


@pytest.mark.parametrize("coding", SIZED, ids=lambda coding: coding.codec)
@pytest.mark.parametrize("first", [(96, 48), (98, 50)])
def test_frames_of_another_size_are_letterboxed(tmp_path: Path, coding: Coding, first: tuple[int, int]) -> None:
    """A disc stays round between black bars, and the answer says so once."""
    path = encoded(tmp_path, coding, disc, [first, first[::-1], first], 4)
    frames, warnings = decoded(path)
    assert warnings == [
        f"Frames of another size than the first were scaled to fit into {first[0]} x {first[1]} pixels."
    ]
    assert [frame.shape for frame in frames] == [(first[1], first[0], 3)] * 12
    for frame in frames[4:8]:
        width, height = extent(frame)
        assert abs(width - height) <= 2
        assert abs(height - 30 * first[1] / first[0]) <= 3
        assert frame[:, :30].max() <= 3
        assert frame[:, -30:].max() <= 3
    for frame in (*frames[:4], *frames[8:]):
        width, height = extent(frame)
        assert abs(width - 30) <= 2 >= abs(height - 30)


@pytest.mark.parametrize("codec", ["qtrle", "png"])
@pytest.mark.parametrize(("detail", "parity"), [(b"\2\11", 0), (b"\2\6", 1), (b"\1\0", None)])
def test_rgb_is_deinterlaced_where_the_file_says_that_it_has_fields(
    tmp_path: Path, codec: str, detail: bytes, parity: int | None
) -> None:
    """Decoders of QuickTime Animation and PNG do not say it of frames; graphics are not searched for combs."""

    def fields(index: int, width: int, height: int) -> NDArray[Any]:
        times = [2 * index + (row % 2 != (parity or 0)) for row in range(height)]
        return np.stack([wave(time, width, height)[0] for time in times]).astype(np.uint8)

    spec = Spec(size=(96, 64), count=12, codec=codec, pix_fmt="rgb24", frame=fields)
    path = make_clip(tmp_path / "clip.mov", spec)
    with_sample_box(path, b"fiel", detail)
    frames, warnings = decoded(path)
    assert warnings == ([] if parity is None else [DEINTERLACED])
    assert len(frames) == 12
    inner = [frame[8:-8, 8:-8, 0].astype(float) for frame in frames[2:-2]]
    combs = max(float(np.abs(np.diff(each, axis=0)).mean()) for each in inner)
    assert combs < 6 if parity is not None else combs > 12


# Transparency


@pytest.mark.parametrize("coding", ALPHA, ids=lambda coding: coding.codec)
def test_transparent_pixels_are_put_on_black(tmp_path: Path, coding: Coding) -> None:
    """Hidden colors never show, half transparent ones are half as bright, and the answer says so once."""
    frames, warnings = decoded(encoded(tmp_path, coding, glass, [(96, 64)], 6))
    assert warnings == [PUT_ON_BLACK]
    assert len(frames) == 6
    for index, frame in enumerate(frames):
        assert frame[40, 20].max() <= 3
        assert np.abs(frame[40, 70] - np.array([20.0, 200, 30])).max() <= 4
        assert np.abs(frame[5, 70] - np.array([10.0, 100, 15])).max() <= 4
        assert abs(int(frame[-2, :48, 1].max()) - 90) <= 8
        assert abs(int((frame[-2, :48, 1] > 45).sum()) - (2 * index + 2)) <= 2


@pytest.mark.parametrize("coding", ALPHA, ids=lambda coding: coding.codec)
def test_an_alpha_channel_that_hides_nothing_has_no_sentence(tmp_path: Path, coding: Coding) -> None:
    """Formats with an alpha channel are common where nothing is transparent."""

    def opaque(index: int, width: int, height: int) -> NDArray[np.uint8]:
        frame = glass(index, width, height)
        frame[..., 3] = 255
        return frame

    frames, warnings = decoded(encoded(tmp_path, coding, opaque, [(96, 64)], 3))
    assert warnings == []
    assert np.abs(frames[1][40, 20] - np.array([200.0, 10, 10])).max() <= 4


def test_frames_with_palettes_are_read_from_the_first_on(tmp_path: Path) -> None:
    """None is lost, and transparent ones are put on black."""
    frames, warnings = decoded(palette_video(tmp_path / "clip.mov", glass, (96, 64), 4))
    assert warnings == [PUT_ON_BLACK]
    assert len(frames) == 4
    for index, frame in enumerate(frames):
        assert frame[40, 20].max() <= 3
        assert abs(int((frame[-2, :48, 1] > 45).sum()) - (2 * index + 2)) <= 2


def test_a_transparent_gif_becomes_an_opaque_one_and_the_answer_says_so(tmp_path: Path, worker: Bench) -> None:
    """GIF to GIF is on black, too."""
    images = [Image.fromarray(glass(index, 96, 64)) for index in range(4)]
    path = tmp_path / "clip.gif"
    images[0].save(path, save_all=True, append_images=images[1:], duration=100, disposal=2)
    answer = worker.run("export", path, format="GIF")
    with Image.open(worker.output(answer)) as result:
        rgba = np.asarray(result.convert("RGBA"))
    assert answer["warnings"] == [PUT_ON_BLACK]
    assert rgba[..., 3].min() == 255
    assert rgba[40, 20, :3].max() <= 3


def test_transparent_images_of_a_folder_are_put_on_black_with_one_sentence(tmp_path: Path, worker: Bench) -> None:
    """Reassembled frames are like those of a video."""
    for index, kind in enumerate(("PNG", "PNG", "WEBP")):
        file = io.BytesIO()
        image = Image.fromarray(glass(index, 96, 64))
        (image.quantize() if index == 1 else image).save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
        worker.runtime.storage.put_bytes(folder_key("glass") / f"{index}.{kind.lower()}", file.getvalue())
    answer = worker.run("reassemble_frames", folder_name="glass", output_fps=25)
    frames = read_back(worker.output(answer)).frames
    assert answer["warnings"] == [PUT_ON_BLACK]
    assert max(int(frame[40, 20].max()) for frame in frames) <= 4
