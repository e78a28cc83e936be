"""Videos over a limit are refused with one sentence that names the limit."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from framepack.errors import TooLarge
from framepack.media.clip import Clip
from framepack.media.read.probe import VideoInfo, probe
from framepack.processing.limits import check_output, check_source
from framepack.settings import Settings
from tests.support.clips import Spec, make_clip


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> VideoInfo:
    """A clip of 64 x 48, two seconds, 50 frames."""
    return probe(make_clip(tmp_path_factory.mktemp("limits") / "clip.mp4", Spec(count=50)))


def limited(**limits: Any) -> Settings:
    """Settings with some limits."""
    return Settings(**limits)


@pytest.mark.parametrize(
    ("name", "allowed", "sentence"),
    [
        ("max_pixels", 64 * 48, "The video's frames have 64 x 48 pixels; at most 3071 are allowed."),
        ("max_seconds", 2, "The video lasts 2.0 seconds; at most 1 are allowed."),
        ("max_frames", 50, "The video has 50 frames; at most 49 are allowed."),
    ],
)
def test_sources_over_a_limit_are_refused(info: VideoInfo, name: str, allowed: int, sentence: str) -> None:
    """Exactly at a limit is fine, one over is not."""
    check_source(info, limited(**{name: allowed}))
    with pytest.raises(TooLarge) as refused:
        check_source(info, limited(**{name: allowed - 1}))
    assert str(refused.value) == sentence


def test_source_files_over_the_size_limit_are_refused(info: VideoInfo) -> None:
    """The size of the file counts in megabytes."""
    heavy = replace(info, size_bytes=12_500_000)
    check_source(heavy, limited(max_source_mb=12.5))
    with pytest.raises(TooLarge, match=r"^The video has 12\.5 MB; at most 12\.4 MB are allowed\.$"):
        check_source(heavy, limited(max_source_mb=12.4))


def test_dropped_frames_count_towards_the_limit(info: VideoInfo) -> None:
    """Frames that share a slot are still decoded: the larger number counts."""
    dense = replace(info, frame_count=5000)
    with pytest.raises(TooLarge, match="5000 frames"):
        check_source(dense, limited(max_frames=1000))


def test_outputs_over_a_limit_are_refused() -> None:
    """What would be written is known before anything is computed."""
    clip = Clip(lambda: iter(()), Fraction(25), 640, 480, 100)
    check_output(clip, limited(max_output_pixels=640 * 480, max_output_frames=100))
    with pytest.raises(TooLarge) as refused:
        check_output(clip, limited(max_output_pixels=640 * 480 - 1))
    assert str(refused.value) == "The output's frames would have 640 x 480 pixels; at most 307199 are allowed."
    with pytest.raises(TooLarge, match=r"^The output would have 100 frames; at most 99 are allowed\.$"):
        check_output(clip, limited(max_output_frames=99))


def test_an_unknown_length_is_no_length() -> None:
    """A clip that cannot say how long it is passes here."""
    check_output(Clip(lambda: iter(()), Fraction(25), 64, 48, None), limited(max_output_frames=1))


def test_the_default_limits_let_ordinary_videos_pass(info: VideoInfo) -> None:
    """Nothing needs to be set for an ordinary clip."""
    check_source(info, Settings())
