"""``loop`` from request to file: how often, in which order, with what name, and how little work it takes."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from framepack.job import Job, Progress
from framepack.media.timeline import frame_cache
from framepack.media.write import writer
from tests.support.clips import AudioSpec, Spec, make_clip
from tests.support.looping import NTSC, numbered_still, round_trip, shown
from tests.support.readback import beep_times
from tests.support.runs import Bench, bench


@pytest.fixture
def own(tmp_path: Path) -> Bench:
    """A bench."""
    return bench(tmp_path)


def source_of(folder: Path, count: int = 7, name: str = "clip.mp4", **more: Any) -> Path:
    """A clip of numbered stills."""
    return make_clip(folder / name, Spec(count=count, frame=numbered_still, **more))


def packets(path: Path) -> list[bytes]:
    """The coded frames of a file."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize("num_loops", [1, 2, 10])
def test_a_loop_plays_once_more_than_asked(own: Bench, tmp_path: Path, num_loops: int) -> None:
    """1 plays twice."""
    source = source_of(tmp_path)
    back = shown(own.output(own.run("loop", source, num_loops=num_loops)))
    assert back.numbers == list(range(7)) * (num_loops + 1)
    assert back.times == [Fraction(index, 25) for index in range(7 * (num_loops + 1))]


@pytest.mark.parametrize("num_loops", [1, 3])
def test_ping_pong_doubles_no_frame(own: Bench, tmp_path: Path, num_loops: int) -> None:
    """A round trip of F frames has 2F - 2, neither the turn nor the seam is shown twice."""
    source = source_of(tmp_path, 8, fps=NTSC)
    answer = own.run("loop", source, loop_type="ping-pong", num_loops=num_loops)
    back = shown(own.output(answer))
    assert back.numbers == round_trip(8) * num_loops
    assert back.times == [index / NTSC for index in range(14 * num_loops)]
    assert back.rate == NTSC


@pytest.mark.parametrize("fields", [{}, {"loop_type": "ping-pong"}])
def test_audio_leaves_no_gap(own: Bench, tmp_path: Path, fields: dict[str, Any]) -> None:
    """AAC's frames do not fit the frames' length; the rate stays exact all the same, and beeps stay in place."""
    source = source_of(tmp_path, 24, fps=Fraction(24), audio=AudioSpec(seconds=1.013, beeps=(0.25,)))
    output = own.output(own.run("loop", source, num_loops=3, **fields))
    back = shown(output)
    count = 96 if not fields else 138
    assert back.times == [Fraction(index, 24) for index in range(count)]
    assert back.rate == 24
    plays = [0, 1, 2, 3] if not fields else [trip * 46 / 24 for trip in range(3)]
    turned = [] if not fields else [46 / 24 - 0.25 - 0.05 + 1 / 24]
    expected = [play + beep for play in plays for beep in (0.25, *turned)]
    assert beep_times(output) == pytest.approx(expected, abs=0.003)


@pytest.mark.parametrize("alias", ["ping-pong", "Ping-Pong", "PINGPONG", "ping_pong", "ping pong"])
def test_the_type_is_understood_in_any_spelling(own: Bench, tmp_path: Path, alias: str) -> None:
    """The output's name has the documented one."""
    answer = own.run("loop", source_of(tmp_path, 3), loop_type=alias)
    assert shown(own.output(answer)).numbers == [0, 1, 2, 1]
    assert answer["output_filename"].startswith("video_ping-pong_1x_")


