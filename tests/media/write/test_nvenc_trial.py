"""The trial of NVENC, with a stand-in where it has to work: right, wrong, slow and large."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from framepack.media.codecs import has_encoder
from framepack.media.write import encoder_choice, nvenc_trial
from framepack.media.write.encoder_choice import EncoderChoice
from framepack.media.write.encoders import H264Settings
from framepack.media.write.nvenc import NVENC, nvenc_options
from framepack.media.write.nvenc_trial import Trial, try_nvenc
from framepack.models.driver import read_driver
from tests.support.nvenc import SESSIONS_USED, StandIn

GPU = H264Settings(preset="ultrafast", nvenc_gpu=0)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small image and few frames; x264 takes one second for them, and NVENC half of one."""
    monkeypatch.setattr(nvenc_trial, "_SIZE", (320, 192))
    monkeypatch.setattr(nvenc_trial, "_FRAMES", 10)
    seconds(monkeypatch, nvenc=0.5, x264=1)


def seconds(monkeypatch: pytest.MonkeyPatch, *, nvenc: float, x264: float) -> None:
    """Let both encoders take some time."""
    clock = iter([0, nvenc, 0, x264])
    monkeypatch.setattr(nvenc_trial, "time", SimpleNamespace(perf_counter=lambda: next(clock)))


@pytest.mark.skipif(read_driver().has_library, reason="needs a machine without a driver")
def test_nvenc_is_built_in_and_a_machine_without_a_driver_is_told_from_one_with() -> None:
    """No frame is drawn; the log of FFmpeg is as quiet as before."""
    assert has_encoder(NVENC)
    level = av.logging.get_level()
    assert try_nvenc(GPU) == Trial("there is no NVIDIA driver (FFmpeg says: Cannot load libcuda.so.1)")
    assert av.logging.get_level() == level


def test_every_option_exists_in_this_ffmpeg() -> None:
    """FFmpeg ignores options that it does not know."""
    known = av.CodecContext.create(NVENC, "w").supported_options
    options = {each.name: each for each in (*known.generic, *known.private)}

    given = nvenc_options(16, "medium", 40, 1)

    assert given.keys() <= options.keys()
    for name in ("preset", "tune", "profile", "rc"):
        assert given[name] in {choice.name for choice in options[name].choices}


@pytest.mark.parametrize(
    ("crf", "preset", "lookahead", "expected"),
    [
        (16, "medium", 40, {"cq": "18", "preset": "p5", "rc-lookahead": "32", "b": "0", "rc": "vbr", "bf": "3"}),
        (23, "slow", 10, {"cq": "25", "preset": "p7", "rc-lookahead": "10", "tune": "hq", "spatial-aq": "1"}),
        (1, "ultrafast", 0, {"cq": "3", "preset": "p1", "rc-lookahead": "0", "temporal-aq": "1", "gpu": "1"}),
    ],
)
def test_options_follow_quality_and_preset(crf: int, preset: str, lookahead: int, expected: dict[str, str]) -> None:
    """A quantizer of 0 would mean "automatic", and a bit rate that is not 0 would be a limit."""
    assert expected.items() <= nvenc_options(crf, preset, lookahead, 1).items()


def test_an_encoder_that_works_has_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both encoders get the same frames, whose quality and order are compared."""
    stand_in = StandIn().install(monkeypatch)

    trial = try_nvenc(GPU)

    assert (trial.fault, trial.drawback) == (None, None)
    assert trial.figures.startswith("20 frames per second of 320x192 beside 10 with x264, 4")
    assert [options["cq"] for options in stand_in.sessions] == ["18"]


@pytest.mark.parametrize(
    "change",
    [
        lambda yuv: np.roll(yuv, 2, axis=1),
        lambda yuv: np.vstack([yuv[:192], yuv[240:], yuv[192:240]]),  # Cb and Cr in each other's place
        np.zeros_like,
    ],
)
def test_wrong_images_are_a_fault(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Shifted, with wrong colors, and black."""
    StandIn(change=change).install(monkeypatch)
    assert str(try_nvenc(GPU).fault).startswith("its images are wrong: 20 frames per second")


