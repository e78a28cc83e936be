"""Rendering of audio plans: exact to the sample, in constant memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from framepack.media.audio.render import AudioRenderer, audio_sources
from framepack.media.clip import AudioPlan, AudioSequence, AudioSource, ReversedAudio, StretchedAudio
from tests.support.clips import AudioSpec, corrupt, make_audio
from tests.support.pcm import Samples, make_pcm, noise

RATE = 48000
SPEEDS = [Fraction(speed) for speed in ("1/4", "1/3", "1/2", "3/4", "9/10", "11/10", "3/2", "2", "3", "4")]


@pytest.fixture
def source(tmp_path: Path) -> tuple[AudioSource, Samples]:
    """Two seconds of noise in a file, and its samples."""
    samples = noise(2 * RATE)
    return AudioSource(make_pcm(tmp_path / "noise.mov", samples), 0), samples


def rendered(audio: AudioPlan | None, folder: Path, channels: int = 1, rate: int = RATE) -> Samples:
    """All samples of a plan."""
    renderer = AudioRenderer(rate, channels, folder)
    return np.concatenate([np.zeros((channels, 0), np.float32), *renderer.blocks(audio)], axis=1)


def test_a_file_is_rendered_unchanged(tmp_path: Path, source: tuple[AudioSource, Samples]) -> None:
    """Every sample, unchanged."""
    audio, samples = source
    assert np.array_equal(rendered(audio, tmp_path), samples)


def test_stereo_channels_are_not_swapped(tmp_path: Path) -> None:
    """Left stays left."""
    samples = noise(5000, channels=2)
    audio = AudioSource(make_pcm(tmp_path / "noise.mov", samples), 0)
    assert np.array_equal(rendered(audio, tmp_path, channels=2), samples)
    turned = rendered(ReversedAudio(audio, Fraction(5000, RATE)), tmp_path, channels=2)
    assert np.array_equal(turned, samples[:, ::-1])


@pytest.mark.parametrize("delay", [Fraction(0), Fraction(1, 4), Fraction(-1, 4), Fraction(-3)])
def test_delay_pads_or_trims_the_start(tmp_path: Path, source: tuple[AudioSource, Samples], delay: Fraction) -> None:
    """Audio that begins late begins late, and what comes before the first frame is left out, to the sample."""
    audio, samples = source
    shift = round(delay * RATE)
    expected = np.pad(samples, ((0, 0), (shift, 0))) if shift > 0 else samples[:, -shift:]
    assert np.array_equal(rendered(AudioSource(audio.path, 0, delay), tmp_path), expected)


def test_a_stream_that_starts_late_is_counted_once(tmp_path: Path) -> None:
    """The delay is what ``probe`` says; the file's own start is part of it."""
    samples = noise(RATE)
    audio = AudioSource(make_pcm(tmp_path / "late.mov", samples, start=Fraction(1, 2)), 0, Fraction(1, 2))
    result = rendered(audio, tmp_path)
    assert np.array_equal(result, np.pad(samples, ((0, 0), (RATE // 2, 0))))


def test_gaps_become_silence(tmp_path: Path) -> None:
    """What follows a gap keeps its time."""
    first, second = noise(RATE // 2), noise(RATE // 2, seed=4)
    audio = AudioSource(make_pcm(tmp_path / "a.mkv", first), 0)
    later = AudioSource(make_pcm(tmp_path / "b.mkv", second), 0)
    plan = AudioSequence(((audio, Fraction(1)), (later, Fraction(1, 2))))
    assert np.array_equal(rendered(plan, tmp_path), np.concatenate([first, 0 * first, second], axis=1))


@pytest.mark.parametrize("speed", SPEEDS)
def test_stretched_length_is_exact(tmp_path: Path, source: tuple[AudioSource, Samples], speed: Fraction) -> None:
    """Seconds divided by speed, to the sample."""
    audio, samples = source
    assert rendered(StretchedAudio(audio, speed), tmp_path).shape == (1, round(samples.shape[1] / speed))


@pytest.mark.parametrize("speed", SPEEDS)
def test_stretched_audio_keeps_pitch_and_timing(tmp_path: Path, speed: Fraction) -> None:
    """A tone stays at 1 kHz, and its middle is within 25 ms of its time at that speed."""
    tones = tuple(0.5 + 0.05 * index for index in range(4)), tuple(1.5 + 0.05 * index for index in range(4))
    recipe = AudioSpec(codec="pcm_s16le", seconds=2.5, beeps=(*tones[0], *tones[1]))
    audio = AudioSource(make_audio(tmp_path / "tone.mkv", recipe), 0)
    samples = rendered(StretchedAudio(audio, speed), tmp_path)[0]
    for middle in (0.6, 1.6):
        place = float(middle / speed)
        begin, end = round((place - 0.3 / float(speed)) * RATE), round((place + 0.3 / float(speed)) * RATE)
        part = samples[begin:end]
        power = part**2
        center = float((power * np.arange(begin, end)).sum() / power.sum()) / RATE
        assert center == pytest.approx(place, abs=0.025)
        spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 1 << 18))
        assert np.argmax(spectrum) * RATE / (1 << 18) == pytest.approx(1000, abs=15)


def test_speed_one_changes_nothing(tmp_path: Path, source: tuple[AudioSource, Samples]) -> None:
    """No filter touches it."""
    audio, samples = source
    assert np.array_equal(rendered(StretchedAudio(audio, Fraction(1)), tmp_path), samples)


@pytest.mark.parametrize("seconds", [Fraction(1), Fraction(1001, 30000), Fraction(2), Fraction(5, 2)])
def test_reversed_audio_is_exact_to_the_sample(
    tmp_path: Path, source: tuple[AudioSource, Samples], seconds: Fraction
) -> None:
    """The first seconds, the last sample first; what the audio is short of is silence, which then comes first."""
    audio, samples = source
    count = round(seconds * RATE)
    expected = np.pad(samples, ((0, 0), (0, max(0, count - samples.shape[1]))))[:, :count][:, ::-1]
    assert np.array_equal(rendered(ReversedAudio(audio, seconds), tmp_path), expected)


def test_a_sequence_never_drifts(tmp_path: Path, source: tuple[AudioSource, Samples]) -> None:
    """However uneven the parts, each begins at its own time rounded to a sample."""
    audio, samples = source
    seconds = Fraction(1001, 30000) + Fraction(1, 7)
    result = rendered(AudioSequence(((audio, seconds),) * 101), tmp_path)
    assert result.shape == (1, round(101 * seconds * RATE))
    for part in (0, 1, 50, 100):
        begin, end = round(part * seconds * RATE), round((part + 1) * seconds * RATE)
        assert np.array_equal(result[:, begin:end], samples[:, : end - begin])


def test_parts_are_trimmed_padded_or_silent(tmp_path: Path, source: tuple[AudioSource, Samples]) -> None:
    """Longer audio is trimmed, shorter audio is padded with silence, None is silence, and plans nest."""
    audio, samples = source
    inner = AudioSequence(((ReversedAudio(audio, Fraction(1)), Fraction(1, 2)), (None, Fraction(1, 4))))
    plan = AudioSequence(((inner, Fraction(1)), (audio, Fraction(3)), (None, Fraction(1, 10))))
    expected = np.zeros((1, round(4.1 * RATE)), np.float32)
    expected[:, : RATE // 2] = samples[:, RATE - 1 : RATE // 2 - 1 : -1]
    expected[:, RATE : 3 * RATE] = samples
    assert np.array_equal(rendered(plan, tmp_path), expected)


def test_repeated_parts_are_rendered_once(
    tmp_path: Path, source: tuple[AudioSource, Samples], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten plays of a costly plan decode its file once."""
    audio, samples = source
    opened: list[AudioSource] = []
    decode = AudioRenderer._decoded

    def counted(self: AudioRenderer, audio: AudioSource) -> Iterator[Samples]:
        opened.append(audio)
        return decode(self, audio)

    monkeypatch.setattr(AudioRenderer, "_decoded", counted)
    result = rendered(AudioSequence(((ReversedAudio(audio, Fraction(2)), Fraction(2)),) * 10), tmp_path)
    assert opened == [audio]
    assert np.array_equal(result, np.tile(samples[:, ::-1], 10))


def test_audio_sources_of_a_plan(source: tuple[AudioSource, Samples]) -> None:
    """A plan of silence has none; any other names its files."""
    audio, _ = source
    assert not list(
        audio_sources(AudioSequence(((None, Fraction(1)), (AudioSequence(((None, Fraction(1)),)), Fraction(1)))))
    )
    plan = AudioSequence(
        ((None, Fraction(1)), (StretchedAudio(ReversedAudio(audio, Fraction(1)), Fraction(2)), Fraction(1)))
    )
    assert list(audio_sources(plan)) == [audio]


def test_rates_and_channels_are_converted(tmp_path: Path) -> None:
    """Stereo at 44.1 kHz becomes mono at 48 kHz of the same length."""
    audio = AudioSource(make_pcm(tmp_path / "cd.mkv", noise(44100, channels=2), rate=44100), 0)
    assert rendered(audio, tmp_path).shape[1] == pytest.approx(RATE, abs=2)


def test_damage_becomes_silence_and_is_counted(tmp_path: Path) -> None:
    """A missing or damaged file never raises."""
    gone = AudioRenderer(RATE, 1, tmp_path)
    plan = AudioSequence(((AudioSource(tmp_path / "gone", 0), Fraction(1)),))
    assert not np.concatenate(list(gone.blocks(plan)), axis=1).any()
    assert gone.damage.files == 1

    whole = make_audio(tmp_path / "whole.mkv", AudioSpec(codec="flac", seconds=2, beeps=(0.2,)))
    for seed in range(4):
        renderer = AudioRenderer(RATE, 1, tmp_path)
        damaged = AudioSource(corrupt(whole, tmp_path / "damaged.mkv", 0.6, 0.8, seed), 0)
        blocks = list(renderer.blocks(ReversedAudio(damaged, Fraction(2))))
        assert sum(block.shape[1] for block in blocks) == 2 * RATE


def test_no_temporary_files_remain(tmp_path: Path, source: tuple[AudioSource, Samples]) -> None:
    """Neither at the end nor if rendering stops early."""
    audio, _ = source
    before = sorted(tmp_path.iterdir())
    rendered(ReversedAudio(audio, Fraction(2)), tmp_path)
    stopped = AudioRenderer(RATE, 1, tmp_path).blocks(
        AudioSequence(((ReversedAudio(audio, Fraction(2)), Fraction(2)),) * 2)
    )
    next(stopped)
    assert sorted(tmp_path.iterdir()) == before


_PEAK = """
import sys
from fractions import Fraction
from pathlib import Path
from framepack.media.clip import AudioSequence, AudioSource, ReversedAudio, StretchedAudio
from framepack.media.audio.render import AudioRenderer
seconds = Fraction(sys.argv[2])
audio = AudioSource(Path(sys.argv[1]), 0)
plan = AudioSequence(((StretchedAudio(ReversedAudio(audio, seconds), Fraction(1, 2)), 2 * seconds),) * 2)
count = sum(block.shape[1] for block in AudioRenderer(48000, 2, Path(sys.argv[1]).parent).blocks(plan))
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(count, peak.split()[1])
"""


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    """Ten times as much audio, stretched, reversed and repeated, needs no more than 5 % more memory at the peak."""
    peaks = {}
    for seconds in (12, 120):
        path = make_pcm(tmp_path / f"{seconds}.mkv", noise(seconds * RATE, channels=2))
        run = [sys.executable, "-c", _PEAK, str(path), str(seconds)]
        count, peak = subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()
        assert int(count) == 4 * seconds * RATE
        peaks[seconds] = int(peak)
    assert peaks[120] <= 1.05 * peaks[12]
