"""Encoders collect fewer frames the larger these are."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from framepack.media.clip import Clip
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from framepack.media.write import encoders
from framepack.media.write.encoders import lookahead
from framepack.media.write.writer import write
from tests.support.clips import Spec, make_clip


@pytest.mark.parametrize(
    ("size", "usual", "frames"),
    [
        ((1280, 720), 40, 40),
        ((1920, 1080), 40, 40),
        ((1920, 1080), 10, 10),
        ((1920, 1080), 0, 0),
        ((2560, 1440), 40, 22),
        ((4096, 2304), 40, 10),
        ((7680, 4320), 50, 10),
        ((7680, 4320), 0, 0),
    ],
)
def test_the_lookahead_is_bounded_by_bytes(size: tuple[int, int], usual: int, frames: int) -> None:
    """Up to 1080p it is the preset's; above, it shrinks to ten frames, and never grows."""
    assert lookahead(Clip(lambda: iter(()), Fraction(25), *size, 100), usual) == frames


@pytest.mark.parametrize(("lookahead_bytes", "expected"), [(None, b"rc_lookahead=40"), (1, b"rc_lookahead=10")])
def test_the_encoder_gets_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lookahead_bytes: int | None, expected: bytes
) -> None:
    """The settings that x264 writes into its stream show it."""
    if lookahead_bytes is not None:
        monkeypatch.setattr(encoders, "_LOOKAHEAD_BYTES", lookahead_bytes)
    source = make_clip(tmp_path / "clip.mp4", Spec(count=30))
    clip = open_clip(source, probe(source), warn=lambda _: None)
    assert write(clip, tmp_path / "output.mp4") == 30
    assert expected in (tmp_path / "output.mp4").read_bytes()
