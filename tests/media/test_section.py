"""Sections of a video: their frames and their audio."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from framepack.errors import InvalidField
from framepack.media.clip import Clip, Encoding
from framepack.media.images.convert import to_rgb
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from framepack.media.section import Section
from framepack.media.write.writer import write
from tests.support.clips import AudioSpec, Spec, make_clip, number_of, numbered
from tests.support.readback import audio_of, beep_times

NUMBERED = Spec(
    size=(64, 48), fps=Fraction(25), count=90, frame=numbered, options={"g": "12", "bf": "2", "preset": "ultrafast"}
)
FORMATS = {
    "clip.mp4": NUMBERED,
    "clip.mkv": NUMBERED,
    "clip.webm": Spec(size=(64, 48), count=90, frame=numbered, options={"g": "12", "deadline": "realtime"}),
    "clip.ts": NUMBERED,
    "clip.avi": Spec(size=(64, 48), count=90, frame=numbered, codec="mpeg4", options={"g": "12", "q": "2"}),
    "ntsc.mp4": Spec(size=(64, 48), fps=Fraction(30000, 1001), count=90, frame=numbered, options={"g": "12"}),
}


def cut(path: Path, begin: str, end: str | None, warnings: list[str] | None = None) -> Clip:
    """A section of a file."""
    section = Section(Fraction(begin), None if end is None else Fraction(end))
    return open_clip(path, probe(path), warn=(warnings if warnings is not None else []).append, section=section)


def shown(clip: Clip) -> list[int]:
    """The numbers that ``numbered`` drew into the frames of a clip, modulo 16."""
    return [number_of(to_rgb(frame)) for frame in clip.frames()]


@pytest.mark.parametrize("name", FORMATS)
def test_a_section_has_the_frames_that_begin_in_it(name: str, tmp_path: Path) -> None:
    """Also between key frames, at the start and the end of the file, and for a rate that is no whole number."""
    path = make_clip(tmp_path / name, FORMATS[name])
    fps = probe(path).fps
    warnings: list[str] = []

    for begin, end in (("0", "1"), ("1", "2"), ("1.5", "1.66"), ("2.9", None), ("0", None)):
        clip = cut(path, begin, end, warnings)
        expected = [
            number % 16
            for number in range(90)
            if number / fps >= Fraction(begin) and (end is None or number / fps < Fraction(end))
        ]
        assert clip.length == len(expected)
        assert shown(clip) == expected
        assert shown(clip) == expected  # a clip can be read again

    assert warnings == []


def test_a_section_of_a_variable_rate_begins_with_the_frame_on_screen(tmp_path: Path) -> None:
    """A frame that began earlier and is still shown is duplicated up to the next."""
    times = [Fraction(index, 25) for index in (*range(10), *range(40, 60))]
    path = make_clip(tmp_path / "variable.mp4", Spec(size=(64, 48), frame=numbered, times=times, options={"g": "5"}))

    clip = cut(path, "1", "1.8")

    assert clip.length == 20
    assert shown(clip) == [9] * 15 + [10, 11, 12, 13, 14]


def test_audio_of_a_section_is_trimmed(tmp_path: Path) -> None:
    """A beep keeps its time, copied and encoded, and the audio ends within a frame of the video."""
    audio = AudioSpec(seconds=4.0, beeps=(1.4, 2.0, 3.2))
    path = make_clip(tmp_path / "beeps.mp4", Spec(size=(64, 48), count=100, audio=audio, options={"g": "12"}))

    for name in ("part.mp4", "part.webm"):
        clip = cut(path, "1", "2.6")
        if name.endswith("webm"):
            clip = replace(clip, encoding=Encoding("webm"))
        frames_written = write(clip, tmp_path / name, preset="ultrafast")
        samples, rate = audio_of(tmp_path / name)

        assert frames_written == 40
        assert beep_times(tmp_path / name) == pytest.approx([0.4, 1.0], abs=0.015)
        assert len(samples) / rate == pytest.approx(1.6, abs=0.04)


def test_a_section_after_the_end_is_rejected(tmp_path: Path) -> None:
    """The message says how long the video is."""
    path = make_clip(tmp_path / "short.mp4", Spec(count=25))

    with pytest.raises(InvalidField, match=r"from 1 s on: it lasts 1 s\."):
        cut(path, "1", "2")


def test_a_section_of_frames_that_are_converted_has_those_of_the_whole_video(tmp_path: Path) -> None:
    """Although frames long before it are not converted."""
    path = rgb_clip(tmp_path / "rgb.mov")
    whole = [frame.on_host().to_ndarray() for frame in cut(path, "0", None).frames()]

    section = [frame.on_host().to_ndarray() for frame in cut(path, "2.4", "3").frames()]

    assert np.array_equal(section, whole[60:75])


def test_a_section_begins_with_the_last_frame_before_it_if_its_own_are_damaged(tmp_path: Path) -> None:
    """Also if that is so long before that it was not thought to be needed."""
    path = rgb_clip(tmp_path / "rgb.mov", lost=range(20, 65))
    whole = [frame.on_host().to_ndarray() for frame in cut(path, "0", None).frames()]
    assert len(whole) == 90

    section = [frame.on_host().to_ndarray() for frame in cut(path, "2.4", "3").frames()]

    assert np.array_equal(section, whole[60:75])
    assert np.array_equal(section[0], whole[19])
    assert not np.array_equal(whole[64], whole[65])
    assert np.array_equal(next(iter(cut(path, "2.6", "3").frames())).on_host().to_ndarray(), whole[65])


def rgb_clip(path: Path, lost: range = range(0)) -> Path:
    """90 PNG images, of which only the first is marked as a key frame; those that are ``lost`` cannot be decoded."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        for number in range(90):
            frame = av.VideoFrame.from_ndarray(numbered(number, 64, 48), "rgb24")
            frame.pts = number
            for packet in stream.encode(frame):
                kept = av.Packet(b"\0" * packet.size) if number in lost else packet
                kept.stream, kept.pts, kept.dts, kept.duration = stream, packet.pts, packet.dts, packet.duration
                kept.time_base, kept.is_keyframe = packet.time_base, number == 0
                output.mux_one(kept)
    return path


def test_a_section_that_damage_reaches_says_so(tmp_path: Path) -> None:
    """It is in the section, or in a frame before it from which its frames are predicted."""
    options = {"g": "45", "bf": "0", "sc_threshold": "0", "crf": "10"}
    path = make_clip(tmp_path / "clip.mp4", Spec(size=(64, 48), fps=Fraction(25), count=90, options=options))
    with av.open(str(path)) as container:
        packet = next(islice(container.demux(video=0), 20, None))
        place, size_bytes = packet.pos or 0, packet.size
    with path.open("r+b") as file:
        file.seek(place + size_bytes // 3)
        file.write(bytes(size_bytes // 2))

    for begin, end, is_reached in (("0", "0.6", False), ("0.6", "1", True), ("1.2", "1.6", True), ("2", "3", False)):
        warnings: list[str] = []
        assert len(list(cut(path, begin, end, warnings).frames())) == round(25 * (float(end) - float(begin)))
        assert warnings == ["Frames of this part may show damage."] * is_reached
