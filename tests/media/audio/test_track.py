"""The audio track of an output: in sync, copied where players support it, never a reason to fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest

from framepack.media.audio import track
from framepack.media.audio.track import AudioTrack, audio_track
from framepack.media.clip import AudioSource, Clip
from framepack.media.containers import open_output
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from framepack.media.write.writer import write
from tests.support.clips import AudioSpec, Pixels, Spec, corrupt, make_clip, numbered, real_clip
from tests.support.pcm import make_pcm, noise
from tests.support.readback import audio_of, beep_times, read_back

FRAME = 0.04


def flashing(index: int, width: int, height: int) -> Pixels:
    """Black, with a white frame at every tenth of a clip."""
    return np.full((height, width, 3), 235 if index % 10 == 5 else 16, np.uint8)


FLASHES = (0.2, 0.6, 1.0, 1.4, 1.8)
SPEC = Spec(count=50, frame=flashing, audio=AudioSpec(seconds=2, beeps=FLASHES))


def flash_times(path: Path) -> list[float]:
    """Seconds at which white frames are shown, from the first frame on."""
    back = read_back(path)
    return [
        float(time - back.times[0]) for time, frame in zip(back.times, back.frames, strict=True) if frame.mean() > 128
    ]


def opened(path: Path, warnings: list[str] | None = None) -> Clip:
    """The clip of a file."""
    return open_clip(path, probe(path), warn=(warnings if warnings is not None else []).append)


def audio_packets(path: Path) -> list[bytes]:
    """The coded audio of a file."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]


def duration(path: Path) -> float:
    """Seconds of audio."""
    samples, rate = audio_of(path)
    return len(samples) / rate


CASES = [
    (".mp4", AudioSpec(), "aac", True),
    (".mkv", AudioSpec(), "aac", True),
    (".ts", AudioSpec(), "aac", True),
    (".mov", AudioSpec(codec="pcm_s16le"), "aac", False),
    (".mkv", AudioSpec(codec="libmp3lame"), "mp3", True),
    (".mkv", AudioSpec(codec="ac3", layout="stereo"), "ac3", True),
    (".mkv", AudioSpec(codec="eac3", layout="stereo"), "eac3", True),
    (".mkv", AudioSpec(codec="flac", rate=44100), "aac", False),
    (".webm", AudioSpec(codec="libopus", layout="stereo"), "aac", False),
    (".mpg", AudioSpec(codec="mp2"), "aac", False),
    (".flv", AudioSpec(rate=44100), "aac", True),
    (".mov", AudioSpec(codec="pcm_s16le", rate=16000), "aac", False),
    (".mov", AudioSpec(codec="pcm_s16le", layout="5.1"), "aac", False),
]


@pytest.mark.parametrize(("suffix", "audio", "codec", "is_copied"), CASES)
def test_audio_and_video_stay_in_sync(
    tmp_path: Path,
    suffix: str,
    audio: AudioSpec,
    codec: str,
    is_copied: bool,  # noqa: FBT001 - a parameter
) -> None:
    """For any codec, beeps and flashes coincide; codecs that MP4 players support are copied unchanged."""
    video = {".mpg": "mpeg2video", ".webm": None}.get(suffix, "libx264")
    audio = replace(audio, seconds=2, beeps=FLASHES)
    source = make_clip(tmp_path / f"clip{suffix}", replace(SPEC, audio=audio, codec=video))
    target = tmp_path / "out.mp4"
    warnings: list[str] = []
    write(opened(source, warnings), target, preset="ultrafast", warn=warnings.append)
    assert flash_times(target) == pytest.approx(FLASHES)
    assert beep_times(target) == pytest.approx(FLASHES, abs=FRAME / 2)
    assert warnings == []
    info = probe(target)
    assert info.audio is not None
    assert info.audio.codec == codec
    with av.open(str(target)) as container:
        stream = container.streams.audio[0]
        assert stream.channels == av.AudioLayout(audio.layout).nb_channels
        assert stream.sample_rate == (44100 if audio.rate == 44100 else 48000)
    if is_copied and suffix != ".ts":
        copied = audio_packets(target)
        assert copied == audio_packets(source)[: len(copied)]


