"""The encoder of H.264: which one is chosen, and that no video is lost with NVENC."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from framepack.checks.encoder import check_encoder
from framepack.errors import Unavailable
from framepack.job import Job
from framepack.media.clip import Clip, Encoding
from framepack.media.timeline.loops import ping_pong
from framepack.media.write.encoder_choice import EncoderChoice, EncoderSetting
from framepack.media.write.encoders import H264Settings
from framepack.media.write.nvenc_trial import Trial
from framepack.media.write.writer import write
from tests.support.clips import AudioSpec, Spec, make_clip
from tests.support.looping import CountingFrames, open_file, shown
from tests.support.nvenc import StandIn
from tests.support.readback import audio_of, read_back
from tests.support.runs import bench

WORKS = Trial(figures="300 frames per second")
SLOW = Trial(drawback="NVENC is slower here: 1 frame per second", figures="1 frame per second")
NONE = Trial("there is no NVIDIA driver")
PROBLEM = "FRAMEPACK_ENCODER is nvenc, but NVENC cannot be used: there is no NVIDIA driver."
REMEDY = "Set FRAMEPACK_ENCODER=auto to use x264 where NVENC does not work, or x264."
CPU = "H.264 is encoded by x264: FRAMEPACK_DEVICE is cpu."


def choice(setting: EncoderSetting = "auto", trial: Trial = WORKS, device: str = "auto") -> EncoderChoice:
    """A choice with a known outcome of the trial."""
    return EncoderChoice(setting, device=device, trial=lambda _settings: trial)


def clip_of(width: int, height: int, encoding: Encoding = Encoding()) -> Clip:  # noqa: B008 - frozen
    """A clip without frames."""
    return Clip(lambda: iter(()), Fraction(25), width, height, 1, encoding=encoding)


@pytest.mark.parametrize(
    ("setting", "trial", "device", "encoder", "sentence"),
    [
        ("x264", WORKS, "auto", "x264", "H.264 is encoded by x264."),
        ("auto", WORKS, "auto", "nvenc", "H.264 is encoded by NVENC: 300 frames per second."),
        ("auto", SLOW, "cuda", "x264", "H.264 is encoded by x264: NVENC is slower here: 1 frame per second."),
        (
            "auto",
            NONE,
            "cuda:1",
            "x264",
            "H.264 is encoded by x264: NVENC cannot be used: there is no NVIDIA driver.",
        ),
        ("auto", WORKS, "cpu", "x264", CPU),
        ("nvenc", WORKS, "auto", "nvenc", "H.264 is encoded by NVENC: 300 frames per second."),
        ("nvenc", WORKS, "cpu", "nvenc", "H.264 is encoded by NVENC: 300 frames per second."),
        ("nvenc", SLOW, "auto", "nvenc", "H.264 is encoded by NVENC: 1 frame per second."),
    ],
)
def test_the_encoder_follows_the_setting_and_the_trial(
    setting: EncoderSetting, trial: Trial, device: str, encoder: str, sentence: str
) -> None:
    """Who demands NVENC gets it also where it is slow."""
    chosen = choice(setting, trial, device)

    assert (chosen.report().encoder, chosen.report().sentence) == (encoder, sentence)
    assert str(check_encoder(chosen)) == sentence


def test_nvenc_that_is_demanded_and_does_not_work_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    """For the worker that starts, and for the job of a process that has not been checked; GIFs do not need it."""
    chosen = choice("nvenc", NONE)

    finding = check_encoder(chosen)

    assert (finding.state, finding.sentence, finding.remedy) == ("error", PROBLEM, REMEDY)
    with pytest.raises(Unavailable, match=PROBLEM):
        write(CountingFrames(2).clip(), tmp_path / "out.mp4", encoders=chosen)
    assert list(tmp_path.iterdir()) == []
    assert chosen.settings_for(clip_of(64, 48, Encoding("gif")), H264Settings()).nvenc_gpu is None


def test_the_trial_runs_once_and_its_outcome_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """With x264, there is no trial and no line."""
    caplog.set_level(logging.INFO)
    tried: list[H264Settings] = []

    def trial(settings: H264Settings) -> Trial:
        tried.append(settings)
        return WORKS

    for setting in ("x264", "auto"):
        chosen = EncoderChoice(setting, H264Settings(20, "fast"), "cuda:2", trial)
        chosen.begin()
        for _ in range(3):
            chosen.settings_for(clip_of(64, 48), H264Settings())
    assert tried == [H264Settings(20, "fast", nvenc_gpu=2)]
    assert caplog.messages == ["H.264 is encoded by NVENC: 300 frames per second."]


@pytest.mark.parametrize(
    ("clip", "crf", "gpu"),
    [
        (clip_of(4096, 4096), 16, 3),
        (clip_of(4098, 64), 16, None),
        (clip_of(64, 4098), 16, None),
        (clip_of(64, 48), 0, None),
        (clip_of(64, 48, Encoding("mp4", 100)), 0, 3),
        (clip_of(64, 48, Encoding("webm")), 16, None),
    ],
)
def test_large_and_lossless_videos_are_encoded_by_x264(clip: Clip, crf: int, gpu: int | None) -> None:
    """NVENC's H.264 ends at 4096 columns or rows; the codec stays H.264."""
    settings = choice(device="cuda:3").settings_for(clip, H264Settings(crf))
    assert settings == H264Settings(crf, nvenc_gpu=gpu)


