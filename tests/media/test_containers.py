"""Opening files for their packets and their audio alone."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framepack.errors import InvalidMedia
from framepack.media.audio.render import AudioRenderer
from framepack.media.clip import AudioSource
from framepack.media.containers import UNREADABLE, WITHOUT_INDEX, open_input, read_packets
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from tests.support.clips import AudioSpec, Spec, make_clip, real_clip

AUDIO = AudioSpec(seconds=2, start=Fraction(1, 2))


def packets(path: Path, **options: Any) -> list[tuple[object, ...]]:
    """Everything that is known of each packet of a file."""
    with open_input(path, **options) as container:
        return [
            (each.stream_index, each.pts, each.dts, each.duration, each.pos, each.is_keyframe, bytes(each))
            for each in read_packets(container)
        ]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts"])
def test_packets_are_the_same_without_video(tmp_path: Path, suffix: str) -> None:
    """Packets have the same times whether or not video was decoded to open the file."""
    path = make_clip(tmp_path / f"clip{suffix}", Spec(count=60, options={"bf": "3"}, audio=AUDIO))
    assert len(packets(path)) > 60
    assert packets(path, without_video=True) == packets(path)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_no_video_is_decoded_to_open_an_mp4_file_without_it(tmp_path: Path, suffix: str) -> None:
    """The pixel format, which only a decoder knows, is not known; the audio is described as ever."""
    path = make_clip(tmp_path / f"clip{suffix}", Spec(count=10, audio=AUDIO))
    with open_input(path) as container, open_input(path, without_video=True) as other:
        assert (container.streams.video[0].codec_context.pix_fmt, other.streams.video[0].codec_context.pix_fmt) == (
            "yuv420p",
            None,
        )
        described = [
            (stream.sample_rate, stream.layout.name, stream.format.name, stream.time_base)
            for stream in (container.streams.audio[0], other.streams.audio[0])
        ]
        assert described[0] == described[1]


@pytest.mark.parametrize("start", [Fraction(0), Fraction(3)])
@pytest.mark.parametrize(("codec", "suffix"), [("aac", ".mp4"), ("libmp3lame", ".mp4"), ("pcm_s16le", ".mov")])
def test_audio_is_rendered_as_if_nothing_was_known_of_it(
    tmp_path: Path, codec: str, suffix: str, start: Fraction
) -> None:
    """Audio that begins later than what is read to open the file is neither moved nor changed."""
    audio = AudioSpec(seconds=1, start=start, codec=codec, beeps=(0.5,))
    path = make_clip(tmp_path / f"clip{suffix}", Spec(count=100, audio=audio))
    source = open_clip(path, probe(path), warn=lambda _: None).audio
    assert isinstance(source, AudioSource)
    assert source.probed is not None
    renderer = AudioRenderer(48_000, 2, tmp_path)
    rendered, plainly = (
        np.concatenate(list(renderer.blocks(each)), axis=1) for each in (source, replace(source, probed=None))
    )
    assert np.abs(rendered).max() > 0.1
    assert np.array_equal(rendered, plainly)


def test_what_is_known_of_audio_is_what_its_file_says() -> None:
    """Rate, channels and beginning of a real file with six channels."""
    path = real_clip("bigbuckbunny")
    source = probe(path).audio
    assert source is not None
    with open_input(path, without_video=True) as container:
        stream = container.streams.audio[0]
        assert source.probed.rate == stream.sample_rate
        assert source.probed.channels == tuple(channel.name for channel in stream.layout.channels)


@pytest.mark.parametrize(
    ("begins_as_mp4", "sentence"), [(False, UNREADABLE), (True, WITHOUT_INDEX)], ids=["raw H.264", "MP4"]
)
def test_a_box_that_is_longer_than_any_file_is_refused(tmp_path: Path, sentence: str, *, begins_as_mp4: bool) -> None:
    """A start code of raw H.264 looks like the length of a box in 64 bits."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"\0\0\0\x10ftypisom\0\0\0\0" * begins_as_mp4 + b"\0\0\0\1mdat" + b"\xff" * 100)
    with pytest.raises(InvalidMedia) as caught:
        probe(path)
    assert str(caught.value) == sentence
