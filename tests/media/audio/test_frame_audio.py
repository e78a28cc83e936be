"""The audio for reassembled frames: extracted unchanged, cut and retimed like the frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from framepack.errors import FramepackError
from framepack.media.audio.frame_audio import FrameAudio
from framepack.media.audio.render import AudioRenderer
from framepack.media.audio.track import extract_audio
from framepack.media.clip import AudioSequence, AudioSource, StretchedAudio
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from tests.support.clips import AudioSpec, Spec, make_audio, make_clip

FPS = Fraction(30000, 1001)


def kept(source: Path) -> tuple[AudioSource, AudioSource]:
    """The audio of a clip as it is and as it is kept."""
    clip = open_clip(source, probe(source), warn=lambda _: None)
    assert isinstance(clip.audio, AudioSource)
    warnings: list[str] = []
    copied = extract_audio(clip.audio, source.with_name("kept.mka"), warnings.append)
    assert copied is not None
    assert warnings == []
    return clip.audio, copied


def beeps_of(audio: AudioSource, folder: Path) -> list[float]:
    """Seconds from the first frame at which beeps begin."""
    samples = np.concatenate(list(AudioRenderer(48000, 1, folder).blocks(audio)), axis=1)[0]
    loud = np.abs(samples) > 0.2
    return [int(at) / 48000 for at in np.flatnonzero(loud) if not loud[max(0, int(at) - 2400) : int(at)].any()]


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.mp4", "aac", 48000),
        ("b.mp4", "aac", 44100),
        ("c.mp4", "libmp3lame", 44100),
        ("d.mov", "pcm_s16le", 48000),
        ("e.webm", "libopus", 48000),
        ("f.mkv", "flac", 48000),
        ("g.avi", "ac3", 48000),
    ],
)
@pytest.mark.parametrize("start", [Fraction(0), Fraction(1, 2), Fraction(-2, 5)])
def test_extracted_audio_stays_in_sync(tmp_path: Path, name: str, codec: str, rate: int, start: Fraction) -> None:
    """Any common audio is copied without re-encoding, and its beeps keep their times, wherever it began."""
    layout = "stereo" if codec == "libopus" else "mono"
    spec = AudioSpec(codec, seconds=2, rate=rate, layout=layout, beeps=(0.4, 1.5), start=max(start, Fraction(0)))
    source = make_clip(tmp_path / name, Spec(count=60, audio=spec, start=max(-start, Fraction(0))))
    audio, copied = kept(source)
    with av.open(str(source)) as first, av.open(str(copied.path)) as second:
        codecs = [container.streams.audio[0].codec_context.name for container in (first, second)]
    assert codecs[0] == codecs[1]
    beeps = beeps_of(copied, tmp_path)
    assert len(beeps) == 2
    assert beeps == pytest.approx(beeps_of(audio, tmp_path), abs=0.001)


def test_audio_that_cannot_be_extracted_gives_a_warning(tmp_path: Path) -> None:
    """There is none then, and no file remains."""
    for path in (make_clip(tmp_path / "silent.mp4", Spec(count=3)), tmp_path / "none.mp4"):
        warnings: list[str] = []
        assert extract_audio(AudioSource(path, 1), tmp_path / "kept.mka", warnings.append) is None
        assert warnings == ["The audio could not be read and was left out."]
        assert not (tmp_path / "kept.mka").exists()


def test_a_full_disk_raises_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is not treated like unreadable audio."""
    source = make_clip(tmp_path / "a.mp4", Spec(count=3, audio=AudioSpec()))

    def full(*_: object, **__: object) -> None:
        raise av.OSError(28, "No space left on device")

    monkeypatch.setattr("framepack.media.audio.track._copied", full)
    with pytest.raises(FramepackError, match="no room"):
        extract_audio(AudioSource(source, 1), tmp_path / "kept.mka", lambda _: None)


# Plans

AUDIO = FrameAudio(AudioSource(Path("x"), 0, Fraction(1, 4)), FPS, 2)


def test_consecutive_frames_have_continuous_audio() -> None:
    """At the speed of the video the audio is cut to the frames, to the sample."""
    fps = FPS / 2
    assert AUDIO.for_frames([0, 2, 4, 6], fps) == AudioSequence(
        ((AudioSource(Path("x"), 0, Fraction(1, 4)), 4 / fps),)
    )
    assert AUDIO.for_frames([], fps) == AudioSequence(())


def test_audio_is_cut_where_frames_are_missing() -> None:
    """Each run of frames has its own part; frames that are not from the video are silent."""
    fps = FPS / 2
    plan = AUDIO.for_frames([0, 2, 8, 10, 12, None, None, 4], fps)
    cut = {frame: AudioSource(Path("x"), 0, Fraction(1, 4) - frame / FPS) for frame in (0, 8, 4)}
    assert plan == AudioSequence(((cut[0], 2 / fps), (cut[8], 3 / fps), (None, 2 / fps), (cut[4], 1 / fps)))


def test_audio_is_stretched_to_the_speed_of_the_frames() -> None:
    """At another speed the audio is stretched, however little."""
    plan = AUDIO.for_frames([4, 6], Fraction(15))
    assert plan == AudioSequence(
        (
            (
                StretchedAudio(AudioSource(Path("x"), 0, Fraction(1, 4) - 4 / FPS), Fraction(1001, 1000)),
                Fraction(2, 15),
            ),
        )
    )
    assert AUDIO.speed(Fraction(30)) == Fraction(2002, 1000)


def test_the_plan_lasts_as_long_as_its_frames(tmp_path: Path) -> None:
    """Padded with silence where the video's audio was shorter, and in sync after a cut."""
    path = make_audio(tmp_path / "a.mka", AudioSpec(codec="flac", seconds=2, beeps=(0.2, 1.6)))
    audio = FrameAudio(AudioSource(path, 0), Fraction(25), 1)
    plan = audio.for_frames([*range(10), *range(30, 75)], Fraction(25))
    samples = np.concatenate(list(AudioRenderer(48000, 1, tmp_path).blocks(plan)), axis=1)[0]
    assert len(samples) == round(55 / 25 * 48000)
    loud = np.flatnonzero(np.abs(samples) > 0.2)
    assert [loud.min() / 48000, loud.max() / 48000] == pytest.approx([0.2, 0.85], abs=0.01)
    assert not samples[round(1.25 * 48000) :].any()
