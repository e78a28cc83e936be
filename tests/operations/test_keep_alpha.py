"""Transparency that is kept when asked for, in PNG frames and in WebM, read back with Pillow and libvpx."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from framepack.answer import Answer
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from tests.support.clips import Spec, barred, bars_of, make_clip
from tests.support.codings import Coding, encoded
from tests.support.readback import rgb_of
from tests.support.runs import Bench, bench
from tests.support.transparency import ALPHA, animation, glass, palette_video

PUT_ON_BLACK = "Transparent pixels were put on black."
NOTHING_TRANSPARENT = "Nothing in the video is transparent, so there was no transparency to keep."
COUNT, SIZE = 6, (96, 64)
PNG = Coding("png.mov", "png", "rgba")
PRORES = Coding("clip.mov", "prores_ks", "yuva444p10le")

Rgba = NDArray[np.uint8]


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker."""
    return bench(tmp_path)


def extracted(worker: Bench, answer: Answer) -> list[Rgba]:
    """The frames of a folder, which are RGBA."""
    frames = []
    for path in sorted((worker.folder / answer["frames_path"].removeprefix("/")).iterdir()):
        with Image.open(path) as image:
            assert (image.format, image.mode) == ("PNG", "RGBA")
            frames.append(np.asarray(image))
    return frames


def webm(path: Path) -> list[Rgba]:
    """The frames of a WebM file as libvpx gives them: straight RGB by its color tags, and alpha."""
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.metadata["alpha_mode"]) == ("vp9", "1")
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        for packet in container.demux(stream):
            for frame in decoder.decode(packet):
                assert frame.format.name == "yuva420p"
                plane = frame.planes[3]
                samples = np.frombuffer(cast("bytes", plane), np.uint8).reshape(plane.height, plane.line_size)
                frames.append(np.dstack([rgb_of(frame.reformat(format="yuv420p")), samples[:, : plane.width]]))
    return frames


def off(one: NDArray[Any], other: NDArray[Any]) -> int:
    """The greatest difference."""
    return int(np.abs(one.astype(int) - other).max())


def moving(index: int, width: int, height: int) -> Rgba:
    """Alpha that shows the frame's number, over one color."""
    frame = np.full((height, width, 4), (200, 60, 40, 0), np.uint8)
    frame[..., 3] = np.where(barred(index, width, height)[..., 0] > 120, 255, 0)
    return frame


def animated(suffix: str) -> Callable[[Path], Path]:
    """A maker of an animation."""
    return lambda folder: animation(folder / f"clip{suffix}", glass, SIZE, [40] * COUNT)


def coded(coding: Coding) -> Callable[[Path], Path]:
    """A maker of a video."""
    return lambda folder: encoded(folder, coding, glass, [SIZE], COUNT)


EXACT = {
    "png": coded(PNG),
    "png of 16 bits": coded(Coding("png.mov", "png", "rgba64be")),
    "qtrle": coded(Coding("rle.mov", "qtrle", "argb")),
    "ffv1 of 12 bits": coded(Coding("clip.mkv", "ffv1", "yuva444p12le")),
    "prores": coded(PRORES),
    "png with a palette": lambda folder: palette_video(folder / "clip.mov", glass, SIZE, COUNT),
    "apng": animated(".png"),
    "webp": animated(".webp"),
}
ROUNDED = {
    "vp9": coded(ALPHA[0]),
    "vp8": coded(ALPHA[1]),
    "ffv1": coded(ALPHA[5]),  # the file itself: FFmpeg rounds alpha where RGBA becomes 8-bit YUV
}
HIDDEN_ARE_BLACK = {"webp"}  # frames are drawn onto a transparent canvas


@pytest.mark.parametrize("name", [*EXACT, *ROUNDED])
def test_extracted_frames_keep_alpha_and_hidden_colors(tmp_path: Path, worker: Bench, name: str) -> None:
    """Alpha to the bit where the source has it so, and the colors that it hides; no sentence."""
    answer = worker.run("extract_frames", (EXACT | ROUNDED)[name](tmp_path), keep_alpha=True)
    frames = extracted(worker, answer)
    assert "warnings" not in answer
    assert len(frames) == COUNT
    for index, frame in enumerate(frames):
        wanted = glass(index, *SIZE)
        assert off(frame[..., 3], wanted[..., 3]) <= (0 if name in EXACT else 1)
        assert name in HIDDEN_ARE_BLACK or off(frame[:56, :44, :3], wanted[:56, :44, :3]) <= 3
        assert off(frame[:56, 52:, :3], wanted[:56, 52:, :3]) <= 3