@pytest.mark.parametrize(
    ("codec", "b_frames"), [("wmv2", 0), ("mpeg4", 0), ("mpeg4", 2), ("libx264", 0), ("libx264", 3)]
)
@pytest.mark.parametrize("audio_codec", ["wmav2", "pcm_s16le"])
def test_wmv_files_stay_in_sync(tmp_path: Path, codec: str, b_frames: int, audio_codec: str) -> None:
    """Their times are those of decoding: with B-frames the first frame is shown later."""
    audio = AudioSpec(audio_codec, 2, beeps=FLASHES, bit_rate=64_000 if audio_codec == "wmav2" else None)
    options = {"bf": str(b_frames), **({"preset": "veryfast"} if codec == "libx264" else {})}
    source = make_clip(tmp_path / "clip.wmv", replace(SPEC, audio=audio, codec=codec, options=options))
    target = tmp_path / "out.mp4"
    warnings: list[str] = []
    write(opened(source, warnings), target, preset="ultrafast", warn=warnings.append)
    assert flash_times(target) == pytest.approx(FLASHES)
    assert beep_times(target) == pytest.approx(FLASHES, abs=0.012)
    assert warnings == []


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
@pytest.mark.parametrize("start", [Fraction(0), Fraction(1, 2), Fraction(3, 25)])
def test_audio_that_starts_late_keeps_its_delay(tmp_path: Path, codec: str, start: Fraction) -> None:
    """Audio that begins after the video does so in the output."""
    audio = AudioSpec(codec=codec, seconds=1.2, beeps=(0.1, 0.9), start=start)
    source = make_clip(tmp_path / "clip.mov", replace(SPEC, audio=audio))
    write(opened(source), tmp_path / "out.mp4", preset="ultrafast")
    expected = [0.1 + float(start), 0.9 + float(start)]
    assert beep_times(source) == pytest.approx(expected, abs=FRAME / 2)
    assert beep_times(tmp_path / "out.mp4") == pytest.approx(expected, abs=FRAME / 2)


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_audio_before_the_first_frame_is_trimmed(tmp_path: Path, codec: str) -> None:
    """Audio before the first frame is dropped; the rest keeps its time."""
    audio = AudioSpec(codec=codec, seconds=2, beeps=(0.3, 1.2, 1.6))
    source = make_clip(tmp_path / "clip.mov", replace(SPEC, audio=audio, start=Fraction(1)))
    write(opened(source), tmp_path / "out.mp4", preset="ultrafast")
    assert beep_times(tmp_path / "out.mp4") == pytest.approx([0.2, 0.6], abs=FRAME / 2)
    assert flash_times(tmp_path / "out.mp4")[0] == pytest.approx(0.2)


@pytest.mark.parametrize(("codec", "seconds"), [("aac", 5.0), ("aac", 2.01), ("pcm_s16le", 5.0), ("aac", 0.7)])
def test_audio_ends_with_the_frames(tmp_path: Path, codec: str, seconds: float) -> None:
    """Longer audio is trimmed to within an audio frame; shorter audio is not padded."""
    source = make_clip(
        tmp_path / "clip.mov", replace(SPEC, audio=AudioSpec(codec=codec, seconds=seconds, beeps=(0.6,)))
    )
    target = tmp_path / "out.mp4"
    write(opened(source), target, preset="ultrafast")
    assert duration(target) == pytest.approx(min(2, seconds), abs=0.03)
    assert beep_times(target) == pytest.approx([0.6], abs=FRAME / 2)


def test_a_clip_without_audio_gets_no_audio_stream(tmp_path: Path) -> None:
    """No silence is added."""
    source = make_clip(tmp_path / "clip.mp4", replace(SPEC, audio=None))
    write(opened(source), tmp_path / "out.mp4", preset="ultrafast")
    assert probe(tmp_path / "out.mp4").audio is None


def test_real_surround_audio_is_copied(tmp_path: Path) -> None:
    """All six channels of a real clip are copied unchanged, up to the end of the video."""
    source, target = real_clip("bigbuckbunny"), tmp_path / "out.mp4"
    clip = opened(source)
    short = replace(clip, frames=lambda: islice(clip.frames(), 25), length=25)
    write(short, target, preset="ultrafast")
    copied = audio_packets(target)
    assert len(copied) == 47
    assert copied == audio_packets(source)[:47]


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le", "libopus"])
def test_missing_audio_packets_become_silence(tmp_path: Path, codec: str) -> None:
    """What follows a gap keeps its time."""
    source = make_clip(
        tmp_path / "clip.mkv", replace(SPEC, audio=AudioSpec(codec=codec, seconds=2, beeps=(0.2, 1.4)))
    )
    holed = tmp_path / "holed.mkv"
    with av.open(str(source)) as whole, av.open(str(holed), "w") as output:
        streams = [output.add_stream_from_template(stream) for stream in whole.streams]
        for packet in whole.demux():
            seconds = float((packet.pts or 0) * packet.time_base)
            if packet.size and not (packet.stream_index == 1 and 0.5 < seconds < 1.1):
                packet.stream = streams[packet.stream_index]
                output.mux(packet)
    write(opened(holed), tmp_path / "out.mp4", preset="ultrafast")
    assert beep_times(tmp_path / "out.mp4") == pytest.approx([0.2, 1.4], abs=FRAME / 2)