@pytest.mark.parametrize(("fails_at", "drawn"), [(None, 40), (-1, 40), (0, None), (30, None)])
def test_a_video_is_whole_whenever_nvenc_fails(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fails_at: int | None,
    drawn: int | None,
) -> None:
    """Before the first frame nothing is computed again, afterwards everything; the log says so."""
    StandIn(fails_at).install(monkeypatch)
    frames = CountingFrames(40)
    encoders = choice()

    assert write(frames.clip(), tmp_path / "out.mp4", encoders=encoders) == 40

    back = shown(tmp_path / "out.mp4")
    assert back.numbers == [index % 16 for index in range(40)]
    assert back.times == [index / Fraction(25) for index in range(40)]
    assert drawn is None or frames.drawn == drawn
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    failed = [line for line in caplog.messages if line.startswith("NVENC failed: ")]
    assert len(failed) == (0 if fails_at is None else 1)
    assert all(line.endswith("x264 encodes this video from the beginning.") for line in failed)
    assert encoders.report().encoder == ("nvenc" if fails_at in {None, -1} else "x264")


def test_a_session_that_is_not_free_is_asked_for_again_by_the_next_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that broke off in the middle is not: the driver has failed."""
    for fails_at, sessions in ((-1, 2), (5, 1)):
        stand_in = StandIn(fails_at, fails_once=True).install(monkeypatch)
        encoders = choice("nvenc")
        for _ in range(2):
            assert write(CountingFrames(10).clip(), tmp_path / "out.mp4", encoders=encoders) == 10
        assert len(stand_in.sessions) == sessions
        monkeypatch.undo()


@pytest.mark.parametrize("fails_at", [None, 7])
def test_tags_audio_and_loops_are_those_of_x264(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int | None
) -> None:
    """A round trip whose frames are cached on disk; the pixel aspect and the order of the index are kept, too."""
    source = make_clip(tmp_path / "clip.mp4", Spec(count=12, aspect=Fraction(4, 3), audio=AudioSpec(seconds=0.48)))
    StandIn(fails_at).install(monkeypatch)
    warnings: list[str] = []
    files = []
    for name, encoders in (("nvenc", choice()), ("x264", None)):
        (tmp_path / name).mkdir()
        clip = ping_pong(open_file(source), 2, tmp_path / name)
        files.append(tmp_path / name / "out.mp4")
        assert write(clip, files[-1], encoders=encoders, warn=warnings.append) == 44
    described = []
    for file in files:
        with av.open(str(file)) as container:
            stream = container.streams.video[0]
            codec = stream.codec_context
            described.append(
                (
                    codec.colorspace,
                    codec.color_primaries,
                    codec.color_trc,
                    codec.color_range,
                    stream.sample_aspect_ratio,
                    stream.average_rate,
                    stream.frames,
                    codec.pix_fmt,
                )
            )
        assert file.read_bytes().index(b"moov") < file.read_bytes().index(b"mdat")
    assert described[0] == described[1]
    assert read_back(files[0]).times == read_back(files[1]).times
    assert len(audio_of(files[0])[0]) == len(audio_of(files[1])[0])
    assert warnings == []


def test_a_job_goes_on_with_x264_and_its_answer_is_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is reported again from the beginning; there is no warning, because nothing was lost."""
    StandIn(fails_at=30).install(monkeypatch)
    worker = bench(tmp_path, device="cpu")
    worker.runtime.encoders = choice("nvenc")
    reports: list[Any] = []
    source = make_clip(tmp_path / "clip.mp4", Spec(count=40))

    answer = worker.run("filters", source, job=Job("test", reports.append), brightness=10)

    assert "warnings" not in answer
    assert len(read_back(worker.output(answer)).frames) == 40
    assert [each.done for each in reports][-40:] == list(range(1, 41))
    assert worker.leftovers() == []
    assert worker.run("system_status")["encoder"] == "x264"


def test_above_4096_pixels_a_job_warns_of_h264_whatever_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The codec is the same, so nothing else has to be said."""
    stand_in = StandIn().install(monkeypatch)
    source = make_clip(tmp_path / "clip.mp4", Spec(size=(4098, 64), count=2))
    answers = []
    for setting in ("x264", "auto"):
        worker = bench(tmp_path / setting, device="cpu")
        worker.runtime.encoders = choice(setting)
        answers.append(worker.run("filters", source, brightness=10))

    assert answers[0]["warnings"] == answers[1]["warnings"]
    assert stand_in.sessions == []
