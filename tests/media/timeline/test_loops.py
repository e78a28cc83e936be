"""Loops: frames and audio at the right times, computed and encoded once."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from framepack.media.audio.render import AudioRenderer
from framepack.media.clip import AudioSource, Clip, Encoding, Format
from framepack.media.read.probe import probe
from framepack.media.timeline.loops import expand_repeats_cached, ping_pong, repeated
from framepack.media.write.writer import write
from tests.support.clips import AudioSpec, Spec, make_clip, real_clip, scene
from tests.support.looping import NTSC, CountingFrames, numbered_still, open_file, round_trip, shown
from tests.support.pcm import Samples, make_pcm, noise
from tests.support.readback import audio_of, beep_times, psnr, read_back

RATE = 48000
FORMATS: tuple[Format, ...] = ("mp4", "webm")


def looped(clip: Clip, kind: str, times: int, folder: Path) -> Clip:
    """``times`` plays, or round trips."""
    return repeated(clip, times) if kind == "loop" else ping_pong(clip, times, folder)


def order(kind: str, count: int, times: int) -> list[int]:
    """Which frames are to be shown."""
    return (list(range(count)) if kind == "loop" else round_trip(count)) * times


def samples_of(clip: Clip, folder: Path) -> Samples:
    """The clip's audio before it is encoded, with all repeats."""
    return np.concatenate(list(AudioRenderer(RATE, 1, folder).blocks(clip.expand_repeats().audio)), axis=1)


@pytest.mark.parametrize("fps", [Fraction(25), NTSC, Fraction(24000, 1001), Fraction(60)])
@pytest.mark.parametrize("times", [2, 11])
@pytest.mark.parametrize("kind", ["loop", "ping-pong"])
@pytest.mark.parametrize("with_audio", [False, True])
def test_every_frame_of_a_loop_has_its_exact_time(
    tmp_path: Path,
    fps: Fraction,
    times: int,
    kind: str,
    with_audio: bool,  # noqa: FBT001 - a parameter
) -> None:
    """With audio of any length: no gap, no doubled frame, no wrong rate at any seam."""
    audio = AudioSpec(seconds=0.71, beeps=(0.1,)) if with_audio else None
    source = make_clip(tmp_path / "clip.mp4", Spec(count=13, fps=fps, frame=numbered_still, audio=audio))
    frames_written = write(looped(open_file(source), kind, times, tmp_path), tmp_path / "out.mp4")
    expected = order(kind, 13, times)
    back = shown(tmp_path / "out.mp4")
    assert frames_written == len(expected)
    assert back.numbers == expected
    assert back.times == [index / fps for index in range(len(expected))]
    assert back.rate == fps
    assert all(after > before for before, after in pairwise(back.dts))


@pytest.mark.parametrize("kind", ["loop", "ping-pong"])
def test_b_frames_are_correct_across_repeats(tmp_path: Path, kind: str) -> None:
    """Frames that are coded out of order appear in order, each like the source's, in every play."""
    source = make_clip(tmp_path / "clip.mp4", Spec(count=24, fps=NTSC))
    write(looped(open_file(source), kind, 3, tmp_path), tmp_path / "out.mp4")
    back = read_back(tmp_path / "out.mp4")
    wanted = order(kind, 24, 3)
    assert shown(tmp_path / "out.mp4").dts[0] < 0
    assert back.times == [index / NTSC for index in range(len(wanted))]
    given = [scene(index, 64, 48) for index in range(24)]
    for frame, index in zip(back.frames, wanted, strict=True):
        assert max(range(24), key=lambda other: psnr(frame, given[other])) == index


@pytest.mark.parametrize("fps", [Fraction(25), NTSC])
@pytest.mark.parametrize("kind", ["loop", "ping-pong"])
def test_a_loop_as_webm_repeats_the_frames(tmp_path: Path, fps: Fraction, kind: str) -> None:
    """Times are exact to WebM's millisecond."""
    audio = AudioSpec(seconds=0.71, beeps=(0.1,))
    source = make_clip(tmp_path / "clip.mp4", Spec(count=13, fps=fps, frame=numbered_still, audio=audio))
    clip = replace(looped(open_file(source), kind, 3, tmp_path), encoding=Encoding("webm"))
    write(clip, tmp_path / "out.webm")
    expected = order(kind, 13, 3)
    back = shown(tmp_path / "out.webm")
    assert back.numbers == expected
    assert [float(time) for time in back.times] == pytest.approx(
        [float(index / fps) for index in range(len(expected))], abs=0.00051
    )