def test_extracted_frames_of_a_gif_keep_its_transparency(tmp_path: Path, worker: Bench) -> None:
    """A GIF's pixels are opaque or transparent."""
    path = animated(".gif")(tmp_path)
    frames = extracted(worker, worker.run("extract_frames", path, keep_alpha=True))
    with Image.open(path) as source:
        for index, frame in enumerate(frames):
            source.seek(index)
            assert np.array_equal(frame[..., 3], np.asarray(source.convert("RGBA"))[..., 3])
    assert {0, 255} == set(np.unique(frames[0][..., 3]))
    assert len(frames) == COUNT


@pytest.mark.parametrize("name", [*EXACT, *ROUNDED])
def test_a_webm_file_keeps_alpha_and_hidden_colors(tmp_path: Path, worker: Bench, name: str) -> None:
    """Every frame has its own alpha; colors are straight, so that they come out right on any background."""
    answer = worker.run("export", (EXACT | ROUNDED)[name](tmp_path), format="WebM", keep_alpha=True)
    frames = webm(worker.output(answer))
    assert "warnings" not in answer
    assert len(frames) == COUNT
    for index, frame in enumerate(frames):
        wanted = glass(index, *SIZE)
        assert np.abs(frame[..., 3].astype(int) - wanted[..., 3]).mean() < 1
        assert off(frame[:56, :44, 3], wanted[:56, :44, 3]) <= 1
        assert name in HIDDEN_ARE_BLACK or off(frame[:56, :44, :3], wanted[:56, :44, :3]) <= 8
        assert off(frame[:56, 52:, :3], wanted[:56, 52:, :3]) <= 8


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_frames_that_are_held_keep_their_alpha(tmp_path: Path, worker: Bench, suffix: str) -> None:
    """At a variable rate, frames and their alpha are repeated together."""
    path = animation(tmp_path / f"clip{suffix}", moving, SIZE, [40, 120, 40, 80])
    output = webm(worker.output(worker.run("export", path, format="WebM", keep_alpha=True)))
    images = extracted(worker, worker.run("extract_frames", path, keep_alpha=True))
    for frames in (output, images):
        assert [bars_of(frame[..., [3, 3, 3]]) for frame in frames] == [0, 1, 1, 1, 2, 3, 3]


def test_alpha_stays_with_its_frame_in_a_long_webm_file(tmp_path: Path, worker: Bench) -> None:
    """Also beyond the frames that the encoder collects."""
    path = encoded(tmp_path, PNG, moving, [SIZE], 80)
    frames = webm(worker.output(worker.run("export", path, format="WebM", keep_alpha=True)))
    assert [bars_of(frame[..., [3, 3, 3]]) for frame in frames] == list(range(80))


def test_a_video_that_is_turned_has_its_alpha_upright(tmp_path: Path, worker: Bench) -> None:
    """Colors and alpha are turned alike."""
    path = encoded(tmp_path, replace(PNG, rotation=90), glass, [SIZE], COUNT)
    upright = np.rot90(glass(0, *SIZE), -1)
    frame = extracted(worker, worker.run("extract_frames", path, keep_alpha=True))[0]
    assert np.array_equal(frame[..., 3], upright[..., 3])
    assert off(frame[..., :3], upright[..., :3]) <= 2
    output = webm(worker.output(worker.run("export", path, format="WebM", keep_alpha=True)))[0]
    assert output.shape == upright.shape
    assert np.abs(output[..., 3].astype(int) - upright[..., 3]).mean() < 1


def test_an_odd_size_is_padded_with_alpha(tmp_path: Path, worker: Bench) -> None:
    """The last column and row are repeated in all planes."""
    path = encoded(tmp_path, PNG, glass, [(97, 63)], 2)
    frame = webm(worker.output(worker.run("export", path, format="WebM", keep_alpha=True)))[0]
    wanted = np.pad(glass(0, 97, 63), ((0, 1), (0, 1), (0, 0)), "edge")
    assert np.abs(frame[..., 3].astype(int) - wanted[..., 3]).mean() < 1


