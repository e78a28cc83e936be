"""Files of containers that do not say how much they hold, cut off anywhere: what is missing is said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from framepack.errors import InvalidMedia
from framepack.media.images.convert import to_rgb
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from tests.support.clips import AudioSpec, Spec, add_audio, add_video, barred, bars_of, frames_of, make_clip
from tests.support.odd_files import recorded, rewritten

COUNT = 60
TS = 188
X264 = {"preset": "medium", "crf": "16", "threads": "1"}
X265 = {"preset": "fast", "crf": "16", "x265-params": "log-level=none:pools=none"}
WEBM = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "16", "auto-alt-ref": "1"}


@dataclass(frozen=True)
class Kind:
    """A kind of file without a total."""

    name: str
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=lambda: X264)
    muxer: dict[str, str] = field(default_factory=dict)
    audio: str | None = None

    def make(self, folder: Path, times: Sequence[Fraction] | None = None) -> Path:
        """Numbered frames."""
        audio = AudioSpec(self.audio, seconds=COUNT / 25) if self.audio else None
        spec = Spec(count=COUNT, frame=barred, codec=self.codec, options=self.options, times=times)
        path = folder / self.name
        with av.open(str(path), "w", options=self.muxer) as output:
            stream = add_video(output, spec, path.suffix)
            packets = list(add_audio(output, audio)) if audio else []
            for frame in frames_of(spec, stream):
                packets += stream.encode(frame)
            for packet in sorted(packets + stream.encode(None), key=lambda each: (each.dts or 0) * each.time_base):
                output.mux(packet)
        return path


LIVE = {"live": "1"}
KINDS = (
    Kind("live.mkv", muxer=LIVE),
    Kind("short-groups.mkv", options={**X264, "g": "12"}, muxer={**LIVE, "cluster_time_limit": "200"}),
    Kind("audio.mkv", muxer=LIVE, audio="libmp3lame"),
    Kind("hevc.mkv", "libx265", X265, LIVE),
    Kind("vp8.webm", "libvpx", WEBM, LIVE),
    Kind("vp9.webm", "libvpx-vp9", WEBM, LIVE, "libopus"),
    Kind("fragments.mp4", options={**X264, "g": "12"}, muxer={"movflags": "frag_keyframe+empty_moov"}, audio="aac"),
    Kind("h264.ts"),
    Kind("audio.ts", audio="aac"),
    Kind("hevc.ts", "libx265", X265),
    Kind("mpeg2.ts", "mpeg2video", {"bf": "2", "b": "2M"}),
    Kind("bluray.m2ts"),
    Kind("live.flv", muxer={"flvflags": "no_duration_filesize"}, audio="aac"),
)
REORDERED = [kind for kind in KINDS if kind.name in {"h264.ts", "hevc.ts", "mpeg2.ts", "audio.ts"}]
_PAUSES = [Fraction(k + 3 * (k > 56) + 5 * (k > 58), 25) for k in range(COUNT)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where whole files are, each made once."""
    return tmp_path_factory.mktemp("whole")


def whole(kind: Kind, folder: Path) -> Path:
    """The whole file."""
    path = folder / kind.name
    return path if path.exists() else kind.make(folder)


def shown(path: Path) -> tuple[list[int], list[str]]:
    """The numbers that the frames of a clip show, and its sentences."""
    warnings: list[str] = []
    clip = open_clip(path, probe(path), warn=warnings.append)
    return [bars_of(to_rgb(frame)) for frame in clip.frames()], warnings


def cut(path: Path, target: Path, size_bytes: int) -> Path:
    """The beginning of a file."""
    target.write_bytes(path.read_bytes()[:size_bytes])
    return target


def names(kinds: Sequence[Kind]) -> list[str]:
    """For the names of tests."""
    return [kind.name for kind in kinds]


@pytest.mark.parametrize("codec", ["mpeg1video", "mpeg2video"])
def test_a_last_frame_of_which_there_is_too_little_to_decode_is_counted(tmp_path: Path, codec: str) -> None:
    """The decoder returns no frame for it, and no error."""
    spec = Spec(count=12, frame=barred, codec=codec, options={"b": "2M", "g": "12"})
    path = make_clip(tmp_path / "plain.mkv", spec)

    def cut_within(packets: list[Any]) -> Iterator[Any]:
        *whole, last = packets
        yield from whole
        beginning = av.Packet(bytes(last)[:12])
        beginning.pts, beginning.dts, beginning.time_base = last.pts, last.dts, last.time_base
        yield beginning

    found, warnings = shown(rewritten(path, tmp_path / "cut.mkv", cut_within))
    assert found == [*range(11), 10]
    assert warnings == ["1 of 12 frames could not be read; the nearest readable frame was repeated."]


@pytest.mark.parametrize("kind", KINDS, ids=names(KINDS))
def test_whole_files_without_a_total_have_no_sentence(folder: Path, kind: Kind) -> None:
    """Nothing is missing from them."""
    assert shown(whole(kind, folder)) == (list(range(COUNT)), [])


