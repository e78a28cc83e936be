"""``preview``: one frame or a moment of a video, before and after, as the whole job would make it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from framepack.answer import Answer
from framepack.job import Job
from framepack.media.read.decoder import Decoder
from framepack.media.timeline.retiming import FramePosition, Retiming, in_between
from framepack.registry import discover
from tests.operations.test_interpolate import published_weights, with_weights
from tests.support.clips import AudioSpec, Pixels, Spec, barred, bars_of, make_clip, numbered
from tests.support.interpolation import mixing
from tests.support.networks import tiny_compact
from tests.support.readback import psnr, read_back
from tests.support.runs import Bench, bench

BRIGHTER: dict[str, Any] = {"brightness": 20, "contrast": 1.2}
FILTERS = {"type": "filters", "params": BRIGHTER}
SLIGHT = {"type": "filters", "params": {"brightness": 1}}
SAME_FRAME = 32
"""Decibels above which two frames are the same but for its encoding, on any CPU; neighbors have under 30.5."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of moving colors with audio, with a key frame every 10 frames."""
    spec = Spec(count=50, options={"g": "10", "crf": "4"}, audio=AudioSpec(seconds=2, beeps=(0.5, 1.5)))
    return make_clip(tmp_path_factory.mktemp("preview") / "source.mp4", spec)


@pytest.fixture
def own(tmp_path: Path) -> Bench:
    """A worker with a small upscaler."""
    (tmp_path / "weights").mkdir()
    save_file(tiny_compact(scale=4), tmp_path / "weights" / "tiny.safetensors")
    return bench(tmp_path)


def shown(file: dict[str, Any]) -> NDArray[np.uint8]:
    """The pixels of a side of a preview."""
    data = base64.b64decode(file["base64"])
    image = Image.open(io.BytesIO(data))
    assert Image.MIME[image.format or ""] == file["mime_type"]
    assert (image.width, image.height, len(data)) == (file["width"], file["height"], file["size_bytes"])
    return np.asarray(image.convert("RGB"))


def written(file: dict[str, Any], folder: Path) -> Path:
    """A side of a preview as a file."""
    path = folder / f"side.{file['mime_type'].rpartition('/')[2]}"
    path.write_bytes(base64.b64decode(file["base64"]))
    assert path.stat().st_size == file["size_bytes"]
    return path


def ok(answer: Answer) -> Answer:
    """The answer of a preview that succeeded."""
    assert answer.get("success") is True, answer
    return answer


@pytest.mark.parametrize("number", [0, 1, 9, 10, 37, 49])
def test_a_frame_before_and_after_filters_is_that_of_the_whole_job(own: Bench, source: Path, number: int) -> None:
    """Whatever its distance from a key frame."""
    before = read_back(source).frames[number]
    whole = read_back(own.output(own.run("filters", source, **BRIGHTER))).frames[number]

    answer = ok(own.run("preview", source, operations=[FILTERS], at_seconds=number / 25))

    assert psnr(shown(answer["before"]), before) > SAME_FRAME
    assert psnr(shown(answer["after"]), whole) > SAME_FRAME
    assert psnr(shown(answer["after"]), before) < 25
    assert (answer["frame"], answer["before"]["seconds"], answer["after"]["seconds"]) == (number, *[number / 25] * 2)


@pytest.mark.parametrize(
    ("at", "number"),
    [(0.0, 0), (0.033333, 1), (0.032, 0), (1 / 30, 1), (0.05, 1), (0.999, 29), (1.0, 29), (99.0, 29)],
)
def test_the_frame_is_the_one_that_players_show_at_this_time(
    own: Bench, tmp_path: Path, at: float, number: int
) -> None:
    """Times of players are rounded to microseconds, and after the end they show the last frame."""
    clip = make_clip(tmp_path / "bars.mp4", Spec(count=30, fps=Fraction(30), frame=barred))

    answer = ok(own.run("preview", clip, operations=[SLIGHT], at_seconds=at))

    assert (answer["frame"], bars_of(shown(answer["before"])), bars_of(shown(answer["after"]))) == (number,) * 3


def test_a_preview_of_a_video_of_a_variable_rate_shows_the_frame_on_screen(own: Bench, tmp_path: Path) -> None:
    """Its frame stays until the next one comes."""
    times = [Fraction(each, 10) for each in (0, 1, 2, 8, 9)]
    clip = make_clip(tmp_path / "vfr.mkv", Spec(count=5, frame=barred, times=times))

    for at, number in ((0.1, 1), (0.3, 2), (0.7, 2), (0.8, 3)):
        answer = ok(own.run("preview", clip, operations=[SLIGHT], at_seconds=at))

        assert bars_of(shown(answer["before"])) == number
        assert bars_of(shown(answer["after"])) == number