@pytest.mark.parametrize("coding", [PNG, ALPHA[0]], ids=lambda coding: coding.codec)
def test_frames_of_another_size_are_centered_on_transparent_black(
    tmp_path: Path, worker: Bench, coding: Coding
) -> None:
    """Alpha is scaled with its frame, and nothing is there beside it."""
    path = encoded(tmp_path, coding, glass, [(96, 48), (48, 96), (96, 48)], 3)
    answer = worker.run("extract_frames", path, keep_alpha=True)
    frames = extracted(worker, answer)
    assert answer["warnings"] == ["Frames of another size than the first were scaled to fit into 96 x 48 pixels."]
    assert len(frames) == 9
    for frame in frames[3:6]:
        assert frame[:, :34].max() <= 3
        assert frame[:, -34:].max() <= 3
        assert off(frame[20:40, 51:59], np.array([20, 200, 30, 255])) <= 12
        assert off(frame[3:8, 51:59], np.array([20, 200, 30, 128])) <= 12
        assert frame[20:40, 37:44, 3].max() <= 2
    for index, frame in enumerate((*frames[:3], *frames[6:])):
        assert off(frame[..., 3], glass(index % 3, 96, 48)[..., 3]) <= 2


def test_interlaced_frames_are_deinterlaced_with_their_alpha(tmp_path: Path, worker: Bench) -> None:
    """Both have combs before, and none after."""

    def woven(index: int, width: int, height: int) -> Rgba:
        frame = np.full((height, width, 4), 255, np.uint8)
        for field in (0, 1):
            wave = 128 + 100 * np.sin((np.arange(width) - 4 * (2 * index + field)) / 5.0)
            frame[field::2] = wave.round()[None, :, None]
        return frame

    path = encoded(tmp_path, replace(PRORES, options={"flags": "+ildct+ilme"}), woven, [SIZE], 10)
    answer = worker.run("extract_frames", path, keep_alpha=True)
    assert answer["warnings"] == ["The video is interlaced; each of its frames was deinterlaced to one frame."]
    combs = [np.abs(np.diff(frame.astype(float), axis=0)).mean((0, 1)) for frame in extracted(worker, answer)]
    assert np.abs(np.diff(woven(0, *SIZE).astype(float), axis=0)).mean() > 20
    assert np.max(combs) < 1


def disc(_index: int, width: int, height: int) -> Rgba:
    """A white disc; all around it, alpha hides black."""
    y, x = np.mgrid[0:height, 0:width]
    frame = np.zeros((height, width, 4), np.uint8)
    frame[np.hypot(x - width / 2 + 0.5, y - height / 2 + 0.5) < height / 3] = 255
    return frame


def test_hidden_colors_do_not_show_at_edges_of_scaled_frames(tmp_path: Path, worker: Bench) -> None:
    """What is half transparent after scaling is as white as the rest: no dark line on a bright background."""
    path = encoded(tmp_path, PNG, disc, [(512, 256)], 2)
    answer = worker.run("export", path, format="WebM", keep_alpha=True, max_width=256, quality=100)
    frame = webm(worker.output(answer))[0].astype(int)
    assert frame.shape == (128, 256, 4)
    on_white = frame[..., :3] * frame[..., 3:] / 255 + 255 - frame[..., 3:]
    assert ((frame[..., 3] > 64) & (frame[..., 3] < 192)).sum() > 50
    assert on_white.min() > 225
    assert (frame[..., 3] > 250).sum() == pytest.approx(np.pi * (128 / 3) ** 2, rel=0.06)


def test_a_video_without_alpha_comes_out_as_always_with_a_sentence(tmp_path: Path, worker: Bench) -> None:
    """The same bytes as without the field."""
    path = make_clip(tmp_path / "clip.mp4", Spec(count=3))
    asked = worker.run("extract_frames", path, keep_alpha=True)
    usual = worker.run("extract_frames", path)
    files = [
        [file.read_bytes() for file in sorted((tmp_path / answer["frames_path"].removeprefix("/")).iterdir())]
        for answer in (asked, usual)
    ]
    assert asked["warnings"] == [NOTHING_TRANSPARENT]
    assert "warnings" not in usual
    assert files[0] == files[1]
    answer = worker.run("export", path, format="WebM", keep_alpha=True)
    assert answer["warnings"] == [NOTHING_TRANSPARENT]
    with av.open(str(worker.output(answer))) as container:
        assert "alpha_mode" not in container.streams.video[0].metadata


