"""What files say about their frames that decoders do not know: Dolby Vision, and the part that is to be shown."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from framepack.errors import InvalidMedia
from framepack.media.read.probe import probe
from framepack.media.read.video_header import VideoHeader, read_video_header
from tests.support.clips import REPRODUCIBLE, Spec, make_clip
from tests.support.odd_files import with_sample_box

HEVC = Spec(count=3, codec="libx265", pix_fmt="yuv420p10le", options={"x265-params": "log-level=none"})
SENTENCE = (
    "The video is Dolby Vision of profile {}, whose colors only Dolby's own decoders know: profiles 7 and 8 are "
    "accepted, as are HDR10, HLG and SDR. Export it as one of these."
)


def dolby_vision(path: Path, profile: int, compatible: int) -> Path:
    """A MP4 file of HEVC with the configuration of Dolby Vision."""
    content = bytes([1, 0, profile << 1, 5 << 3 | 5, compatible << 4]) + bytes(19)
    return with_sample_box(make_clip(path, HEVC), b"dvcC" if profile < 8 else b"dvvC", content)


def copied(path: Path, target: Path, change: Callable[[bytes], bytes] = bytes, **options: str) -> Path:
    """All packets of a video in another container."""
    with av.open(str(path)) as source, av.open(str(target), "w", options={**REPRODUCIBLE, **options}) as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                copy: av.Packet[Any] = av.Packet(change(bytes(packet)))
                copy.stream, copy.pts, copy.dts, copy.is_keyframe = stream, packet.pts, packet.dts, packet.is_keyframe
                copy.time_base = packet.time_base
                output.mux(copy)
    return target


@pytest.mark.parametrize(
    ("profile", "suffix"), [(5, "mp4"), (10, "mp4"), (20, "mp4"), (1, "mp4"), (3, "mp4"), (5, "mkv"), (10, "mkv")]
)
def test_dolby_vision_without_a_base_is_refused(tmp_path: Path, profile: int, suffix: str) -> None:
    """Shown as any other video it would be green and purple."""
    path = dolby_vision(tmp_path / "clip.mp4", profile, 0)
    if suffix == "mkv":
        path = copied(path, tmp_path / "clip.mkv", strict="unofficial")
        assert b"dv" in path.read_bytes()
    with pytest.raises(InvalidMedia, match="Dolby Vision") as refused:
        probe(path)
    assert refused.value.message == SENTENCE.format(profile)


@pytest.mark.parametrize(
    ("profile", "compatible"), [(8, 1), (8, 2), (8, 4), (7, 6), (4, 2), (9, 2), (10, 1), (20, 4)]
)
def test_dolby_vision_with_a_base_is_read_as_its_base(tmp_path: Path, profile: int, compatible: int) -> None:
    """Without a sentence: players that do not know Dolby Vision do the same."""
    info = probe(dolby_vision(tmp_path / "clip.mp4", profile, compatible))
    assert (info.warnings, info.notes, info.left_out) == ((), (), ())


def metadata_unit(profile: int, full_range: int) -> bytes:
    """The unit (RPU) at the end of a HEVC frame that says how Dolby Vision shows it: as it is."""
    bits = f"{25:08b}{2:06b}{0x12:011b}{profile:04b}{6:04b}1000{exp_golomb(23)}01{full_range}"
    bits += exp_golomb(2) * 2 + exp_golomb(4) + "000001"  # depths; no second layer
    bits += "00" + exp_golomb(0) * 3  # no description of the screen; identifiers
    bits += (exp_golomb(0) + f"{0:010b}{1023:010b}") * 3  # one piece for each channel
    bits += exp_golomb(0) * 2 + (exp_golomb(0) * 2 + "0" + ("1" + f"{0:023b}") * 2) * 3  # of order 1
    data = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big") + b"\0\0\0\0\x80"
    escaped = re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", data, flags=re.DOTALL)
    return b"\0\0\0\1\x7c\1" + escaped


def exp_golomb(number: int) -> str:
    """The bits of a number."""
    bits = f"{number + 1:b}"
    return "0" * (len(bits) - 1) + bits


@pytest.mark.parametrize(("profile", "full_range", "found"), [(0, 1, "5"), (0, 0, "none"), (1, 1, "none")])
def test_dolby_vision_is_known_by_its_frames(tmp_path: Path, profile: int, full_range: int, found: str) -> None:
    """In TS no box says it. Profile 5 has the RPU profile 0 and full range; profiles 7 and 8 have 1."""
    path = make_clip(tmp_path / "clip.ts", HEVC)
    made = copied(path, tmp_path / "dolby.ts", lambda data: data + metadata_unit(profile, full_range))
    with av.open(str(made)) as container:
        assert next(container.decode(video=0)).side_data.get("DOVI_RPU_BUFFER") is not None
    if found == "none":
        assert probe(made).frame_count == 3
        return
    with pytest.raises(InvalidMedia) as refused:
        probe(made)
    assert refused.value.message == SENTENCE.format(found)


def aperture(width: tuple[int, int], height: tuple[int, int]) -> bytes:
    """The content of a box ``clap``, centered."""
    return struct.pack(">8i", *width, *height, 0, 1, 0, 1)


@pytest.mark.parametrize("suffix", ["mov", "mkv"])
def test_a_clean_aperture_is_said(tmp_path: Path, suffix: str) -> None:
    """Only some players apply it; outputs have all pixels."""
    path = with_sample_box(make_clip(tmp_path / "clip.mov", Spec(count=3)), b"clap", aperture((108, 2), (40, 1)))
    if suffix == "mkv":
        path = copied(path, tmp_path / "clip.mkv")
    sentence = (
        "The file asks players to show only 54 x 40 of its 64 x 48 pixels (clean aperture); outputs have all of them."
    )
    assert probe(path).left_out == (sentence,)


def test_a_clean_aperture_of_the_whole_frame_is_no_change(tmp_path: Path) -> None:
    """Cameras write it into each file."""
    path = with_sample_box(make_clip(tmp_path / "clip.mov", Spec(count=3)), b"clap", aperture((64, 1), (48, 1)))
    assert probe(path).left_out == ()


def test_the_header_belongs_to_the_track_that_is_read(tmp_path: Path) -> None:
    """A second video may have another one."""
    path = with_sample_box(make_clip(tmp_path / "clip.mov", Spec(count=3)), b"clap", aperture((54, 1), (40, 1)))
    assert read_video_header(path, "mov,mp4", 0) == VideoHeader((54, 40))
    assert read_video_header(path, "mov,mp4", 1) == VideoHeader()


def damaged(content: bytes) -> Iterator[bytes]:
    """Mutants of a file's content."""
    chance = random.Random(5)  # noqa: S311
    for _ in range(400):
        mutant = bytearray(content[: chance.randrange(1, len(content))] if chance.random() < 0.3 else content)
        for _ in range(chance.randrange(1, 12)):
            mutant[chance.randrange(len(mutant))] = chance.randrange(256)
        yield bytes(mutant)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_damaged_header_is_none(tmp_path: Path, suffix: str) -> None:
    """It is no reason to fail; what can be read of the rest is read."""
    path = dolby_vision(tmp_path / "clip.mp4", 8, 1)
    if suffix == "mkv":
        path = copied(path, tmp_path / "clip.mkv", strict="unofficial")
    container = {"mp4": "mov,mp4", "mkv": "matroska,webm"}[suffix]
    assert read_video_header(path, container, 0).dolby_vision
    found = set()
    for content in damaged(path.read_bytes()):
        path.write_bytes(content)
        found.add(read_video_header(path, container, 0))
    assert VideoHeader() in found