def test_only_frames_from_the_last_key_frame_on_are_decoded(
    own: Bench, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frame 37 is reached from a key frame shortly before; frames after it are not waited for."""
    decoded: list[int] = []
    read = Decoder.frames

    def counting(decoder: Decoder, first: int = 0) -> Iterator[tuple[int, av.VideoFrame]]:
        if decoder.info.frame_count == 50:
            for rank, frame in read(decoder, first):
                decoded.append(rank)
                yield rank, frame
        else:
            yield from read(decoder, first)

    monkeypatch.setattr(Decoder, "frames", counting)

    ok(own.run("preview", source, operations=[SLIGHT], at_seconds=37 / 25))

    assert min(decoded) >= 20
    assert max(decoded) <= 38


def test_an_upscaled_frame_has_the_new_size(own: Bench, source: Path) -> None:
    """It is the frame of the whole job."""
    step = {"type": "upscale", "params": {"model": "tiny", "scale_factor": 2.0}}
    whole = read_back(own.output(own.run("pipeline", source, operations=[step]))).frames[7]

    answer = ok(own.run("preview", source, operations=[step], at_seconds=7 / 25))

    assert psnr(shown(answer["after"]), whole) > SAME_FRAME
    assert (answer["before"]["width"], answer["after"]["width"], answer["after"]["height"]) == (64, 128, 96)
    assert answer["result"] == {
        "format": "mp4", "width": 128, "height": 96, "fps": 25.0, "frames": 50, "duration_seconds": 2.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("params", "number", "position", "of_whole"),
    [
        ({"fps_mode": "2x"}, 7, Fraction(15, 2), 15),
        ({"fps_mode": "4x"}, 7, Fraction(15, 2), 30),
        ({"fps_mode": "2x", "speed_factor": 0.5}, 7, Fraction(15, 2), 30),
        ({"fps_mode": "2x"}, 49, Fraction(97, 2), 97),
    ],
)
def test_interpolation_shows_the_frame_in_the_middle_after_that_frame(
    tmp_path: Path, source: Path, params: dict[str, Any], number: int, position: Fraction, of_whole: int
) -> None:
    """After the last frame there is none, so it is the one before."""
    (tmp_path / "rife").mkdir()
    own = with_weights(bench(tmp_path), published_weights(tmp_path / "rife", mixing()))
    whole = read_back(own.output(own.run("interpolate", source, **params))).frames
    sources = read_back(source).frames

    step = {"type": "interpolate", "params": params}
    answer = ok(own.run("preview", source, operations=[step], at_seconds=number / 25))

    assert answer["frame"] == int(position)
    assert psnr(shown(answer["before"]), sources[int(position)]) > SAME_FRAME
    assert psnr(shown(answer["after"]), whole[of_whole]) > SAME_FRAME
    assert psnr(shown(answer["after"]), sources[int(position)]) < psnr(shown(answer["after"]), whole[of_whole]) - 1
    assert answer["after"]["seconds"] == pytest.approx(float(position / 25))
    assert answer["after"]["fps"] == answer["result"]["fps"]


@pytest.mark.parametrize(
    ("retimings", "expected"),
    [
        ([], (1, 0, FramePosition(Fraction(0)))),
        ([Retiming(1, Fraction(1, 2))], (1, 0, FramePosition(Fraction(0)))),
        ([Retiming(2)], (2, 1, FramePosition(Fraction(1, 2), is_between=True))),
        ([Retiming(4)], (2, 2, FramePosition(Fraction(1, 2), is_between=True))),
        ([Retiming(2, Fraction(3))], (3, 1, FramePosition(Fraction(3, 2), is_between=True))),
        ([Retiming(2, Fraction(2))], (1, 0, FramePosition(Fraction(0)))),
        ([Retiming(4), Retiming(4)], (2, 8, FramePosition(Fraction(1, 2), is_between=True))),
        ([Retiming(1, Fraction(4)), Retiming(2)], (6, 1, FramePosition(Fraction(2), is_between=True))),
    ],
)
def test_the_frame_between_two_frames_is_found_for_every_speed(
    retimings: list[Retiming], expected: tuple[int, int, FramePosition]
) -> None:
    """The frames of the part are few, and without interpolation it is one."""
    count, index, place = in_between(retimings, 100)

    assert (index, place) == expected[1:]
    assert count <= expected[0]


def test_export_quality_can_be_seen(own: Bench, tmp_path: Path) -> None:
    """The frame is encoded and decoded again."""
    source = make_clip(tmp_path / "noise.mp4", Spec(count=8, frame=numbered))
    before = read_back(source).frames[5]

    def loss(**params: Any) -> float:
        step = {"type": "export", "params": params}
        return psnr(shown(ok(own.run("preview", source, operations=[step], at_seconds=0.2))["after"]), before)

    assert loss(format="MP4", quality=100) > loss(format="MP4", quality=0) + 2
    assert loss(format="WebM", quality=100) > loss(format="WebM", quality=0) + 2
    gif = ok(own.run("preview", source, operations=[{"type": "export", "params": {"format": "GIF"}}]))
    assert len(np.unique(shown(gif["after"]).reshape(-1, 3), axis=0)) <= 256
    assert len(np.unique(shown(gif["before"]).reshape(-1, 3), axis=0)) > 256
    assert gif["result"]["format"] == "gif"


def test_a_moment_becomes_two_short_videos(own: Bench, source: Path, tmp_path: Path) -> None:
    """Both begin with the same frame, and have the audio of the part."""
    answer = ok(own.run("preview", source, operations=[FILTERS], at_seconds=0.4, seconds=0.6))

    before, after = (read_back(written(answer[side], tmp_path)).frames for side in ("before", "after"))
    sources = read_back(source).frames
    assert (len(before), len(after), answer["frame"]) == (15, 15, 10)
    assert (answer["before"]["frames"], answer["after"]["frames"]) == (15, 15)
    assert min(psnr(frame, sources[10 + index]) for index, frame in enumerate(before)) > SAME_FRAME
    assert all(psnr(frame, sources[10 + index]) < 25 for index, frame in enumerate(after))
    with av.open(str(written(answer["after"], tmp_path))) as container:
        assert len(container.streams.audio) == 1


def test_a_moment_of_a_loop_plays_as_often_as_the_whole(own: Bench, source: Path, tmp_path: Path) -> None:
    """The part is looped, in the format of the export."""
    steps = [
        {"type": "loop", "params": {"num_loops": 2}},
        {"type": "export", "params": {"format": "WebM", "max_width": 256}},
    ]

    answer = ok(own.run("preview", source, operations=steps, seconds=0.2))

    with av.open(str(written(answer["after"], tmp_path))) as container:
        assert sum(1 for _ in container.decode(video=0)) == 15 == answer["after"]["frames"]
    assert (answer["after"]["mime_type"], answer["result"]["frames"]) == ("video/webm", 150)


def test_a_preview_leaves_nothing_behind(own: Bench, source: Path) -> None:
    """No result, no working file."""
    ok(own.run("preview", source, operations=[FILTERS]))
    ok(own.run("preview", source, operations=[FILTERS], seconds=0.2))

    assert own.leftovers() == []
    assert not [path for path in (own.folder / "outputs").rglob("*") if path.is_file() and "state" not in path.parts]


def test_a_video_that_a_job_would_refuse_can_be_previewed_with_a_warning(tmp_path: Path, source: Path) -> None:
    """The reason is that of the job."""
    step = {"type": "loop", "params": {"num_loops": 10}}
    small = bench(tmp_path, max_output_frames=100)
    refused = small.run("pipeline", source, operations=[step])

    answer = ok(small.run("preview", source, operations=[step]))

    assert "result" not in answer
    assert answer["warnings"] == [f"The whole video would be refused: {refused['error']}"]


def test_a_large_image_becomes_a_jpeg_and_a_large_video_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sides fit into the answer of a platform."""
    monkeypatch.setattr("framepack.operations.postprocess.preview._MAX_BYTES", 90_000)

    def noise(index: int, width: int, height: int) -> Pixels:
        return np.random.default_rng(index).integers(0, 256, (height, width, 3), np.uint8)

    clip = make_clip(tmp_path / "noise.mp4", Spec(size=(320, 240), count=12, frame=noise, options={"crf": "20"}))
    own = bench(tmp_path)

    answer = ok(own.run("preview", clip, operations=[SLIGHT]))

    assert (answer["before"]["mime_type"], answer["after"]["mime_type"]) == ("image/jpeg", "image/jpeg")
    assert max(answer[side]["size_bytes"] for side in ("before", "after")) <= 90_000
    assert psnr(shown(answer["before"]), read_back(clip).frames[0]) > 20
    refused = own.run("preview", clip, operations=[SLIGHT], seconds=0.48)
    assert (refused["code"], "preview fewer seconds" in refused["error"]) == ("too_large", True)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"operations": []}, "operations must have at least 1 item, not 0."),
        ({"operations": [SLIGHT], "seconds": 3}, "seconds must be between 0 and 2, not 3."),
        ({"operations": [SLIGHT], "at_seconds": -1}, "at_seconds must be greater than or equal to 0, not -1."),
        (
            {"operations": [SLIGHT, {"type": "export", "params": {"quality": 101}}]},
            "operations[1].params.quality must be between 0 and 100, not 101.",
        ),
    ],
)
def test_invalid_fields_are_refused_in_one_sentence(
    own: Bench, source: Path, fields: dict[str, Any], sentence: str
) -> None:
    """The sentence names the field."""
    answer = own.run("preview", source, **fields)

    assert (answer["error"], answer["code"]) == (sentence, "invalid_field")