def test_the_answer_is_the_documented_one(own: Bench, tmp_path: Path) -> None:
    """Message and name."""
    answer = own.run("loop", source_of(tmp_path), num_loops=2)
    assert answer["message"] == "Loop created successfully"
    assert answer["success"] is True
    assert answer["output_filename"].startswith("video_loop_2x_")
    assert answer["output_filename"].endswith(".mp4")
    assert own.leftovers() == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"num_loops": 0}, "num_loops must be between 1 and 10"),
        ({"num_loops": 11}, "num_loops must be between 1 and 10"),
        ({"loop_type": "bounce"}, "loop_type must be 'loop' or 'ping-pong'"),
        ({"loops": 2}, "Unknown field 'loops'"),
    ],
)
def test_invalid_requests_are_refused(own: Bench, tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    """One sentence that names what is allowed."""
    answer = own.run("loop", source_of(tmp_path), **fields)
    assert answer["status"] == 400
    assert words in answer["error"]


def test_amplification_is_limited(tmp_path: Path) -> None:
    """All plays count, before anything is decoded."""
    limited = bench(tmp_path, max_output_frames=30)
    source = source_of(tmp_path, 12)
    for fields in ({"num_loops": 2}, {"loop_type": "ping-pong", "num_loops": 2}):
        answer = limited.run("loop", source, **fields)
        assert (answer["code"], answer["status"]) == ("too_large", 413)
        assert "30 are allowed" in answer["error"]


def test_a_plain_loop_copies_the_sources_frames(own: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one is decoded or encoded, and they are the source's bit by bit."""
    monkeypatch.setattr(writer, "add_video", None)
    source = source_of(tmp_path, 20, audio=AudioSpec(seconds=0.8))
    reports: list[Progress] = []
    output = own.output(own.run("loop", source, job=Job("test", reports.append), num_loops=4))
    assert packets(output) == packets(source) * 5
    assert [report.done for report in reports] == list(range(1, 101))
    assert reports[-1].percent == 100


@pytest.mark.parametrize("name", ["clip.webm", "clip.gif", "clip.mkv", "clip.avi"])
def test_other_formats_loop_as_well(own: Bench, tmp_path: Path, name: str) -> None:
    """They become an MP4 file that plays anywhere, encoded once."""
    more: dict[str, Any] = {"codec": "mpeg4"} if name.endswith("avi") else {}
    if name.endswith("gif"):
        more = {"codec": "gif", "pix_fmt": "rgb8", "colors": None}
    source = source_of(tmp_path, 6, name, **more)
    output = own.output(own.run("loop", source, num_loops=2))
    found = packets(output)
    assert found == found[:6] * 3
    with av.open(str(output)) as container:
        context = container.streams.video[0].codec_context
        assert (context.codec.canonical_name, context.pix_fmt) == ("h264", "yuv420p")


def test_ping_pong_is_encoded_once_and_nothing_stays(
    own: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames in, frames out: F are decoded, 2F - 2 encoded, however many trips there are."""
    kept: list[int] = []
    append = frame_cache.FrameCache.append

    def counting(self: frame_cache.FrameCache, frame: Any) -> None:
        kept.append(len(self))
        append(self, frame)

    monkeypatch.setattr(frame_cache.FrameCache, "append", counting)
    source = source_of(tmp_path, 9)
    reports: list[Progress] = []
    answer = own.run("loop", source, job=Job("test", reports.append), loop_type="ping-pong", num_loops=10)
    assert kept == list(range(9))
    assert (len(reports), reports[-1].total) == (16, 16)
    found = packets(own.output(answer))
    assert found == found[:16] * 10
    assert own.leftovers() == []


@pytest.mark.parametrize("fields", [{}, {"loop_type": "ping-pong"}])
@pytest.mark.parametrize("count", [1, 2])
def test_hardly_any_frames(own: Bench, tmp_path: Path, count: int, fields: dict[str, Any]) -> None:
    """One and two frames loop without a fuss."""
    output = own.output(own.run("loop", source_of(tmp_path, count), num_loops=3, **fields))
    plays = 3 if fields else 4
    assert shown(output).numbers == list(range(count)) * plays


def test_a_cancelled_loop_leaves_nothing(own: Bench, tmp_path: Path) -> None:
    """Copying stops within a packet."""
    job = Job("test")
    job.report = lambda progress: job.cancel() if progress.done == 5 else None
    for fields in ({}, {"loop_type": "ping-pong"}):
        answer = own.run("loop", source_of(tmp_path, 30), job=job, **fields)
        assert answer["code"] == "cancelled"
    assert own.leftovers() == []
    assert not list((own.folder / "outputs").rglob("*.mp4"))


def test_an_expensive_step_before_a_turn_runs_once(
    own: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a pipeline, upscaling comes before ping-pong; each frame goes through the network once."""
    from safetensors.torch import save_file

    from framepack.models.upscale import upscale_frames as stream
    from tests.support.networks import tiny_compact

    (tmp_path / "weights").mkdir(exist_ok=True)
    save_file(tiny_compact(scale=4), tmp_path / "weights" / "tiny.safetensors")
    upscaled: list[int] = []
    upscale = stream.upscale_frames

    def counting(*given: Any, **more: Any) -> Iterator[Any]:
        for frame in upscale(*given, **more):
            upscaled.append(frame.width)
            yield frame

    monkeypatch.setattr(stream, "upscale_frames", counting)
    steps = [
        {"type": "upscale", "params": {"model": "tiny", "scale_factor": 2.0}},
        {"type": "loop", "params": {"loop_type": "ping-pong", "num_loops": 3}},
    ]
    answer = own.run("pipeline", source_of(tmp_path, 5), operations=steps)
    with av.open(str(own.output(answer))) as container:
        stream_ = container.streams.video[0]
        assert (stream_.frames, stream_.width) == (24, 128)
    assert upscaled == [128] * 5
