"""Probing files of many formats, also with wrong headers."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition

from framepack.errors import InvalidMedia
from framepack.media.clip import Colors, Matrix, ProbedAudio
from framepack.media.read.probe import AudioInfo, VideoInfo, probe
from tests.support.clips import (
    AudioSpec,
    Spec,
    add_audio,
    add_video,
    frames_of,
    make_audio,
    make_clip,
    numbered,
    real_clip,
)

NTSC = Fraction(30000, 1001)


def probed(path: Path, spec: Spec) -> VideoInfo:
    """Make a clip and look at it."""
    return probe(make_clip(path, spec))


def test_probe_describes_a_real_clip() -> None:
    """Every field of an ordinary file with audio."""
    path = real_clip("bigbuckbunny")
    info = probe(path)
    assert (info.container, info.size_bytes) == ("mov,mp4,m4a,3gp,3g2,mj2", path.stat().st_size)
    assert (info.codec, info.pixel_format) == ("h264", "yuv420p")
    assert (info.width, info.height, info.rotation) == (1280, 720, 0)
    assert info.pixel_aspect == 1
    assert info.fps == 25
    assert (info.length, info.frame_count, info.vfr) == (132, 132, False)
    assert info.duration_seconds == pytest.approx(5.28)
    assert info.bits_per_second == pytest.approx(8 * info.size_bytes / 5.28)
    surround = ProbedAudio(Fraction(0), 48_000, ("FL", "FR", "FC", "LFE", "BL", "BR"))
    assert info.audio == AudioInfo(stream=1, codec="aac", delay=Fraction(0), probed=surround)
    assert info.colors == Colors(Matrix.BT709)
    assert info.warnings == ()


@pytest.mark.parametrize("fps", [NTSC, Fraction(24000, 1001), Fraction(25), Fraction(60), Fraction(1, 2)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_frame_rates_are_exact(tmp_path: Path, fps: Fraction, suffix: str) -> None:
    """30000/1001 is never 29.97, whatever the container rounds its times to."""
    info = probed(tmp_path / f"clip{suffix}", Spec(fps=fps, count=40, frame=numbered))
    assert (info.fps, info.length, info.vfr) == (fps, 40, False)


def test_variable_rate_becomes_its_base_rate(tmp_path: Path) -> None:
    """Frames that last several fiftieths of a second: a timeline of 50 fps, as long as the source."""
    slots = [0, 1, 2, 6, 7, 15, 16, 17, 29]
    spec = Spec(times=[Fraction(slot, 50) for slot in slots])
    for suffix in (".mkv", ".mp4"):
        info = probed(tmp_path / f"clip{suffix}", spec)
        assert (info.vfr, info.fps, info.frame_count) == (True, Fraction(50), 9)
        assert list(info.timeline.indices) == slots
        assert info.length == 30


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1280, 720), Colors(Matrix.BT709)),
        ((64, 578), Colors(Matrix.BT709)),
        ((64, 576), Colors(Matrix.BT601, 5, 6)),
        ((64, 48), Colors(Matrix.BT601, 6, 6)),
    ],
)
def test_untagged_colors_get_the_most_likely_tags(tmp_path: Path, size: tuple[int, int], expected: Colors) -> None:
    """BT.709 from 1280 columns or above 576 rows, BT.601 below, limited range."""
    spec = Spec(size=size, count=1, colors=None, codec="ffv1")
    assert probed(tmp_path / "clip.mkv", spec).colors == expected


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize(
    "colors",
    [Colors(Matrix.BT709), Colors(Matrix.BT601, 6, 6), Colors(Matrix.BT2020, 9, 14), Colors(Matrix.BT709, 12, 13)],
)
def test_color_tags_are_read(tmp_path: Path, colors: Colors, full_range: bool) -> None:  # noqa: FBT001 - a parameter
    """Matrix, primaries, transfer and range come as they are tagged."""
    colors = replace(colors, full_range=full_range)
    assert probed(tmp_path / "clip.mp4", Spec(count=2, colors=colors)).colors == colors


def test_rgb_is_reported_as_bt709(tmp_path: Path) -> None:
    """RGB sources turn into BT.709 in limited range."""
    info = probed(tmp_path / "clip.mkv", Spec(count=1, codec="libx264rgb", pix_fmt="rgb24"))
    assert (info.pixel_format, info.colors) == ("gbrp", Colors(Matrix.BT709))


@pytest.mark.parametrize(("rotation", "size"), [(0, (64, 32)), (90, (32, 64)), (180, (64, 32)), (270, (32, 64))])
def test_size_and_pixel_aspect_are_those_after_rotation(tmp_path: Path, rotation: int, size: tuple[int, int]) -> None:
    """A clip filmed upright is taller than wide, and its pixel aspect is inverted."""
    spec = Spec(size=(64, 32), count=2, rotation=rotation, aspect=Fraction(4, 3))
    info = probed(tmp_path / "clip.mp4", spec)
    assert (info.rotation, (info.width, info.height)) == (rotation, size)
    assert info.pixel_aspect == (Fraction(3, 4) if rotation in {90, 270} else Fraction(4, 3))


def test_a_clip_of_one_frame(tmp_path: Path) -> None:
    """A clip of one frame has a length and a rate."""
    info = probed(tmp_path / "clip.mp4", Spec(count=1, fps=NTSC))
    assert (info.length, info.fps) == (1, NTSC)


def test_a_gif_is_probed_as_video(tmp_path: Path) -> None:
    """GIF times are hundredths of a second."""
    info = probed(tmp_path / "clip.gif", Spec(codec="gif", pix_fmt="rgb8", colors=None, count=8, fps=Fraction(20)))
    assert (info.container, info.fps, info.length) == ("gif", Fraction(20), 8)
    assert info.audio is None


def test_delay_of_audio_that_starts_later(tmp_path: Path) -> None:
    """The delay is from the first frame to the first sample, within an audio frame."""
    late = AudioSpec(start=Fraction(1, 2), codec="pcm_s16le")
    info = probed(tmp_path / "late.mov", Spec(audio=late, fps=Fraction(50), count=50))
    assert info.audio is not None
    assert info.audio.delay == Fraction(1, 2)
    early = Spec(start=Fraction(1, 2), audio=AudioSpec(codec="pcm_s16le"), fps=Fraction(50))
    info = probed(tmp_path / "early.mov", early)
    assert info.audio is not None
    assert info.audio.delay == Fraction(-1, 2)


def test_the_default_stream_of_several_is_chosen(tmp_path: Path) -> None:
    """Not the first, not the largest: the one flagged default; of several such, the largest."""
    path = tmp_path / "clip.mkv"
    specs = [Spec(size=(64, 48)), Spec(size=(32, 24)), Spec(size=(128, 96))]
    for flags, chosen in (((0, 1, 0), 1), ((1, 1, 0), 0), ((0, 0, 0), 2), ((1, 1, 1), 2)):
        with av.open(str(path), "w") as output:
            streams = [add_video(output, spec) for spec in specs]
            for stream, flag in zip(streams, flags, strict=True):
                stream.disposition = Disposition(flag)
            for spec, stream in zip(specs, streams, strict=True):
                for frame in frames_of(replace(spec, count=3), stream):
                    output.mux(stream.encode(frame))
                output.mux(stream.encode(None))
        info = probe(path)
        assert (info.stream, (info.width, info.height)) == (chosen, specs[chosen].size)


def test_cover_art_is_not_video(tmp_path: Path) -> None:
    """A song with a cover image holds no video stream."""
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as output:
        cover = output.add_stream("mjpeg", rate=1, width=64, height=64, pix_fmt="yuvj420p")
        cover.disposition = Disposition.attached_pic
        song = add_audio(output, AudioSpec())
        output.mux(cover.encode(av.VideoFrame(64, 64, "yuvj420p")))
        output.mux(cover.encode(None))
        for packet in song:
            output.mux(packet)
    with av.open(str(path)) as written:
        assert written.streams.video[0].disposition & Disposition.attached_pic
    with pytest.raises(
        InvalidMedia, match=r"^The file holds only audio \(aac\) and images, no video: MP4, .* accepted\.$"
    ):
        probe(path)


def test_a_file_with_only_audio_is_rejected(tmp_path: Path) -> None:
    """One sentence says what is missing."""
    with pytest.raises(InvalidMedia, match=r"^The file holds only audio \(aac\), no video: MP4, .* accepted\.$"):
        probe(make_audio(tmp_path / "audio.mp4", AudioSpec()))


UNKNOWN = "not a video that can be read"
ODD = {
    "empty": (b"", "empty, not a video that can be read"),
    "byte": (b"\0", UNKNOWN),
    "zeros": (b"\0" * 5000, UNKNOWN),
    "noise": (bytes(range(256)) * 40, UNKNOWN),
    "html": (b"<!DOCTYPE html><html>no</html>", "a web page (HTML), not a video that can be read"),
    "png": (b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "a still image (PNG), not a video that can be read"),
    "jpeg": (b"\xff\xd8\xff\xe0" + b"\0" * 99, "a still image (JPEG), not a video that can be read"),
    "webp": (b"RIFF\x40\0\0\0WEBPVP8 " + b"\0" * 99, "a still image (WebP), not a video that can be read"),
    "avif": (b"\0\0\0\x20ftypavif" + b"\0" * 99, "a still image (AVIF), not a video that can be read"),
    "pdf": (b"%PDF-1.7\n\xe2\xe3" + b"\0" * 99, "a PDF document, not a video that can be read"),
    "zip": (b"PK\x03\x04" + b"\0" * 99, "a ZIP archive, not a video that can be read"),
    "wav": (b"RIFF\x40\0\0\0WAVEfmt " + b"\0" * 99, "audio (WAV), not a video that can be read"),
    "mp3": (b"ID3\x04" + b"\0" * 99, "audio (MP3), not a video that can be read"),
    "flac": (b"fLaC" + b"\0" * 99, "audio (FLAC), not a video that can be read"),
    "y4m": (b"YUV4MPEG2 W64 H48\n" + b"\0" * 99, "raw Y4M, not a video that can be read"),
    "letters of two bytes, one cut": ("\u00e4".encode() * 300, "text, not a video that can be read"),
    "cut letter": (b"x" + "\u00e4".encode() * 300, "text, not a video that can be read"),
    "json": (b'{"error": "expired"}', "text, not a video that can be read"),
}


@pytest.mark.parametrize(("content", "kind"), ODD.values(), ids=list(ODD))
def test_a_file_that_is_not_video_is_rejected(tmp_path: Path, content: bytes, kind: str) -> None:
    """One sentence says what it is, as far as its beginning shows it, and what is accepted; it has no path."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    sentence = rf"^The file is {re.escape(kind)}: MP4, .* and animated PNG files are accepted\.$"
    with pytest.raises(InvalidMedia, match=sentence):
        probe(path)