def test_a_cancelled_preview_stops(own: Bench, source: Path) -> None:
    """Within a frame, and leaves no file."""
    job = Job("test")
    job.report = lambda _progress: job.cancel()

    answer = own.run("preview", source, operations=[FILTERS], seconds=2, job=job)

    assert (answer["code"], own.leftovers()) == ("cancelled", [])


@pytest.mark.parametrize(
    ("steps", "is_light"),
    [
        ([FILTERS], True),
        ([FILTERS, {"type": "export"}, {"type": "loop"}], True),
        ([{"type": "interpolate", "params": {"fps_mode": "No Interpolation", "speed_factor": 0.5}}], True),
        ([{"type": "interpolate"}], False),
        ([{"type": "Frame Adjust", "params": {"fps_mode": "2x", "speed_factor": 2}}], True),
        ([FILTERS, {"type": "upscale"}], False),
    ],
)
def test_a_preview_without_a_model_is_light(steps: list[dict[str, Any]], is_light: bool) -> None:  # noqa: FBT001
    """It does not wait for the GPU."""
    registry = discover()
    operation = registry.find("preview")
    request = operation.request.parse({"video_url": "https://a.example/b.mp4", "operations": steps})

    assert operation.is_light(request, registry.effects) is is_light


_GIF = {"type": "export", "params": {"format": "GIF"}}
_LOOP = {"type": "loop", "params": {"num_loops": 2}}


