"""Times of frames: last frames, bursts, jitter, odd rates, clocks that start anew, files that begin midway."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from framepack.errors import InvalidMedia
from framepack.media.clip import Clip, Encoding
from framepack.media.images.convert import to_rgb
from framepack.media.read.last_frame import FileEnds
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from framepack.media.write.writer import write
from tests.support.clips import AudioSpec, Pixels, Spec, barred, bars_of, corrupt, make_clip, truncate
from tests.support.odd_files import gif, held, recorded, slides, with_duration
from tests.support.readback import beep_times, rgb_of
from tests.support.runs import bench


def opened(path: Path) -> tuple[Clip, list[str]]:
    """The clip of a file, and the list in which its warnings will be."""
    warnings: list[str] = []
    return open_clip(path, probe(path), warn=warnings.append), warnings


def appearances(clip: Clip) -> list[tuple[int, Fraction]]:
    """The number of each frame that is shown, and when it appears."""
    found, time = [], Fraction(0)
    for number, frames in groupby(bars_of(to_rgb(frame)) for frame in clip.frames()):
        found.append((number, time))
        time += len(list(frames)) / clip.fps
    return found


# The last frame


@pytest.mark.parametrize(
    ("delays", "rate", "length"),
    [([100] * 9 + [2000], 10, 29), ([50] * 20 + [1000], 20, 40), ([40, 15000], None, None)],
)
def test_the_last_frame_of_a_gif_stays_as_long_as_it_says(
    tmp_path: Path, delays: list[int], rate: int | None, length: int | None
) -> None:
    """The pause before a GIF starts again is part of it."""
    clip, warnings = opened(gif(tmp_path / "clip.gif", delays))
    shown = appearances(clip)
    assert [number for number, _ in shown] == list(range(len(delays)))
    assert abs((clip.length or 0) / clip.fps - Fraction(sum(delays), 1000)) <= 1 / clip.fps
    assert warnings == []
    if rate:
        assert (clip.fps, clip.length) == (Fraction(rate), length)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("b_frames", ["0", "2"])
def test_the_last_frame_of_a_video_stays_as_long_as_it_says(tmp_path: Path, b_frames: str, suffix: str) -> None:
    """Ten frames at 25 fps, the last one for 2 s: 59 output frames, and the audio with them."""
    audio = AudioSpec(seconds=2.36, beeps=(0.1, 1.5))
    path = held(tmp_path / f"clip{suffix}", 10, Fraction(2), audio, bf=b_frames, preset="veryfast", crf="12")
    clip, warnings = opened(path)
    assert (clip.fps, clip.length) == (Fraction(25), 59)
    assert appearances(clip) == [(number, Fraction(number, 25)) for number in range(10)]
    write(clip, tmp_path / "out.mp4", preset="ultrafast", warn=warnings.append)
    assert beep_times(tmp_path / "out.mp4") == pytest.approx([0.1, 1.5], abs=0.03)
    assert warnings == []
    own = bench(tmp_path)
    analysis = own.run("analyze", path)["analysis"]
    output = probe(own.output(own.run("filters", path, brightness=1)))
    assert (analysis["fps"], analysis["total_frames"], analysis["duration"]) == (25.0, output.length, "2.4 seconds")


@pytest.mark.parametrize("suffix", [".webm", ".flv"])
def test_a_whole_file_that_ends_later_than_its_frames_shows_the_last_one(tmp_path: Path, suffix: str) -> None:
    """Where packets have no durations, the header has that of the file. A cut file lacks its end instead."""
    codec, path = "libvpx" if suffix == ".webm" else "libx264", tmp_path / f"clip{suffix}"
    plain = make_clip(tmp_path / f"plain{suffix}", Spec(count=10, codec=codec, frame=barred, options={"g": "5"}))
    with av.open(str(plain)) as source, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        packets[-1].duration = 2000
        for packet in packets:
            packet.stream = stream
            output.mux(packet)
    clip, warnings = opened(path)
    assert (clip.fps, clip.length, warnings) == (Fraction(25), 59, [])
    assert appearances(clip) == [(number, Fraction(number, 25)) for number in range(10)]
    assert "The end of the file is missing" in " ".join(opened(truncate(path, tmp_path / f"cut{suffix}", 0.8))[1])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi", ".flv"])
def test_the_last_of_some_slides_ends_with_the_file(tmp_path: Path, suffix: str) -> None:
    """Three slides of 3 s and the last one again for 40 ms, as FFmpeg makes them: not for 3 s, as the others."""
    codec = {".webm": "libvpx", ".avi": "mpeg4", ".flv": "flv"}.get(suffix, "libx264")
    times = [Fraction(3 * number) for number in range(4)]
    path = slides(tmp_path / f"clip{suffix}", times, codec=codec, frame=barred, options={"g": "1"})
    clip, warnings = opened(path)
    assert appearances(clip) == list(enumerate(times))
    assert (clip.length or 0) / clip.fps == pytest.approx(9.04, abs=0.05)
    assert warnings == []


@pytest.mark.parametrize(
    ("interval", "end", "seconds"), [(1, 4.04, 5), (3, 12.0, 15), (3, 13.5, 15), (3, 12.5, 12.5)]
)
def test_the_last_frame_of_a_slow_recording_stays_as_long_as_the_others(
    tmp_path: Path, interval: int, end: float, seconds: float
) -> None:
    """Unless the file says a time, and ends more than a second and more than half of an interval before."""
    path = recorded(tmp_path / "clip.webm", [Fraction(interval * number) for number in range(5)])
    clip, warnings = opened(with_duration(path, end))
    assert float((clip.length or 0) / clip.fps) == pytest.approx(seconds, abs=0.01)
    assert warnings == []


@pytest.mark.parametrize(
    ("count", "declared", "others", "packets", "seconds"),
    [
        (4, "9.04", "0", "9.04", "0.04"),
        (4, "9.04", "9.5", "9.5", "0.5"),  # with the audio
        (4, "9.04", "0", "12.1", "0.04"),  # a wrong rate
        (4, "0", "0", "9.04", "0.04"),  # nothing in the header
        (4, "6.04", "0", "9.04", "0.04"),  # a duration without the beginning
        (4, "9.001", "0", "9.001", None),
        (4, "0", "0", "10.5", None),  # fields
        (400, "1197.04", "0", "1197.04", None),
    ],
)
def test_slides_end_early_only_if_the_file_says_so(
    count: int, declared: str, others: str, packets: str, seconds: str | None
) -> None:
    """Slides of 3 s: by the header before the packets, and not in long recordings."""
    ends = FileEnds(Fraction(declared), Fraction(others), Fraction(packets))
    found = ends.seconds_to([3 * number for number in range(count)], Fraction(1))
    assert found == (None if seconds is None else Fraction(seconds))


def test_an_absurd_last_duration_is_not_believed(tmp_path: Path) -> None:
    """A second of video whose last frame is said to last for minutes: a wrong number, and a sentence."""
    clip, warnings = opened(held(tmp_path / "clip.mp4", 25, Fraction(600)))
    assert clip.length == 25
    (warning,) = warnings
    assert warning == (
        "The file says that the last frame lasts 600.0 seconds, much longer than all others together; it lasts one "
        "frame duration instead."
    )


# Rates that vary


def test_a_burst_in_a_slow_recording_keeps_every_frame(tmp_path: Path) -> None:
    """150 s of one frame a second with 14 frames of animation: all are shown, at their times."""
    times = sorted(
        [Fraction(second) for second in range(150)] + [100 + Fraction(index, 30) for index in range(1, 15)]
    )
    path = recorded(tmp_path / "clip.webm", times)
    clip, warnings = opened(path)
    shown = appearances(clip)
    assert [number for number, _ in shown] == list(range(164))
    assert max(abs(appears - time) for (_, appears), time in zip(shown, times, strict=True)) <= Fraction(1, 100)
    assert warnings == []
    analysis = bench(tmp_path).run("analyze", path)["analysis"]
    assert (analysis["fps"], analysis["total_frames"]) == (float(clip.fps), clip.length)


@pytest.mark.parametrize("burst", [24, 50, 60])
@pytest.mark.parametrize("suffix", [".webm", ".mp4"])
def test_bursts_up_to_60_fps_are_shown(tmp_path: Path, suffix: str, burst: int) -> None:
    """The finest interval decides the rate."""
    times = [Fraction(second) for second in range(8)]
    times = sorted(times + [3 + Fraction(index, burst) for index in range(1, 12)])
    path = tmp_path / f"clip{suffix}"
    if suffix == ".webm":
        recorded(path, times)
    else:
        make_clip(path, Spec(frame=barred, times=times))
    clip, warnings = opened(path)
    assert [number for number, _ in appearances(clip)] == list(range(19))
    assert clip.fps >= burst * Fraction(99, 100)
    assert warnings == []


def test_frames_that_are_dropped_are_counted(tmp_path: Path) -> None:
    """Frames a few milliseconds apart do not fit into 60 fps, and a sentence says how many."""
    burst = [3 + index * Fraction(2, 1000) for index in range(1, 9)]
    times = sorted([Fraction(second) for second in range(8)] + burst)
    clip, warnings = opened(recorded(tmp_path / "clip.webm", times))
    shown = [number for number, _ in appearances(clip)]
    dropped = 16 - len(shown)
    assert dropped > 0
    (warning,) = warnings
    assert warning == (
        f"{dropped} of 16 frames were dropped, too close to others for {float(clip.fps):.5g} frames per second."
    )


def test_slow_jitter_is_bounded_in_seconds(tmp_path: Path) -> None:
    """Intervals of 80 to 100 ms: every frame appears within 10 ms of its time."""
    steps = np.random.default_rng(5).choice([80, 90, 100], 25)
    times = [Fraction(int(time), 1000) for time in np.cumsum(steps) - steps[0]]
    for path in (
        recorded(tmp_path / "clip.webm", times),
        make_clip(tmp_path / "a.mp4", Spec(frame=barred, times=times)),
    ):
        clip, warnings = opened(path)
        shown = appearances(clip)
        assert [number for number, _ in shown] == list(range(25))
        assert max(abs(appears - time) for (_, appears), time in zip(shown, times, strict=True)) <= Fraction(1, 100)
        assert warnings == []


def test_skipped_frames_of_a_recording_are_no_damage(tmp_path: Path) -> None:
    """A camera that skips frames now and then: nothing is missing from the file."""
    times = [Fraction(index, 30) for index in range(90) if index not in {11, 24, 25, 40, 60, 61, 70, 80}]
    clip, warnings = opened(recorded(tmp_path / "clip.webm", times))
    assert [number for number, _ in appearances(clip)] == list(range(82))
    assert warnings == []


# Few frames, slow frames, fast frames


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif", ".avi"])
@pytest.mark.parametrize("count", [1, 2])
def test_one_and_two_frames_are_a_video(tmp_path: Path, count: int, suffix: str) -> None:
    """They go through whole operations, and the analysis agrees."""
    path = tmp_path / f"clip{suffix}"
    if suffix == ".gif":
        gif(path, [200] * count)
    else:
        make_clip(path, Spec(count=count, frame=barred))
    own = bench(tmp_path)
    analysis = own.run("analyze", path)["analysis"]
    output = own.output(own.run("filters", path, brightness=1))
    clip, warnings = opened(output)
    assert [number for number, _ in appearances(clip)] == list(range(count))
    assert (analysis["fps"], analysis["total_frames"]) == (round(float(clip.fps), 3), clip.length)
    assert warnings == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".gif"])
def test_one_frame_a_minute_is_shown_for_a_minute(tmp_path: Path, suffix: str) -> None:
    """Slides are held at a rate that players can play."""
    path = tmp_path / f"clip{suffix}"
    if suffix == ".gif":
        gif(path, [60_000] * 3)
    else:
        make_clip(path, Spec(frame=barred, times=[Fraction(0), Fraction(60), Fraction(120)]))
    clip, _ = opened(path)
    assert appearances(clip) == [(number, Fraction(60 * number)) for number in range(3)]
    assert clip.fps >= Fraction(1, 10)


def test_480_frames_a_second_are_refused_with_advice(tmp_path: Path) -> None:
    """The sentence says what is allowed and what to do."""
    spec = Spec(fps=Fraction(480), count=96, frame=barred)
    sentence = (
        "The video's frame rate is 480 per second; 0.1 to 240 is allowed. Convert it to a rate in this range first."
    )
    for suffix in (".mp4", ".avi"):
        with pytest.raises(InvalidMedia, match=re.escape(sentence)):
            probe(make_clip(tmp_path / f"clip{suffix}", spec))


# Clocks


def flashing(index: int, width: int, height: int) -> Pixels:
    """Dark, with a flash at frame 30."""
    return np.full((height, width, 3), 235 if index == 30 else 30, np.uint8)


def segment(path: Path, start: float = 0, **settings: Any) -> bytes:
    """Two seconds with a flash and a beep at 1.2 s, whose clock begins at ``start``."""
    audio = AudioSpec(settings.pop("audio", "aac"), seconds=2, beeps=(1.2,), start=Fraction(start))
    options = {"g": "12", "bf": "2"}
    spec = Spec(count=50, frame=flashing, start=Fraction(start), audio=audio, options=options, **settings)
    return make_clip(path, spec).read_bytes()


def flashes(path: Path) -> list[float]:
    """Times of bright frames, read by PyAV alone."""
    with av.open(str(path)) as container:
        return [frame.time or 0.0 for frame in container.decode(video=0) if rgb_of(frame).mean() > 130]


STARTS: dict[str, tuple[float, ...]] = {
    "anew": (0, 0),
    "anew twice": (5, 0, 0),
    "later": (0, 3600),
    "back and forth": (100, 0, 40_000),
}


@pytest.mark.parametrize("starts", STARTS.values(), ids=list(STARTS))
@pytest.mark.parametrize("format_name", ["mp4", "webm"])
def test_after_a_jump_of_the_clock_flash_and_beep_are_in_step(
    tmp_path: Path, format_name: Any, starts: tuple[float, ...]
) -> None:
    """Segments joined by hand follow each other, frames and audio alike, and a sentence says so."""
    path = tmp_path / "clip.ts"
    path.write_bytes(b"".join(segment(tmp_path / "segment.ts", start) for start in starts))
    clip, warnings = opened(path)
    output = tmp_path / f"out.{format_name}"
    write(replace(clip, encoding=Encoding(format_name)), output, preset="ultrafast", warn=warnings.append)
    wanted = [1.2 + 2 * number for number in range(len(starts))]
    assert (clip.fps, clip.length) == (Fraction(25), 50 * len(starts))
    assert flashes(output) == pytest.approx(wanted, abs=0.002)
    assert beep_times(output) == pytest.approx(wanted, abs=0.02)
    times = "once" if len(starts) == 2 else "2 times"
    assert warnings == [f"The file's clock starts anew or jumps {times}; its parts follow each other without a gap."]


def test_program_streams_joined_by_hand_are_in_step(tmp_path: Path) -> None:
    """MPEG-2 and MP2 in a program stream, three times, through whole operations."""
    path = tmp_path / "clip.mpg"
    path.write_bytes(segment(tmp_path / "segment.mpg", codec="mpeg2video", audio="mp2") * 3)
    own = bench(tmp_path)
    for output, count in (
        (own.output(own.run("filters", path, brightness=1)), 3),
        (own.output(own.run("loop", path, num_loops=1)), 6),
    ):
        wanted = [1.2 + 2 * number for number in range(count)]
        assert flashes(output) == pytest.approx(wanted, abs=0.002)
        assert beep_times(output) == pytest.approx(wanted, abs=0.03)


def test_the_audio_of_extracted_frames_follows_the_clock(tmp_path: Path) -> None:
    """Extracted and reassembled, both beeps are where the flashes are."""
    path = tmp_path / "clip.ts"
    path.write_bytes(segment(tmp_path / "segment.ts") * 2)
    own = bench(tmp_path)
    folder = own.run("extract_frames", path)["folder_name"]
    output = own.output(own.run("reassemble_frames", folder_name=folder, output_fps=25, with_audio=True))
    assert flashes(output) == pytest.approx([1.2, 3.2], abs=0.002)
    assert beep_times(output) == pytest.approx([1.2, 3.2], abs=0.03)


def test_a_clock_that_wraps_goes_on(tmp_path: Path) -> None:
    """The 33 bits of a transport stream's clock end after 26.5 hours, here in the middle of the file."""
    path = tmp_path / "clip.ts"
    segment(tmp_path / "segment.ts")
    with (
        av.open(str(tmp_path / "segment.ts")) as source,
        av.open(str(path), "w", options={"output_ts_offset": "95441.3"}) as output,
    ):
        streams = [output.add_stream_from_template(stream) for stream in source.streams]
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                output.mux(packet)
    clip, warnings = opened(path)
    write(clip, tmp_path / "out.mp4", preset="ultrafast", warn=warnings.append)
    assert (clip.length, warnings) == (50, [])
    assert flashes(tmp_path / "out.mp4") == pytest.approx([1.2], abs=0.002)
    assert beep_times(tmp_path / "out.mp4") == pytest.approx([1.2], abs=0.02)