def test_an_alpha_channel_that_hides_nothing_stays_opaque_with_a_sentence(tmp_path: Path, worker: Bench) -> None:
    """It is kept, and the answer says that it has nothing to show."""

    def opaque(index: int, width: int, height: int) -> Rgba:
        frame = glass(index, width, height)
        frame[..., 3] = 255
        return frame

    path = encoded(tmp_path, PNG, opaque, [SIZE], 2)
    for answer, frames in (
        (first := worker.run("extract_frames", path, keep_alpha=True), extracted(worker, first)),
        (second := worker.run("export", path, format="WebM", keep_alpha=True), webm(worker.output(second))),
    ):
        assert answer["warnings"] == [NOTHING_TRANSPARENT]
        assert min(frame[..., 3].min() for frame in frames) == 255


@pytest.mark.parametrize(("fields", "shown"), [({"format": "MP4"}, "MP4"), ({"format": ".gif"}, "GIF"), ({}, "MP4")])
def test_alpha_in_another_format_than_webm_is_refused(worker: Bench, fields: dict[str, Any], shown: str) -> None:
    """With one sentence, before the video is fetched."""
    answer = worker.run("export", video_url="https://example.com/clip.mov", keep_alpha=True, **fields)
    assert answer["error"] == f'keep_alpha is only possible with format "WebM", not "{shown}".'
    assert (answer["code"], answer["status"]) == ("invalid_field", 400)


def test_the_contact_sheet_of_frames_with_alpha_is_on_black(tmp_path: Path, worker: Bench) -> None:
    """A JPEG file has no alpha; hidden colors do not show in it."""
    answer = worker.run("extract_frames", coded(PNG)(tmp_path), keep_alpha=True)
    with Image.open(worker.folder / answer["contact_sheet_path"].removeprefix("/")) as image:
        sheet = np.asarray(image)
    assert sheet[48, 20].max() <= 30
    assert off(sheet[48, 80], np.array([20, 200, 30])) <= 12


def test_extracted_frames_with_alpha_are_reassembled_on_black_with_a_sentence(tmp_path: Path, worker: Bench) -> None:
    """As other transparent images are."""
    folder = worker.run("extract_frames", coded(PNG)(tmp_path), keep_alpha=True)["folder_name"]
    answer = worker.run("reassemble_frames", folder_name=folder, output_fps=25)
    with av.open(str(worker.output(answer))) as container:
        frames = [rgb_of(frame) for frame in container.decode(video=0)]
    assert answer["warnings"] == [PUT_ON_BLACK]
    assert len(frames) == COUNT
    assert frames[0][40, 20].max() <= 4
    assert off(frames[0][5, 70], np.array([10, 100, 15])) <= 6


@pytest.mark.parametrize(
    ("make", "has_alpha"), [(coded(PNG), True), (coded(ALPHA[0]), True), (animated(".webp"), True), (None, False)]
)
def test_an_analysis_says_whether_there_is_an_alpha_channel(
    tmp_path: Path,
    worker: Bench,
    make: Callable[[Path], Path] | None,
    has_alpha: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Also for WebM, whose frames have it beside them."""
    path = make_clip(tmp_path / "clip.mp4", Spec(count=2)) if make is None else make(tmp_path)
    assert worker.run("analyze", path)["analysis"]["has_alpha"] is has_alpha


def test_the_memory_of_a_frame_includes_its_alpha(tmp_path: Path) -> None:
    """Frames that wait are bounded by it."""
    path = encoded(tmp_path, ALPHA[5], glass, [SIZE], 1)
    sizes = []
    for keep_alpha in (False, True):
        clip = open_clip(path, probe(path), warn=lambda _: None, keep_alpha=keep_alpha)
        [frame] = clip.frames()
        sizes.append(frame.size_bytes)
        assert clip.has_alpha is keep_alpha
    assert Fraction(sizes[1], sizes[0]) >= Fraction(5, 3)
