"""Whatever reads a file stops where the check of its job raises, not only where it gives something out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import count
from pathlib import Path

import pytest

from framepack.cancellation import stoppable
from framepack.errors import Cancelled
from framepack.media.audio.render import AudioRenderer
from framepack.media.audio.track import extract_audio
from framepack.media.clip import AudioSource, Clip
from framepack.media.mux.join import JoinInput, copy_joined
from framepack.media.mux.repeat import copyable_video
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from framepack.media.section import Section
from framepack.media.timeline.concat import concatenate
from framepack.media.write.writer import write
from tests.support.clips import AudioSpec, Spec, make_clip

CALLS = 20


def opened(path: Path, begin: int = 0) -> Clip:
    """A video from a time in seconds on."""
    return open_clip(path, probe(path), warn=lambda _: None, section=Section(Fraction(begin)) if begin else None)


def scan(path: Path, _: Path) -> Callable[[], object]:
    """What ``analyze`` does."""
    return lambda: probe(path)


def skip_frames(path: Path, _: Path) -> Callable[[], object]:
    """Wait for the first frame of a section."""
    clip = opened(path, 9)
    return lambda: next(iter(clip.frames()))


def encode(path: Path, to: Path) -> Callable[[], object]:
    """Encode a video."""
    clip = opened(path)
    return lambda: write(clip, to)


def skip_audio(path: Path, to: Path) -> Callable[[], object]:
    """Encode a section whose frames are there, so that only its audio is read."""
    clip = opened(path, 9)
    shown = list(clip.frames())
    return lambda: write(replace(clip, frames=lambda: iter(shown)), to)


def render_audio(path: Path, to: Path) -> Callable[[], object]:
    """Decode audio."""
    return lambda: list(AudioRenderer(48_000, 1, to.parent).blocks(AudioSource(path, 1)))


def keep_audio(path: Path, to: Path) -> Callable[[], object]:
    """Store the audio of extracted frames."""
    return lambda: extract_audio(AudioSource(path, 1), to, lambda _: None)


def look_at_loop(path: Path, _: Path) -> Callable[[], object]:
    """Find out whether a loop can copy packets."""
    info = probe(path)
    return lambda: copyable_video(path, info)


def join(path: Path, to: Path) -> Callable[[], object]:
    """Join by copying packets."""
    parts, clip = [JoinInput(path, probe(path))] * 2, replace(concatenate([opened(path)] * 2), audio=None)
    return lambda: copy_joined(parts, clip, to, warn=lambda _: None)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds with audio and a single key frame."""
    spec = Spec(count=250, options={"g": "1000", "sc_threshold": "0"}, audio=AudioSpec(seconds=10))
    return make_clip(tmp_path_factory.mktemp("stopping") / "source.mp4", spec)


@pytest.mark.parametrize(
    "reader", [scan, skip_frames, encode, skip_audio, render_audio, keep_audio, look_at_loop, join]
)
def test_whatever_reads_a_file_stops_with_the_check(
    reader: Callable[[Path, Path], Callable[[], object]], source: Path, tmp_path: Path
) -> None:
    """After as many packets, with no thread and no file behind."""
    read = reader(source, tmp_path / "output.mkv" if reader is keep_audio else tmp_path / "output.mp4")
    before, calls = threading.active_count(), count(1)

    def check() -> None:
        if next(calls) >= CALLS:
            raise Cancelled("The job was cancelled.")

    with stoppable(check), pytest.raises(Cancelled):
        read()

    assert next(calls) <= CALLS + 10  # two threads may see it
    assert threading.active_count() == before
    assert list(tmp_path.iterdir()) == []