@pytest.mark.parametrize("kind", KINDS, ids=names(KINDS))
def test_a_file_that_is_cut_off_anywhere_is_refused_or_says_so_or_holds_no_frame_too_long(
    folder: Path, tmp_path: Path, kind: Kind
) -> None:
    """Silence is for those that end between two frames: all frames before are there, each once."""
    path = whole(kind, folder)
    size_bytes, silent = path.stat().st_size, 0
    places = [size_bytes * share // 100 for share in range(40, 96, 5)]
    for place in places:
        try:
            numbers, warnings = shown(cut(path, tmp_path / path.name, place))
        except InvalidMedia:
            continue
        silent += not warnings
        assert warnings or numbers == list(range(len(numbers))), place
    assert silent <= len(places) // 4


@pytest.mark.parametrize("kind", REORDERED, ids=names(REORDERED))
def test_frames_that_are_missing_before_the_last_one_are_counted(folder: Path, tmp_path: Path, kind: Kind) -> None:
    """A transport stream that ends between two packets does not show that it is cut off; its frames do."""
    path = whole(kind, folder)
    with av.open(str(path)) as container:
        ends = [packet.pos for packet in container.demux(video=0) if packet.size][20::2]
    counted = 0
    for end in ends:
        numbers, warnings = shown(cut(path, tmp_path / "cut.ts", end or 0))
        frozen = sum(before == after for before, after in pairwise(numbers))
        found = re.search(r"lacks (\d+) of (\d+) frames", " ".join(warnings))
        assert (int(found[1]), int(found[2])) == (frozen, len(numbers)) if found else not frozen, (end, numbers)
        counted += frozen
    assert counted > 12


@pytest.mark.parametrize("kind", [KINDS[0], *REORDERED[:2]], ids=lambda kind: kind.name)
def test_pauses_between_the_last_frames_are_no_loss(tmp_path: Path, kind: Kind) -> None:
    """Frames that no camera took are missing in the timeline and not in the stream."""
    numbers, warnings = shown(kind.make(tmp_path, _PAUSES))
    assert sorted(set(numbers)) == list(range(COUNT))
    assert len(numbers) == COUNT + 8
    assert warnings == []


def test_a_damaged_element_that_ends_the_reading_is_no_whole_file(tmp_path: Path) -> None:
    """The file is as long as it says, and yet its last frames cannot be found: none is held for them."""
    path = make_clip(tmp_path / "a.webm", Spec(count=COUNT, frame=barred, options={"g": "10"}))
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][30]
    place = (packet.pos or 0) + packet.size
    data[place - 2 : place + 6] = bytes(8)
    path.write_bytes(data)
    numbers, warnings = shown(path)
    assert 30 <= len(numbers) < 40
    assert "The end of the file is missing: of 2.4 seconds it holds 1.2." in warnings


@pytest.mark.parametrize(("fps", "count"), [(1, 4), (7, 14), (10, 30)])
@pytest.mark.parametrize("codec", ["ac3", "libmp3lame", "pcm_s16le"])
def test_a_whole_avi_of_a_low_rate_is_no_cut_one(tmp_path: Path, fps: int, count: int, codec: str) -> None:
    """With B-frames, its audio begins with empty packets, which its header counts."""
    audio = AudioSpec(codec=codec, seconds=count / fps)
    spec = Spec(count=count, fps=Fraction(fps), frame=barred, options={"bf": "2"}, audio=audio)
    path = make_clip(tmp_path / "a.avi", spec)
    numbers, warnings = shown(path)
    assert (numbers, warnings) == (list(range(count)), [])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert "The end of the file is missing" in " ".join(shown(path)[1])


def test_frames_after_a_place_at_which_reading_ends_are_missing_although_the_file_goes_on(tmp_path: Path) -> None:
    """A WebM file without a duration, with a block of a track that does not exist, at which FFmpeg ends."""
    path = recorded(tmp_path / "a.webm", [Fraction(k, 5) for k in range(12)])
    assert probe(path).warnings == ()
    with av.open(str(path)) as container:
        places = [packet.pos or 0 for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes().replace(b"\x44\x89\x88", b"\x44\x8d\x88"))
    data[places[4]] = 0x89
    path.write_bytes(data)
    info = probe(path)
    assert info.frame_count < 12
    assert info.warnings == ("The end of the file is missing or cannot be read.",)


def test_an_error_that_ends_the_reading_is_a_loss(tmp_path: Path) -> None:
    """A fragment whose audio is said to be before the beginning of the file, and none behind it that tells more."""
    kind = Kind("a.mp4", muxer={"movflags": "frag_every_frame+empty_moov"}, audio="aac")
    path = kind.make(tmp_path)
    data = path.read_bytes()
    losses = 0
    for found in list(re.finditer(b"trun", data))[40:60]:
        place = found.start()
        path.write_bytes(
            data[: place + 12]
            + b"\xd1\0\0\0"
            + data[place + 16 :].replace(b"moof", b"free").replace(b"mfra", b"free")
        )
        info = probe(path)
        losses += info.frame_count < COUNT
        assert any("The end of the file" in warning for warning in info.warnings), found
    assert losses == 20
