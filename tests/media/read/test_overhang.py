"""Audio beyond the video: a still is held for it; of anything else, a sentence says how much is left out."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from framepack.media.read.overhang import fit_to_audio
from framepack.media.read.probe import probe
from framepack.media.timeline.constant_rate import Timeline
from tests.support.clips import AudioSpec, Spec, barred, bars_of, make_clip
from tests.support.readback import audio_of, beep_times, read_back
from tests.support.runs import bench

CODECS = {".avi": "libmp3lame", ".webm": "libopus"}


def still(path: Path, seconds: float = 3, count: int = 1, start: Fraction = Fraction(0)) -> Path:
    """A video with beeps near the begin and the end of its audio."""
    audio = AudioSpec(codec=CODECS.get(path.suffix, "aac"), seconds=seconds, beeps=(0.5, seconds - 0.5))
    return make_clip(path, Spec(count=count, start=start, audio=audio, frame=barred))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi", ".ts", ".webm"])
def test_a_single_frame_is_held_until_the_audio_ends(tmp_path: Path, suffix: str) -> None:
    """The output of a still with music is as long as the music, with all of it, and the client is told."""
    source = still(tmp_path / f"still{suffix}")
    worker = bench(tmp_path, video_preset="ultrafast")
    answer = worker.run("export", source, format="MP4")
    back = read_back(worker.output(answer))
    assert len(back.frames) / (back.rate or 1) == pytest.approx(3, abs=0.06)
    assert {bars_of(frame) for frame in back.frames} == {0}
    samples, rate = audio_of(worker.output(answer))
    assert len(samples) / rate == pytest.approx(3, abs=0.06)
    assert beep_times(worker.output(answer)) == pytest.approx([0.5, 2.5], abs=0.06)
    assert [sentence.split(" seconds longer")[1] for sentence in answer["warnings"]] == [
        " than the video; the last frame is held until it ends."
    ]


@pytest.mark.parametrize(
    ("operation", "params", "plays"),
    [
        ("loop", {"num_loops": 1}, 2),
        ("loop", {"loop_type": "ping-pong"}, 2),
        ("filters", {"brightness": 10}, 1),
        ("export", {"format": "WebM"}, 1),
    ],
)
def test_every_operation_that_keeps_audio_keeps_all_of_a_still(
    tmp_path: Path, operation: str, params: dict[str, Any], plays: int
) -> None:
    """The first beep of each play is where it was, and the output is as long as the plays together."""
    source = still(tmp_path / "still.mp4")
    worker = bench(tmp_path, video_preset="ultrafast")
    output = worker.output(worker.run(operation, source, **params))
    assert probe(output).duration_seconds == pytest.approx(3 * plays, abs=0.1)
    assert beep_times(output)[:2] == pytest.approx([0.5, 2.5], abs=0.06)
    assert len(beep_times(output)) == 2 * plays


def test_a_still_survives_extraction_and_reassembly(tmp_path: Path) -> None:
    """Frames are extracted for the whole audio, and reassembled with it."""
    source = still(tmp_path / "still.mp4")
    worker = bench(tmp_path, video_preset="ultrafast")
    folder = worker.run("extract_frames", source)
    assert folder["frame_count"] == 75
    answer = worker.run("reassemble_frames", folder_name=folder["folder_name"], output_fps=25, with_audio=True)
    assert beep_times(worker.output(answer)) == pytest.approx([0.5, 2.5], abs=0.03)


def test_a_single_frame_is_shown_from_the_beginning_of_the_audio(tmp_path: Path) -> None:
    """Audio before the only frame is kept."""
    source = still(tmp_path / "late.mkv", start=Fraction(1))
    info = probe(source)
    assert info.length == pytest.approx(75, abs=1)
    assert info.audio is not None
    assert info.audio.delay == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize(
    ("seconds", "start", "sentences"),
    [
        (1.0, 0, []),
        (1.06, 0, []),
        (1.5, 0, ["0.5 seconds of audio after the last frame are left out."]),
        (3.0, 0, ["2.0 seconds of audio after the last frame are left out."]),
        (1.48, Fraction(12, 25), ["0.5 seconds of audio before the first frame are left out."]),
        (
            2.0,
            Fraction(10, 25),
            [
                "0.4 seconds of audio before the first frame are left out.",
                "0.6 seconds of audio after the last frame are left out.",
            ],
        ),
    ],
)
def test_seconds_of_audio_that_are_left_out_are_named(
    tmp_path: Path, seconds: float, start: Fraction, sentences: list[str]
) -> None:
    """From 0.1 s on, before and after the frames; the video itself has its own length."""
    audio = AudioSpec(codec="libmp3lame", seconds=seconds)
    options = {"bf": "0"}
    source = make_clip(tmp_path / "clip.mkv", Spec(start=Fraction(start), options=options, audio=audio))
    worker = bench(tmp_path, video_preset="ultrafast")
    answer = worker.run("export", source)
    assert answer.get("warnings", []) == sentences
    assert probe(worker.output(answer)).length == 25
    analyzed = worker.run("analyze", source)
    assert analyzed.get("warnings", []) == sentences
    assert analyzed["analysis"]["total_frames"] == 25


def test_few_frames_are_held_for_audio_of_ten_times_their_length(tmp_path: Path) -> None:
    """A few frames with a song are a still, too; the frames before the last keep their times."""
    source = still(tmp_path / "few.mp4", seconds=2, count=4)
    worker = bench(tmp_path, video_preset="ultrafast")
    back = read_back(worker.output(worker.run("export", source)))
    assert [bars_of(frame) for frame in back.frames] == [0, 1, 2] + [3] * 47


def test_one_audio_packet_at_a_wrong_time_holds_nothing() -> None:
    """A packet far behind the others is damage, and so is an end that nobody may encode."""
    timeline = Timeline(Fraction(25), 1, 0, 0, Fraction(1, 1000), (0,))
    stray = [(Fraction(0), Fraction(1, 50)), (Fraction(90_000), Fraction(90_000) + Fraction(1, 5))]
    kept, sentences = fit_to_audio(timeline, 1, stray, 2**20)
    assert kept.length == 1
    assert sentences == ["0.2 seconds of audio after the last frame are left out."]
    kept, sentences = fit_to_audio(timeline, 1, [(Fraction(0), Fraction(100))], 1000)
    assert kept.length == 1
    assert sentences == ["100.0 seconds of audio after the last frame are left out."]


def test_audio_of_a_clock_that_starts_anew_is_not_left_out(tmp_path: Path) -> None:
    """Parts of a transport stream follow each other, with their audio."""
    part = make_clip(tmp_path / "part.ts", Spec(count=50, audio=AudioSpec(seconds=2, beeps=(1.2,))))
    whole = tmp_path / "whole.ts"
    whole.write_bytes(part.read_bytes() * 2)
    info = probe(whole)
    assert info.length == 100
    assert info.notes == ()


@pytest.mark.parametrize("codec", ["aac", "libopus"])
@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("export", {"format": "MP4"}),
        ("export", {"format": "WebM"}),
        ("loop", {"num_loops": 1}),
        ("extract_frames", {}),
    ],
)
def test_audio_that_ends_before_the_first_frame_has_one_sentence(
    tmp_path: Path, codec: str, operation: str, params: dict[str, Any]
) -> None:
    """It can be read, but no output has it."""
    audio = AudioSpec(codec=codec, seconds=1, beeps=(0.5,))
    source = make_clip(tmp_path / "late.mkv", Spec(count=12, start=Fraction(2), audio=audio))
    answer = bench(tmp_path, video_preset="ultrafast").run(operation, source, **params)
    assert answer["warnings"] == ["1.0 seconds of audio before the first frame are left out."]