def test_coarse_images_are_a_drawback(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are more than 2 dB worse than x264's."""
    StandIn(options={"preset": "ultrafast", "crf": "20"}).install(monkeypatch)

    trial = try_nvenc(GPU)

    assert trial.fault is None
    assert str(trial.drawback).startswith("NVENC makes worse images here: 20 frames per second of 320x192")


def test_a_slow_encoder_has_a_drawback(monkeypatch: pytest.MonkeyPatch) -> None:
    """It works all the same."""
    seconds(monkeypatch, nvenc=2, x264=1)
    StandIn().install(monkeypatch)

    trial = try_nvenc(GPU)

    assert trial.fault is None
    assert str(trial.drawback).startswith("NVENC is slower here: 5 frames per second of 320x192 beside 10 with x264")


def test_an_encoder_of_large_files_has_a_drawback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half as large again as x264's."""
    StandIn(options={"preset": "ultrafast", "crf": "4"}).install(monkeypatch)
    assert str(try_nvenc(GPU).drawback).startswith("NVENC makes much larger files")


@pytest.mark.parametrize(
    ("logged", "fault"),
    [
        (SESSIONS_USED, "all sessions that the GPU or its driver allows are in use, or its memory is full"),
        ("Cannot load libnvidia-encode.so.1", "the driver's library for video is not in the container, which needs"),
        ("OpenEncodeSessionEx failed: unsupported device (2)", "the GPU has no NVENC, such as A100, H100 and H200"),
        ("Driver does not support the required nvenc API version. Required: 13.0 Found: 12.1", "the driver is too"),
        ("InitializeEncoder failed: invalid param (8)", "FFmpeg says: InitializeEncoder failed: invalid param (8)"),
    ],
)
def test_what_ffmpeg_logs_is_the_reason(monkeypatch: pytest.MonkeyPatch, logged: str, fault: str) -> None:
    """With its meaning where it is known; all messages are kept."""
    StandIn(fails_at=-1, logged=(logged, "No capable devices found")).install(monkeypatch)

    reason = str(try_nvenc(GPU).fault)

    assert reason.startswith(fault)
    assert f"FFmpeg says: {logged} / No capable devices found" in reason


@pytest.mark.parametrize(
    ("fails_at", "fault"),
    [
        (-1, "all sessions that the GPU or its driver allows are in use, or its memory is full (FFmpeg says: Open"),
        (0, "FFmpeg says: Generic error in an external library"),
        (9, "FFmpeg says: Generic error in an external library"),
    ],
)
def test_an_encoder_that_fails_is_a_fault(monkeypatch: pytest.MonkeyPatch, fails_at: int, fault: str) -> None:
    """When it is opened, at the first frame and at the last."""
    StandIn(fails_at=fails_at).install(monkeypatch)
    assert str(try_nvenc(GPU).fault).startswith(fault)


def test_an_ffmpeg_without_nvenc_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its version is named."""
    monkeypatch.setattr(nvenc_trial, "has_encoder", lambda _name: False)
    assert str(try_nvenc(GPU).fault).startswith("FFmpeg ")
    assert str(try_nvenc(GPU).fault).endswith("is built without it")


def test_a_trial_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that breaks has its error in the sentence."""
    monkeypatch.setattr(encoder_choice, "TRIAL_SECONDS", 0.05)
    hanging = threading.Event()

    def hang(_settings: H264Settings) -> Trial:
        hanging.wait()
        return Trial()

    def fail(_settings: H264Settings) -> Trial:
        raise OSError("libnvidia-encode.so.1: file too short")

    assert EncoderChoice("auto", trial=hang).report().sentence.endswith("there was no answer within 0.05 seconds.")
    hanging.set()
    monkeypatch.setattr(encoder_choice, "TRIAL_SECONDS", 10)
    sentence = EncoderChoice("auto", trial=fail).report().sentence
    assert sentence.endswith("cannot be used: OSError: libnvidia-encode.so.1: file too short.")