@pytest.mark.parametrize("kind", ["loop", "ping-pong"])
def test_a_loop_as_gif_repeats_the_frames(tmp_path: Path, kind: str) -> None:
    """All plays are in the file, although a GIF begins again by itself."""
    clip = looped(open_file(make_clip(tmp_path / "clip.mp4", Spec(count=9, frame=numbered_still))), kind, 3, tmp_path)
    write(replace(clip, encoding=Encoding("gif", 100)), tmp_path / "out.gif")
    expected = order(kind, 9, 3)
    back = shown(tmp_path / "out.gif")
    assert back.numbers == expected
    assert back.times == [index / Fraction(25) for index in range(len(expected))]


@pytest.mark.parametrize("kind", ["loop", "ping-pong"])
@pytest.mark.parametrize("format_name", FORMATS)
def test_frames_are_computed_and_encoded_once(tmp_path: Path, kind: str, format_name: Format) -> None:
    """Each frame is drawn once however often it is shown, and every play has the first one's packets."""
    costly = CountingFrames(12)
    clip = replace(looped(costly.clip(), kind, 5, tmp_path), encoding=Encoding(format_name))
    write(clip, tmp_path / f"out.{format_name}")
    assert costly.drawn == 12
    packets = shown(tmp_path / f"out.{format_name}").packets
    unit = len(packets) // 5
    assert unit == len(order(kind, 12, 1))
    assert packets == packets[:unit] * 5
    assert len(set(packets[:unit])) == unit


@pytest.mark.parametrize("kind", ["loop", "ping-pong"])
def test_a_looped_gif_computes_frames_once(tmp_path: Path, kind: str) -> None:
    """Two passes over the frames are two readings from disk."""
    costly = CountingFrames(6)
    write(replace(looped(costly.clip(), kind, 4, tmp_path), encoding=Encoding("gif")), tmp_path / "out.gif")
    assert costly.drawn == 6


@pytest.mark.parametrize(("count", "trip"), [(1, [0]), (2, [0, 1]), (3, [0, 1, 2, 1])])
def test_ping_pong_of_short_clips(tmp_path: Path, count: int, trip: list[int]) -> None:
    """F frames make trips of 2F - 2; one frame makes a trip of one."""
    clip = ping_pong(CountingFrames(count).clip(), 3, tmp_path)
    assert clip.total_frames == 3 * len(trip)
    assert write(clip, tmp_path / "out.mp4") == 3 * len(trip)
    back = shown(tmp_path / "out.mp4")
    assert back.numbers == trip * 3
    assert back.times == [Fraction(index, 25) for index in range(3 * len(trip))]


def test_a_loop_of_a_single_frame(tmp_path: Path) -> None:
    """A still of one frame becomes one of three."""
    write(repeated(CountingFrames(1).clip(), 3), tmp_path / "out.mp4")
    assert shown(tmp_path / "out.mp4").numbers == [0, 0, 0]