@pytest.mark.parametrize("count", [1, 2, 3, 61])
@pytest.mark.parametrize("with_audio", [True, False])
def test_h264_in_program_streams_has_its_rate(tmp_path: Path, count: int, *, with_audio: bool) -> None:
    """Few frames have timestamps, and some of these are twice there; of two frames only packets tell the rate."""
    audio = AudioSpec("mp2", seconds=count / 25) if with_audio else None
    options = {"bf": "2", "preset": "veryfast", "crf": "20"}
    spec = Spec(size=(96, 64), count=count, audio=audio, frame=barred, options=options)
    clip, warnings = opened(make_clip(tmp_path / "clip.mpg", spec))
    assert [bars_of(to_rgb(frame)) for frame in clip.frames()] == list(range(count))
    assert (clip.fps, warnings) == (Fraction(25), [])


def test_an_edit_list_of_several_parts_is_applied(tmp_path: Path) -> None:
    """Frames 0 to 24 and 65 to 99: what lies between is decoded, not shown, and no jump of the clock."""
    options = {"g": "25", "bf": "2", "preset": "veryfast"}
    path = make_clip(tmp_path / "clip.mp4", Spec(count=100, frame=barred, options=options))
    data = bytearray(path.read_bytes())
    at = data.find(b"elst") - 4
    (size,), (begin,) = struct.unpack(">I", data[at : at + 4]), struct.unpack(">i", data[at + 20 : at + 24])
    (unit,) = struct.unpack(">I", data[data.find(b"mdhd") + 16 : data.find(b"mdhd") + 20])
    parts = [(1000, begin), (1400, begin + round(2.6 * unit))]
    edits = b"".join(struct.pack(">IiI", duration, start, 0x10000) for duration, start in parts)
    data[at : at + size] = struct.pack(">I4sII", 16 + len(edits), b"elst", 0, 2) + edits
    for name in (b"edts", b"trak", b"moov"):
        place = data.find(name) - 4
        (length,) = struct.unpack(">I", data[place : place + 4])
        data[place : place + 4] = struct.pack(">I", length + 12)
    path.write_bytes(data)
    clip, warnings = opened(path)
    assert [number for number, _ in appearances(clip)] == [*range(25), *range(65, 100)]
    assert (clip.length, warnings) == (60, [])


