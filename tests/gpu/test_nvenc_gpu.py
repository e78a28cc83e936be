"""NVENC itself, on GPUs that have it: every frame, in order, with the tags of the clip."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from framepack.media.write.encoder_choice import EncoderChoice
from framepack.media.write.encoders import H264Settings
from framepack.media.write.nvenc_trial import try_nvenc
from framepack.media.write.writer import write
from tests.support.looping import CountingFrames, shown
from tests.support.readback import read_back

pytestmark = pytest.mark.gpu


def test_a_video_of_nvenc_has_every_frame_at_its_time(tmp_path: Path) -> None:
    """Also if the last ones are still in the encoder when the clip ends."""
    trial = try_nvenc(H264Settings(nvenc_gpu=0))
    if trial.fault is not None and trial.fault.startswith("the GPU has no NVENC"):
        pytest.skip(trial.fault)
    assert trial.fault is None
    encoders = EncoderChoice("nvenc")
    frames = CountingFrames(100, (320, 192))

    assert write(frames.clip(), tmp_path / "out.mp4", encoders=encoders) == 100

    assert encoders.report().encoder == "nvenc"
    assert frames.drawn == 100
    back = shown(tmp_path / "out.mp4")
    assert back.numbers == [index % 16 for index in range(100)]
    assert back.times == [index / Fraction(25) for index in range(100)]
    assert back.rate == 25
    assert read_back(tmp_path / "out.mp4").colors == frames.clip().colors