@pytest.mark.parametrize("size", [(61, 47), (63, 48)])
@pytest.mark.parametrize("kind", ["loop", "ping-pong"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p10le"])
def test_loops_of_odd_sizes_and_deep_formats(tmp_path: Path, size: tuple[int, int], kind: str, pix_fmt: str) -> None:
    """Whatever the source, all plays are 8-bit 4:2:0 of even size."""
    write(looped(CountingFrames(5, size, pix_fmt).clip(), kind, 2, tmp_path), tmp_path / "out.mp4")
    info = probe(tmp_path / "out.mp4")
    assert (info.width, info.height) == (size[0] + 1, 48)
    assert shown(tmp_path / "out.mp4").numbers == order(kind, 5, 2)


def test_a_loop_of_a_loop_multiplies_repeats(tmp_path: Path) -> None:
    """Repeats multiply, and a loop can be turned as a whole, still drawing each frame once."""
    costly = CountingFrames(4)
    assert repeated(repeated(costly.clip(), 2), 3).repeats == 6
    clip = ping_pong(repeated(costly.clip(), 2), 2, tmp_path)
    write(clip, tmp_path / "out.mp4")
    forth = [0, 1, 2, 3] * 2
    assert shown(tmp_path / "out.mp4").numbers == (forth + forth[-2:0:-1]) * 2
    assert costly.drawn == 4


@pytest.mark.parametrize("fps", [Fraction(25), NTSC])
@pytest.mark.parametrize("seconds", [0.3, 0.52, 2.0])
def test_audio_loops_to_the_sample(tmp_path: Path, fps: Fraction, seconds: float) -> None:
    """Each play begins with the audio's first sample at its first frame; what is missing is silence."""
    samples = noise(round(seconds * RATE))
    clip = replace(CountingFrames(13).clip(fps), audio=AudioSource(make_pcm(tmp_path / "noise.mov", samples), 0))
    result = samples_of(repeated(clip, 4), tmp_path)
    starts = [round(play * 13 / fps * RATE) for play in range(5)]
    assert result.shape[1] == starts[-1]
    for begin, end in pairwise(starts):
        expected = np.pad(samples, ((0, 0), (0, end - begin)))[:, : end - begin]
        assert np.array_equal(result[:, begin:end], expected)


@pytest.mark.parametrize("fps", [Fraction(25), NTSC])
def test_ping_pong_reverses_audio_with_the_frames(tmp_path: Path, fps: Fraction) -> None:
    """During each frame of the way back audio what sounded during it on the way forth, backwards."""
    samples = noise(2 * RATE)
    clip = replace(CountingFrames(13).clip(fps), audio=AudioSource(make_pcm(tmp_path / "noise.mov", samples), 0))
    result = samples_of(ping_pong(clip, 3, tmp_path), tmp_path)
    assert result.shape[1] == round(3 * 24 / fps * RATE)
    for place, frame in enumerate(round_trip(13) * 3):
        begin = round(place / fps * RATE)
        own = round(frame / fps * RATE)
        length = int(RATE / fps) - 4
        part = result[0, begin + 2 : begin + 2 + length]
        is_forth = place % 24 < 13
        around = samples[0, max(0, own - 4) : own + length + 12]
        wanted = around if is_forth else around[::-1]
        assert any(np.array_equal(part, wanted[shift : shift + length]) for shift in range(16))


def test_written_loops_keep_audio_in_sync(tmp_path: Path) -> None:
    """After encoding too: forth at 0.2 s of each trip, back as long before the trip's end."""
    audio = AudioSpec(seconds=1, beeps=(0.2, 0.6))
    source = make_clip(tmp_path / "clip.mp4", Spec(frame=numbered_still, audio=audio))
    write(ping_pong(open_file(source), 2, tmp_path), tmp_path / "out.mp4")
    trip = 48 / 25
    turned = [1 + (0.96 - beep - 0.05) for beep in (0.6, 0.2)]
    expected = [begin + beep for begin in (0, trip) for beep in (0.2, 0.6, *turned)]
    assert beep_times(tmp_path / "out.mp4") == pytest.approx(expected, abs=0.003)
    samples, rate = audio_of(tmp_path / "out.mp4")
    assert len(samples) / rate == pytest.approx(2 * trip, abs=0.022)

    write(repeated(open_file(source), 3), tmp_path / "out.mp4")
    expected = [play + beep for play in range(3) for beep in (0.2, 0.6)]
    assert beep_times(tmp_path / "out.mp4") == pytest.approx(expected, abs=0.003)


def test_a_loop_of_a_clip_without_audio_has_none(tmp_path: Path) -> None:
    """No track is invented."""
    for kind in ("loop", "ping-pong"):
        write(looped(CountingFrames(4).clip(), kind, 2, tmp_path), tmp_path / "out.mp4")
        assert open_file(tmp_path / "out.mp4").audio is None


def test_expanded_repeats_show_the_same_video(tmp_path: Path) -> None:
    """Effects that look across frames get all of them, with the audio of all."""
    audio = AudioSource(make_pcm(tmp_path / "noise.mov", noise(RATE)), 0)
    clip = repeated(replace(CountingFrames(5).clip(), audio=audio), 3)
    whole = clip.expand_repeats()
    assert (whole.repeats, whole.length, whole.duration_seconds) == (1, 15, clip.duration_seconds)
    assert write(whole, tmp_path / "out.mp4") == 15
    assert shown(tmp_path / "out.mp4").numbers == list(range(5)) * 3
    assert np.array_equal(samples_of(clip, tmp_path), samples_of(whole, tmp_path))
    once = CountingFrames(5).clip()
    assert once.expand_repeats() is once
    with pytest.raises(ValueError, match="unknown length"):
        replace(clip, length=None).expand_repeats()


def test_cached_repeats_are_computed_once(tmp_path: Path) -> None:
    """An expensive clip that is written out for a later step computes each frame once; its repeats come from disk."""
    costly = CountingFrames(5)
    whole = expand_repeats_cached(repeated(costly.clip(), 3), tmp_path)
    assert write(whole, tmp_path / "out.mp4") == 15
    assert shown(tmp_path / "out.mp4").numbers == list(range(5)) * 3
    assert costly.drawn == 5
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_loops_leave_no_temporary_files(tmp_path: Path) -> None:
    """Neither the encoded unit nor the frame cache remains, whether the job succeeds or fails halfway."""
    (tmp_path / "work").mkdir()
    for kind in ("loop", "ping-pong"):
        write(looped(CountingFrames(4).clip(), kind, 2, tmp_path / "work"), tmp_path / "work" / "out.mp4")
        assert [path.name for path in (tmp_path / "work").iterdir()] == ["out.mp4"]
        wrong = replace(CountingFrames(4, (32, 48)).clip(), width=64)
        with pytest.raises(Exception, match="size"):
            write(looped(wrong, kind, 2, tmp_path / "work"), tmp_path / "work" / "out.mp4")
        (tmp_path / "work" / "out.mp4").unlink(missing_ok=True)
        assert list((tmp_path / "work").iterdir()) == []


def test_ping_pong_shows_both_directions_at_equal_quality(tmp_path: Path) -> None:
    """On the way back each decoded frame is close to that of the way forth: nothing was lost on disk."""
    source = open_file(real_clip("bikes"))
    short = replace(source, frames=lambda: iter([frame for _, frame in zip(range(8), source.frames())]), length=8)  # noqa: B905 - the first eight
    frames = list(ping_pong(short, 1, tmp_path).frames())
    assert len(frames) == 14
    for place in range(8, 14):
        forth, back = frames[14 - place].on_host(), frames[place].on_host()
        assert np.array_equal(forth.to_ndarray(), back.to_ndarray())


_PEAK = """
import sys
from fractions import Fraction
from pathlib import Path
from framepack.media.timeline.loops import ping_pong
from framepack.media.write.writer import write
from tests.support.looping import open_file
source = Path(sys.argv[1])
frames_written = write(ping_pong(open_file(source), 2, source.parent), source.parent / "out.mp4", preset="ultrafast")
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(frames_written, peak.split()[1])
"""


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    """There and back over a clip ten times as long needs no more than 5 % more memory at the peak."""
    images = [numbered_still(index, 320, 240) for index in range(8)]
    peaks = {}
    for count in (50, 500):
        spec = Spec(
            size=(320, 240),
            count=count,
            frame=lambda index, _width, _height: images[index % 8],
            audio=AudioSpec(seconds=count / 25),
        )
        source = make_clip(tmp_path / f"{count}.mp4", spec)
        run = [sys.executable, "-c", _PEAK, str(source)]
        frames, peak = subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()
        assert int(frames) == 2 * (2 * count - 2)
        peaks[count] = int(peak)
    assert peaks[500] <= 1.05 * peaks[50]