def patched(path: Path, box: bytes, offset: int, value: bytes) -> Path:
    """Overwrite bytes of an MP4 box, counted from its type."""
    data = bytearray(path.read_bytes())
    place = data.index(box) + offset
    data[place : place + len(value)] = value
    path.write_bytes(data)
    return path


def test_a_wrong_duration_is_ignored(tmp_path: Path) -> None:
    """A header that claims 4,294,967,295 units does not stretch the timeline."""
    path = make_clip(tmp_path / "clip.mp4", Spec(count=10))
    patched(path, b"mvhd", 4 + 4 + 4 + 4 + 4, struct.pack(">I", 2**32 - 1))
    info = probe(path)
    assert (info.length, info.duration_seconds) == (10, 0.4)


def test_a_wrong_frame_count_is_ignored(tmp_path: Path) -> None:
    """2,147,483,647 samples of no duration: no division by zero, no memory taken for them."""
    path = make_clip(tmp_path / "clip.mp4", Spec(count=10))
    patched(path, b"stts", 12, struct.pack(">II", 2**31 - 1, 0))
    info = probe(path)
    assert info.length <= 10


def test_a_wrong_frame_size_is_corrected(tmp_path: Path) -> None:
    """The container says 65535 x 65535, the stream itself 64 x 48: the stream is right."""
    path = make_clip(tmp_path / "clip.mp4", Spec(count=10))
    patched(path, b"avc1", 4 + 24, struct.pack(">HH", 65535, 65535))
    assert (probe(path).width, probe(path).height) == (64, 48)


def test_frame_rates_out_of_range_are_rejected(tmp_path: Path) -> None:
    """A thousand frames a second are not video."""
    path = make_clip(tmp_path / "clip.mp4", Spec(fps=Fraction(1000), count=30))
    with pytest.raises(InvalidMedia, match=r"frame rate is 1000 per second; 0\.1 to 240 is allowed"):
        probe(path)


def test_undecodable_metadata_is_ignored(tmp_path: Path) -> None:
    """A title in another alphabet's encoding does not matter."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as output:
        output.metadata["title"] = "TITLE"
        stream = add_video(output, Spec())
        for frame in frames_of(Spec(count=2), stream):
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"TITLE", b"\xff\xfe\xc3\x28\x80"))
    assert probe(path).length == 2
