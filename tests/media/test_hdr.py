"""HDR (PQ, HLG): tone-mapped where the target cannot carry it, kept where it can, converted in joins."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from framepack.answer import Answer as Result
from framepack.media.clip import Colors, Matrix
from framepack.media.frames.colors import resolve
from framepack.media.frames.hdr import SDR, converted_light, light_of, signal_of
from framepack.media.read.probe import probe
from tests.support.clips import Spec, make_clip
from tests.support.http_server import Answer, HttpServer
from tests.support.readback import read_back
from tests.support.runs import Bench, bench

PQ, HLG = Colors(Matrix.BT2020, 9, 16), Colors(Matrix.BT2020, 9, 18)
WHITE = {PQ: 0.5807, HLG: 0.75}  # the signal of reference white, 203 cd/m2
FRAMES = "postprocessed_output/frames/extracted_frames"
SHEETS = "postprocessed_output/frames/contact_sheets"
TONE_MAPPED = "The video is HDR; it was tone-mapped to SDR (BT.709)."
KEPT = "The video is HDR and stays so, with 8 bits per color."


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker that encodes quickly and may fetch from this machine."""
    return bench(tmp_path, allowed_hosts=("127.0.0.1",), video_preset="ultrafast")


def patches(*signals: float | tuple[float, float, float]) -> Callable[[int, int, int], NDArray[Any]]:
    """Frames of upright bars with these signals, 0 to 1."""
    colors = [np.broadcast_to(np.array(signal, float) * 255, 3) for signal in signals]

    def frame(_index: int, width: int, height: int) -> NDArray[Any]:
        return np.repeat(np.array(colors)[None], height, 0).repeat(width // len(colors), 1)

    return frame


def video(path: Path, colors: Colors, *signals: float | tuple[float, float, float]) -> Path:
    """A short video of bars, 32 pixels wide each."""
    is_hdr = colors in WHITE
    pix_fmt = "yuv420p10le" if is_hdr else "yuv420p"
    size = 32 * len(signals), 64
    spec = Spec(size, count=4, colors=colors, pix_fmt=pix_fmt, frame=patches(*signals), options={"crf": "2"})
    return make_clip(path, spec)


def bars(image: NDArray[np.uint8], count: int) -> list[list[int]]:
    """The color in the middle of each bar."""
    height, width, _ = image.shape
    return [image[height // 2, (2 * bar + 1) * width // (2 * count)].tolist() for bar in range(count)]


def grays(image: NDArray[np.uint8], count: int) -> list[int]:
    """The level in the middle of each bar, which is gray."""
    for color in bars(image, count):
        assert max(color) - min(color) <= 3, color
    return [color[1] for color in bars(image, count)]


def are_near(levels: Sequence[float], expected: Sequence[float], tolerance: float = 2) -> bool:
    """Whether levels differ by at most ``tolerance``."""
    return all(abs(one - two) <= tolerance for one, two in zip(levels, expected, strict=True))


def rgb(path: Path) -> NDArray[np.uint8]:
    """An image file, or the first of a GIF, read by Pillow."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def joined(worker: Bench, *clips: Path) -> Result:
    """Join clips."""
    with HttpServer({f"/{clip.name}": Answer(body=clip.read_bytes()) for clip in clips}) as server:
        return worker.run("join", video_urls=[f"{server.url}/{clip.name}" for clip in clips])


@pytest.mark.parametrize("colors", [PQ, HLG])
def test_reference_white_is_nearly_white_in_gif_png_and_contact_sheet(
    tmp_path: Path, worker: Bench, colors: Colors
) -> None:
    """Black stays black, reference white becomes 250 of 255, and nothing above it is darker."""
    source = video(tmp_path / "clip.mp4", colors, 0, 0.38, WHITE[colors], 0.9, 1)
    gif = worker.run("export", source, format="GIF", quality=100)
    extracted = worker.run("extract_frames", source)
    png = next((worker.folder / "outputs" / FRAMES / extracted["folder_name"]).iterdir())
    sheet = worker.folder / "outputs" / SHEETS / Path(extracted["contact_sheet_path"]).name
    dark = 255 * (26 / 203) ** (1 / 2.4)  # 38 % are 26 cd/m2 in both
    for levels in (grays(rgb(worker.output(gif)), 5), grays(rgb(png), 5)):
        assert are_near(levels[:3], [0, dark, 250], 3), levels
        assert levels[2] <= levels[3] <= levels[4], levels
        assert levels[4] >= 254
    thumbnail = rgb(sheet)[8 + 32]
    assert are_near([thumbnail[8 + 4 + 32 * bar + 16].mean() for bar in range(3)], [0, dark, 250], 4)
    assert gif["warnings"] == extracted["warnings"] == [TONE_MAPPED]


@pytest.mark.parametrize("colors", [PQ, HLG])
@pytest.mark.parametrize("format_", ["MP4", "WebM"])
def test_mp4_and_webm_keep_tags_and_signal(tmp_path: Path, worker: Bench, colors: Colors, format_: str) -> None:
    """Containers that can say HDR keep it, and the answer says so."""
    source = video(tmp_path / "clip.mp4", colors, 0, 0.38, WHITE[colors], 1)
    answer = worker.run("export", source, format=format_)
    output = read_back(worker.output(answer))
    assert output.colors == colors
    assert are_near(grays(output.frames[0], 4), [0, 0.38 * 255, WHITE[colors] * 255, 255])
    assert answer["warnings"] == [KEPT]


@pytest.mark.parametrize("colors", [PQ, HLG])
def test_hdr_after_sdr_is_tone_mapped(tmp_path: Path, worker: Bench, colors: Colors) -> None:
    """The file is SDR, and reference white is beside SDR white."""
    first = video(tmp_path / "sdr.mp4", SDR, 0, 0.5, 1)
    second = video(tmp_path / "hdr.mp4", colors, 0, 0.38, WHITE[colors])
    answer = joined(worker, first, second)
    output = read_back(worker.output(answer))
    assert output.colors == SDR
    assert are_near(grays(output.frames[0], 3), [0, 128, 255])
    assert are_near(grays(output.frames[-1], 3), [0, 108, 250], 3)
    assert answer["warnings"] == [f"video_urls[1]: {TONE_MAPPED}"]


@pytest.mark.parametrize("colors", [PQ, HLG])
def test_sdr_after_hdr_lies_at_reference_white(tmp_path: Path, worker: Bench, colors: Colors) -> None:
    """The file is HDR, and SDR white becomes reference white, not the brightest highlight."""
    first = video(tmp_path / "hdr.mp4", colors, 0, 0.5, 1)
    second = video(tmp_path / "sdr.mp4", SDR, 0, (26 / 203) ** (1 / 2.4), 1)
    answer = joined(worker, first, second)
    output = read_back(worker.output(answer))
    assert output.colors == colors
    assert are_near(grays(output.frames[-1], 3), [0, 0.38 * 255, WHITE[colors] * 255], 3)
    assert answer["warnings"] == [
        "video_urls[1]: The video is SDR and the first one is HDR; its white became HDR reference white (203 cd/m2).",
        KEPT,
    ]


def test_pq_and_hlg_are_converted_into_each_other(tmp_path: Path, worker: Bench) -> None:
    """Reference white stays reference white."""
    for first, second in ((PQ, HLG), (HLG, PQ)):
        clips = [
            video(tmp_path / f"{place}.mp4", colors, 0, WHITE[colors])
            for place, colors in (("first", first), ("second", second))
        ]
        answer = joined(worker, *clips)
        output = read_back(worker.output(answer))
        assert output.colors == first
        assert are_near(grays(output.frames[-1], 2), [0, WHITE[first] * 255])
        sentence = "The video's HDR colors were converted to those of the first video."
        assert answer["warnings"] == [f"video_urls[1]: {sentence}", KEPT]


def test_extracted_hdr_frames_are_reassembled_as_sdr(tmp_path: Path, worker: Bench) -> None:
    """The images are SDR, and so is the video made from them."""
    source = video(tmp_path / "clip.mp4", HLG, 0, 0.75)
    folder = worker.run("extract_frames", source)["folder_name"]
    answer = worker.run("reassemble_frames", folder_name=folder, output_fps=25)
    output = read_back(worker.output(answer))
    assert output.colors == SDR
    assert are_near(grays(output.frames[0], 2), [0, 250])
    assert "warnings" not in answer


def test_a_copied_loop_of_hdr_has_no_sentence(tmp_path: Path, worker: Bench) -> None:
    """What is copied packet by packet keeps its bits, too."""
    answer = worker.run("loop", video(tmp_path / "clip.mp4", HLG, 0, 0.75), num_loops=1)
    output = read_back(worker.output(answer))
    assert output.colors == HLG
    assert ("warnings" in answer) == (output.pix_fmt == "yuv420p")


def test_gif_of_an_odd_and_filtered_hdr_video_is_tone_mapped(tmp_path: Path, worker: Bench) -> None:
    """Frames that are padded to even sizes, or come out of a filter, are HDR as before."""
    spec = Spec((97, 63), count=2, colors=HLG, pix_fmt="yuv444p10le", frame=lambda *_: np.full((63, 97, 3), 191.25))
    source = make_clip(tmp_path / "clip.mp4", spec)
    steps = [{"type": "filters", "params": {"sharpen": 1}}, {"type": "export", "params": {"format": "GIF"}}]
    answer = worker.run("pipeline", source, operations=steps)
    assert are_near(rgb(worker.output(answer)).reshape(-1, 3).mean(0).tolist(), [250] * 3)


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_that_only_tags_its_curve_is_bt2020(transfer: int) -> None:
    """A red of BT.2020 is no red of BT.709."""
    frame = av.VideoFrame(64, 48, "yuv420p10le")
    frame.color_trc = transfer
    assert resolve(frame, frame.format) == Colors(Matrix.BT2020, 9, transfer)


def test_the_container_tags_what_the_codec_does_not(tmp_path: Path) -> None:
    """A ProRes file whose frames say nothing, in a container that says HLG, is HLG."""
    spec = Spec((96, 64), count=2, colors=HLG, pix_fmt="yuv422p10le", codec="prores_ks", frame=patches(0, 0.38, 0.75))
    assert probe(make_clip(tmp_path / "clip.mov", spec)).colors == HLG


def test_colors_of_bt709_return_from_hdr() -> None:
    """SDR in HDR and back again is the same below the knee, in any color."""
    signal = np.random.default_rng(1).random((1000, 3)) * 0.9
    for colors in (PQ, HLG):
        there = signal_of(converted_light(light_of(signal, SDR), SDR, colors), colors)
        back = signal_of(converted_light(light_of(there, colors), colors, SDR), SDR)
        assert np.abs(back - signal).max() < 0.004


def test_colors_outside_of_bt709_keep_their_hue_order_and_are_not_clipped_to_one_level() -> None:
    """The purest green of BT.2020 becomes a green of BT.709, lighter than its neighbors of less light."""
    levels = np.linspace(0.1, 0.7, 7)
    green = np.stack([0 * levels, levels, 0 * levels], -1)
    signal = signal_of(converted_light(light_of(green, HLG), HLG, SDR), SDR)
    assert (np.diff(signal[:, 1]) > 0).all()
    assert (signal[:, 1] > signal[:, 0]).all()
    assert (signal[:, 1] > signal[:, 2]).all()


def test_light_of_pq_and_hlg_follow_bt2100() -> None:
    """Values of ITU-R BT.2408, table 1: signals of 203 and 1000 cd/m2."""
    assert math.isclose(light_of(np.full((1, 3), 0.5807), PQ)[0, 0] * 203, 203, rel_tol=0.01)
    assert math.isclose(light_of(np.full((1, 3), 0.7518), PQ)[0, 0] * 203, 1000, rel_tol=0.01)
    assert math.isclose(light_of(np.full((1, 3), 0.75), HLG)[0, 0] * 203, 203, rel_tol=0.01)
    assert math.isclose(light_of(np.full((1, 3), 1.0), HLG)[0, 0] * 203, 1000, rel_tol=0.01)


@pytest.mark.parametrize("controls", [{"contrast": 1.2}, {"sharpen": 1, "saturation": 1.2}])
def test_filters_that_change_tones_say_that_they_act_on_the_signal(
    tmp_path: Path, worker: Bench, controls: dict[str, Any]
) -> None:
    """Filters keep HDR; only tone curves differ from those of SDR."""
    answer = worker.run("filters", video(tmp_path / "clip.mp4", HLG, 0, 0.75), **controls)
    sentence = "The video is HDR: filters that change tones act on its signal, and more strongly than on SDR."
    assert read_back(worker.output(answer)).colors == HLG
    assert answer["warnings"] == [sentence] * ("contrast" in controls) + [KEPT]