@pytest.mark.parametrize(
    ("spec", "operations"),
    [
        (Spec(count=12, size=(63, 47), pix_fmt="yuv444p"), [SLIGHT]),
        (
            Spec(count=12, size=(63, 47), pix_fmt="yuv444p"),
            [{**SLIGHT}, {"type": "export", "params": {"format": "WebM"}}],
        ),
        (Spec(count=12, size=(63, 47), pix_fmt="yuv444p"), [_GIF]),
        (Spec(count=31, fps=Fraction(60), frame=barred), [_GIF]),
        (Spec(count=31, fps=Fraction(60), frame=barred), [_LOOP, _GIF]),
        (
            Spec(count=31, fps=Fraction(60), frame=barred),
            [{"type": "export", "params": {"format": "GIF", "quality": 0}}],
        ),
    ],
)
def test_the_foreseen_result_is_the_one_of_the_job(
    own: Bench, tmp_path: Path, spec: Spec, operations: list[dict[str, Any]]
) -> None:
    """Size, rate, frames and length; where a GIF leaves frames out, a sentence says so in both answers."""
    clip = make_clip(tmp_path / "clip.mp4", spec)
    answer = ok(own.run("pipeline", clip, operations=operations))
    made = own.output(answer)

    preview = ok(own.run("preview", clip, operations=operations))

    result = preview["result"]
    with av.open(str(made)) as container:
        stream = container.streams.video[0]
        size = stream.width, stream.height
        times = [frame.time or 0 for frame in container.decode(stream)]
    assert (result["width"], result["height"], result["frames"]) == (*size, len(times))
    assert result["fps"] == pytest.approx((len(times) - 1) / (times[-1] - times[0]), rel=0.06)
    said = [sentence.partition(":")[0] for sentence in answer.get("warnings") or []]
    assert [sentence.partition(";")[0] for sentence in preview.get("warnings") or []] == said


def test_a_previewed_part_of_a_gif_says_its_own_frames(own: Bench, tmp_path: Path) -> None:
    """Not those of the clip from which it is made."""
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=60, fps=Fraction(60), frame=barred))

    after = ok(own.run("preview", clip, operations=[_GIF], at_seconds=0.2, seconds=0.5))["after"]

    with Image.open(written(after, tmp_path)) as image:
        assert (after["frames"], after["fps"]) == (getattr(image, "n_frames", 1), 20)
