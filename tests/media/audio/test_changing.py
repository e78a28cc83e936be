"""Audio that changes, begins late, or whose times and durations are wrong."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from framepack.media.audio.track import extract_audio
from framepack.media.clip import AudioSource
from framepack.media.transport_stream import announced_streams
from tests.support.clips import REPRODUCIBLE, AudioSpec, Spec, add_audio, flat, make_clip
from tests.support.odd_files import with_duration
from tests.support.readback import audio_of, beep_times
from tests.support.runs import Bench, bench

PLAIN = Spec(count=50, frame=flat((90, 90, 90)))
BEEPING = AudioSpec(seconds=2, beeps=(0.5,), layout="stereo")
CHANGES = [replace(BEEPING, rate=44100), replace(BEEPING, layout="5.1"), replace(BEEPING, codec="ac3", layout="mono")]


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker that encodes quickly."""
    return bench(tmp_path, video_preset="ultrafast")


def joined(path: Path, *audios: AudioSpec | None, count: int = 50) -> Path:
    """A TS file of several whole streams, one after the other."""
    parts = [
        make_clip(path.parent / f"part{number}.ts", replace(PLAIN, count=count if audio is None else 50, audio=audio))
        for number, audio in enumerate(audios)
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def pitches(path: Path) -> list[float]:
    """The strongest frequency of each beep in hertz."""
    samples, rate = audio_of(path)
    found = []
    for beep in beep_times(path):
        tone = samples[round((beep + 0.005) * rate) : round((beep + 0.045) * rate)]
        found.append(float(np.abs(np.fft.rfft(tone * np.hanning(len(tone)), rate)).argmax()))
    return found


def formats(path: Path) -> set[tuple[int, str, str]]:
    """All sample rates, layouts and codecs that each packet decodes to; damaged packets are errors."""
    with av.open(str(path)) as container:
        codec = container.streams.audio[0].codec_context.name
        return {(frame.sample_rate, frame.layout.name, codec) for frame in container.decode(audio=0)}


@pytest.mark.parametrize("changed", CHANGES, ids=["rate", "channels", "AC-3"])
@pytest.mark.parametrize("operation", ["export", "reassemble_frames"])
def test_audio_that_changes_midway_is_encoded(
    worker: Bench, tmp_path: Path, changed: AudioSpec, operation: str
) -> None:
    """One rate and layout, all beeps at their time and pitch."""
    first = replace(BEEPING, codec=changed.codec)
    source = joined(tmp_path / "clip.ts", first, changed, first)
    if operation == "export":
        answer = worker.run("export", source)
    else:
        folder = worker.run("extract_frames", source)["folder_name"]
        answer = worker.run("reassemble_frames", folder_name=folder, output_fps=25, with_audio=True)
    output = worker.output(answer)
    assert formats(output) == {(48000, "stereo", "aac")}
    assert beep_times(output) == pytest.approx([0.5, 2.5, 4.5], abs=0.03)
    assert pitches(output) == pytest.approx([1000] * 3, abs=20)


def test_audio_of_a_later_part_is_found_wherever_it_begins(worker: Bench, tmp_path: Path) -> None:
    """FFmpeg looks at the beginning and the end of a TS file, here without audio."""
    source = joined(tmp_path / "clip.ts", None, BEEPING, None, count=500)
    assert len(announced_streams(source)) == 2
    answer = worker.run("export", source)
    assert answer["warnings"] == [
        "The file's clock starts anew or jumps 2 times; its parts follow each other without a gap."
    ]
    assert beep_times(worker.output(answer)) == pytest.approx([20.5], abs=0.03)


@pytest.mark.parametrize(("suffix", "codec", "audio_codec"), [(".ts", None, "aac"), (".mpg", "mpeg2video", "mp2")])
def test_audio_that_begins_late_is_kept(
    worker: Bench, tmp_path: Path, suffix: str, codec: str | None, audio_codec: str
) -> None:
    """FFmpeg gives up after some seconds without a packet of a stream."""
    audio = replace(BEEPING, codec=audio_codec, start=Fraction(11))
    source = make_clip(tmp_path / f"clip{suffix}", replace(PLAIN, count=325, codec=codec, audio=audio))
    answer = worker.run("export", source)
    assert not answer.get("warnings")
    assert beep_times(worker.output(answer)) == pytest.approx([11.5], abs=0.03)


def test_packets_with_wrong_durations_survive_extraction(tmp_path: Path) -> None:
    """The last packet of TTA is said to be as long as the first; a copy of it could not be decoded."""
    path = tmp_path / "clip.mka"
    with av.open(str(path), "w", format="matroska", options=REPRODUCIBLE) as output:
        for packet in add_audio(output, AudioSpec("tta", 2, 48000, "stereo", (0.5, 1.5))):
            packet.duration = round(Fraction(256, 245) / packet.time_base)
            output.mux(packet)
    with_duration(path, 2)
    warnings: list[str] = []
    kept = extract_audio(AudioSource(path, 0), tmp_path / "audio.mka", warnings.append)
    assert kept is not None
    assert warnings == []
    assert beep_times(kept.path) == pytest.approx([0.5, 1.5], abs=0.002)
    samples, rate = audio_of(kept.path)
    assert (len(samples), rate) == (96_000, 48_000)


def test_packets_whose_times_do_not_advance_follow_each_other(worker: Bench, tmp_path: Path) -> None:
    """Every second packet has the time of the one before; all are copied."""
    plain = make_clip(tmp_path / "plain.mkv", replace(PLAIN, audio=AudioSpec("libmp3lame", 2, beeps=(0.5, 1.5))))
    source = tmp_path / "clip.mkv"
    with av.open(str(plain)) as old, av.open(str(source), "w", options=REPRODUCIBLE) as new:
        streams = [new.add_stream_from_template(stream) for stream in old.streams]
        count = 0
        for packet in old.demux():
            if packet.size:
                if packet.stream.type == "audio":
                    packet.pts = packet.dts = (packet.pts or 0) - 24 * (count % 2)
                    count += 1
                packet.stream = streams[packet.stream_index]
                new.mux(packet)
    with av.open(str(source)) as container:
        times = [packet.pts or 0 for packet in container.demux(audio=0) if packet.size]
    assert len(set(times)) < 0.6 * len(times)
    answer = worker.run("export", source)
    assert not answer.get("warnings")
    output = worker.output(answer)
    assert beep_times(output) == pytest.approx([0.5, 1.5], abs=0.03)
    with av.open(str(plain)) as old, av.open(str(output)) as new:
        packets, copied = (
            [bytes(packet) for packet in container.demux(audio=0) if packet.size] for container in (old, new)
        )
    assert copied == packets[: len(copied)]
    assert len(packets) - len(copied) <= 2
