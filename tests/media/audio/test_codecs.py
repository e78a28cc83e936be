"""Audio in any codec survives extraction and reassembly, and keeps its channels."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from framepack.media.audio.track import extract_audio
from framepack.media.clip import AudioSource
from framepack.media.read.probe import probe
from tests.support.clips import AudioSpec, Spec, make_clip, with_samples
from tests.support.readback import audio_of, beep_times
from tests.support.runs import Bench, bench

VIDEO = {".wmv": "wmv2", ".avi": "mpeg4", ".flv": "flv", ".3gp": "mpeg4", ".mpg": "mpeg2video"}
BEEPS = (0.5, 1.5)
CODECS = [
    (".wmv", AudioSpec("wmav1", 2, 44100, "stereo", BEEPS, bit_rate=128_000)),
    (".wmv", AudioSpec("wmav2", 2, 44100, "stereo", BEEPS, bit_rate=128_000)),
    (".avi", AudioSpec("wmav2", 2, 44100, "mono", BEEPS, bit_rate=64_000)),
    (".3gp", AudioSpec("amr_nb", 2, 8000, "mono", BEEPS, bit_rate=12_200)),
    (".avi", AudioSpec("adpcm_ima_wav", 2, 44100, "mono", BEEPS, bit_rate=None)),
    (".avi", AudioSpec("adpcm_ms", 2, 44100, "stereo", BEEPS, bit_rate=None)),
    (".avi", AudioSpec("adpcm_yamaha", 2, 44100, "mono", BEEPS, bit_rate=None)),
    (".flv", AudioSpec("adpcm_swf", 2, 44100, "mono", BEEPS, bit_rate=None)),
    (".mov", AudioSpec("adpcm_ima_qt", 2, 44100, "stereo", BEEPS, bit_rate=None)),
    (".mov", AudioSpec("pcm_mulaw", 2, 8000, "mono", BEEPS, bit_rate=None)),
    (".avi", AudioSpec("pcm_alaw", 2, 8000, "mono", BEEPS, bit_rate=None)),
    (".flv", AudioSpec("nellymoser", 2, 44100, "mono", BEEPS, bit_rate=None)),
    (".mov", AudioSpec("pcm_s24be", 2, 48000, "stereo", BEEPS, bit_rate=None)),
    (".mov", AudioSpec("alac", 2, 44100, "stereo", BEEPS, bit_rate=None)),
    (".mkv", AudioSpec("wavpack", 2, 44100, "stereo", BEEPS, bit_rate=None)),
    (".mpg", AudioSpec("mp2", 2, 44100, "stereo", BEEPS, bit_rate=None)),
]


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker that encodes quickly."""
    return bench(tmp_path, video_preset="ultrafast")


def clip(path: Path, audio: AudioSpec) -> Path:
    """A video of two seconds with audio."""
    return make_clip(path, Spec(count=50, codec=VIDEO.get(path.suffix), audio=audio))


@pytest.mark.parametrize(("suffix", "audio"), CODECS)
def test_every_codec_survives_extraction_and_reassembly(
    worker: Bench, tmp_path: Path, suffix: str, audio: AudioSpec
) -> None:
    """What Matroska cannot hold is encoded without loss; the beeps are where an export has them."""
    source = clip(tmp_path / f"clip{suffix}", audio)
    folder = worker.run("extract_frames", source)
    assert not [sentence for sentence in folder.get("warnings", []) if "could not be read" in sentence]
    again = worker.output(
        worker.run("reassemble_frames", folder_name=folder["folder_name"], output_fps=25, with_audio=True)
    )
    exported = worker.output(worker.run("export", source))
    assert len(beep_times(exported)) == 2
    assert beep_times(again) == pytest.approx(beep_times(exported), abs=0.005)
    samples, out_rate = audio_of(again)
    assert len(samples) / out_rate == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("delay", [Fraction(0), Fraction(1, 3), Fraction(-1, 4)])
def test_encoded_audio_keeps_rate_channels_and_time(tmp_path: Path, delay: Fraction) -> None:
    """The file of its own begins with the first frame, to the sample."""
    source = clip(tmp_path / "clip.wmv", AudioSpec("wmav2", 2, 44100, "stereo", BEEPS, bit_rate=128_000))
    info = probe(source)
    assert info.audio is not None
    warnings: list[str] = []
    kept = extract_audio(AudioSource(source, info.audio.stream, delay), tmp_path / "a.mka", warnings.append)
    assert kept == AudioSource(tmp_path / "a.mka", 0, Fraction(0))
    assert warnings == []
    with av.open(str(kept.path)) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.sample_rate, stream.channels) == ("flac", 44100, 2)
    expected = [0.5 + float(delay), 1.5 + float(delay)]
    assert beep_times(kept.path) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("codec", ["pcm_s24be", "aac", "libopus", "ac3"])
@pytest.mark.parametrize(
    ("operation", "params", "expected"),
    [
        ("export", {"format": "MP4"}, None),
        ("export", {"format": "WebM"}, "opus"),
        ("loop", {}, "aac"),
        ("interpolate", {"fps_mode": "No Interpolation", "speed_factor": 0.5}, "aac"),
    ],
)
def test_six_channels_are_kept(
    worker: Bench, tmp_path: Path, codec: str, operation: str, params: dict[str, Any], expected: str | None
) -> None:
    """Each channel stays in its place: only the center has a tone."""
    path = tmp_path / ("clip.mkv" if codec in {"libopus", "ac3"} else "clip.mov")
    layout = "5.1(side)" if codec == "ac3" else "5.1"
    rate = 48000
    tone = np.zeros((6, rate), np.float32)
    tone[2] = 0.5 * np.sin(2 * np.pi * 400 * np.arange(rate) / rate)
    with_samples(path, codec, av.AudioFrame.from_ndarray(tone, "fltp", layout), rate)
    result = worker.output(worker.run(operation, path, **params))
    with av.open(str(result)) as container:
        stream = container.streams.audio[0]
        assert stream.channels == 6
        assert expected in {None, stream.codec_context.codec.canonical_name}
        resampler = av.AudioResampler("fltp", "5.1", rate)
        pieces = [piece.to_ndarray() for frame in container.decode(stream) for piece in resampler.resample(frame)]
    power = np.sqrt((np.concatenate(pieces, axis=1)[:, 4800:40000] ** 2).mean(axis=1))
    assert power[2] == pytest.approx(0.35, abs=0.08)
    assert np.delete(power, 2).max() < 0.02


@pytest.mark.parametrize(("format_", "channels", "expected"), [("MP4", 4, 5), ("WebM", 4, 4), ("MP4", 3, 3)])
def test_other_numbers_of_channels(worker: Bench, tmp_path: Path, format_: str, channels: int, expected: int) -> None:
    """A number that players of AAC do not know becomes the next one; none is lost."""
    layout = {3: "3.0", 4: "quad"}[channels]
    source = clip(tmp_path / "clip.mov", AudioSpec("pcm_s16le", 2, 48000, layout))
    with av.open(str(worker.output(worker.run("export", source, format=format_)))) as container:
        assert container.streams.audio[0].channels == expected