@pytest.mark.parametrize("codec", ["aac", "flac", "libmp3lame"])
def test_damaged_audio_is_skipped_with_a_warning(tmp_path: Path, codec: str) -> None:
    """All frames are there, the undamaged beep keeps its time, and the client gets a warning."""
    loud = AudioSpec(
        codec=codec, seconds=2, layout="stereo", rate=48000, beeps=(0.2, *(0.5 + 0.06 * n for n in range(10)), 1.8)
    )
    source = make_clip(tmp_path / "clip.mkv", replace(SPEC, audio=loud))
    packets = audio_packets(source)
    data = bytearray(source.read_bytes())
    for packet in packets[len(packets) * 3 // 10 : len(packets) // 2]:
        place = data.find(packet)
        data[place : place + len(packet)] = b"\xff\x00\x55" * (len(packet) // 3) + b"\xff" * (len(packet) % 3)
    source.write_bytes(data)
    warnings: list[str] = []
    frames_written = write(opened(source), tmp_path / "out.mp4", preset="ultrafast", warn=warnings.append)
    assert frames_written == 50
    beeps = beep_times(tmp_path / "out.mp4")
    assert beeps[0] == pytest.approx(0.2, abs=FRAME / 2)
    assert beeps[-1] == pytest.approx(1.8, abs=FRAME / 2)
    if codec != "libmp3lame":  # its decoder plays what it finds
        assert warnings == ["Parts of the audio could not be read."]


def test_unreadable_audio_is_left_out(tmp_path: Path) -> None:
    """A file that is gone or not a media file costs the audio, not the video."""
    source = make_clip(tmp_path / "clip.mp4", replace(SPEC, audio=None))
    noise = tmp_path / "noise"
    noise.write_bytes(b"noise" * 100)
    for path in (noise, tmp_path / "gone"):
        warnings: list[str] = []
        clip = replace(opened(source), audio=AudioSource(path, 1))
        assert write(clip, tmp_path / "out.mp4", preset="ultrafast", warn=warnings.append) == 50
        assert warnings == ["The audio could not be read and was left out."]
        assert probe(tmp_path / "out.mp4").audio is None


def test_frames_and_audio_are_interleaved(tmp_path: Path) -> None:
    """Frames and audio of the same time are close to each other in the file, so that players need not seek."""
    source = make_clip(tmp_path / "clip.mp4", Spec(count=500, audio=AudioSpec(seconds=20, beeps=(1,))))
    write(opened(source), tmp_path / "out.mp4", preset="ultrafast")
    with av.open(str(tmp_path / "out.mp4")) as container:
        places: list[tuple[int, float]] = []
        kinds: Iterator[av.Packet[av.stream.Stream]] = container.demux()
        latest = {0: 0.0, 1: 0.0}
        for packet in sorted((packet for packet in kinds if packet.size), key=lambda packet: cast("int", packet.pos)):
            latest[packet.stream_index] = float((packet.dts or 0) * packet.time_base)
            places.append((packet.stream_index, latest[0] - latest[1]))
    assert {index for index, _ in places} == {0, 1}
    assert max(abs(apart) for _, apart in places) < 1.2


def test_damaged_audio_never_fails_the_video(tmp_path: Path) -> None:
    """Whichever bytes are noise: if the frames can be read, a file is written."""
    audio = AudioSpec(seconds=2, codec="flac", beeps=FLASHES)
    source = make_clip(tmp_path / "clip.mkv", Spec(count=50, frame=numbered, audio=audio))
    for seed, place in enumerate((0.2, 0.4, 0.6, 0.8, 0.9)):
        damaged = corrupt(source, tmp_path / "damaged.mkv", place, place + 0.08, seed=seed)
        assert write(opened(damaged), tmp_path / "out.mp4", preset="ultrafast") > 5


SECONDS = 20


@contextmanager
def unmuxed(folder: Path) -> Iterator[AudioTrack]:
    """The track of a file with 20 seconds of noise, which has to be encoded, before any of it is written."""
    source = AudioSource(make_pcm(folder / "noise.mov", noise(SECONDS * 48_000)), 0)
    clip = Clip(lambda: iter(()), Fraction(25), 64, 48, length=25 * SECONDS, audio=source)
    with open_output(folder / "out.mp4", "mp4") as output:
        with audio_track(clip, output, folder, warn=lambda _: None) as made:
            assert made is not None
            yield made


def encodes_on(is_enough: Callable[[], bool]) -> bool:
    """Whether that becomes so while nothing is written."""
    return any(is_enough() or threading.Event().wait(0.05) for _ in range(1200))


def test_audio_is_encoded_while_nothing_is_written(tmp_path: Path) -> None:
    """The video's encoder may hold frames back for as long as it likes: audio does not wait for it."""
    threads = threading.active_count()
    with unmuxed(tmp_path) as made:
        assert encodes_on(lambda: threading.active_count() == threads)
        made.mux_until(Fraction(SECONDS))
    assert duration(tmp_path / "out.mp4") == pytest.approx(SECONDS, abs=FRAME)


def test_encoded_audio_that_waits_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours of audio are encoded only as far ahead as memory allows, and all of it arrives."""
    monkeypatch.setattr(track, "_MAX_BYTES", 50_000)
    threads = threading.active_count()
    with unmuxed(tmp_path) as made:
        assert threading.active_count() > threads
        assert not threading.Event().wait(1)
        assert threading.active_count() > threads
        made.mux_until(Fraction(SECONDS))
    assert duration(tmp_path / "out.mp4") == pytest.approx(SECONDS, abs=FRAME)


def test_a_failure_leaves_no_thread_that_encodes_audio(tmp_path: Path) -> None:
    """A cancelled job stops in the middle."""
    threads = threading.active_count()
    with pytest.raises(KeyError), unmuxed(tmp_path):
        raise KeyError
    assert threading.active_count() == threads
    assert not (tmp_path / "out.mp4").exists()