# Beginnings and ends


def test_frames_before_the_first_key_frame_are_counted_as_lost(tmp_path: Path) -> None:
    """A stream that was cut in the middle of a group: a frozen beginning is said, with its number."""
    options = {"g": "40", "bf": "0", "preset": "veryfast", "x264-params": "keyint=40:scenecut=0"}
    path = make_clip(tmp_path / "whole.ts", Spec(count=80, frame=barred, options=options))
    with av.open(str(path)) as container:
        positions = [packet.pos for packet in container.demux(video=0) if packet.size]
    cut = tmp_path / "cut.ts"
    cut.write_bytes(path.read_bytes()[: 188 * 3] + path.read_bytes()[positions[10] :])
    clip, warnings = opened(cut)
    shown = appearances(clip)
    assert [number for number, _ in shown] == list(range(40, 80))
    lost = (clip.length or 0) - 40
    assert lost > 20
    assert f"{lost} of {lost + 40} frames could not be read; the nearest readable frame was repeated." in warnings


@pytest.mark.parametrize("codec", ["mpeg1video", "mpeg2video"])
@pytest.mark.parametrize("count", [5, 25, 50, 75])
@pytest.mark.parametrize("with_audio", [False, True])
def test_whole_program_streams_give_no_warnings(tmp_path: Path, codec: str, count: int, *, with_audio: bool) -> None:
    """They are padded to whole packs; a cut or spoiled one is still noticed."""
    audio = AudioSpec("mp2", seconds=count / 25) if with_audio else None
    path = make_clip(tmp_path / "clip.mpg", Spec(size=(128, 96), count=count, codec=codec, audio=audio, frame=barred))
    assert opened(path)[1] == []
    if count == 75 and with_audio:
        sentence = "The end of the file is missing or cannot be read."
        assert sentence in opened(truncate(path, tmp_path / "cut.mpg", 0.7))[1]
        assert sentence in opened(corrupt(path, tmp_path / "spoiled.mpg", 0.7, 1))[1]
