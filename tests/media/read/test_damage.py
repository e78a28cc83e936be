"""Damaged files: what can be decoded is decoded, losses are counted and reported, timing is kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from framepack.errors import InvalidMedia
from framepack.media.clip import Clip
from framepack.media.images.convert import to_rgb
from framepack.media.read.decoder import Decoder
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from framepack.media.write.writer import write
from tests.corpus.table import ROWS
from tests.support.clips import AudioSpec, Spec, corrupt, faststart, make_clip, number_of, numbered, truncate
from tests.support.readback import beep_times

SPEC = Spec(size=(96, 64), count=100, frame=numbered, options={"preset": "veryfast", "g": "12", "crf": "20"})
AUDIO = AudioSpec(seconds=4, beeps=(1, 3))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A whole clip of 100 numbered frames in the container of a suffix, with audio where it has any."""
    folder = tmp_path_factory.mktemp("whole")

    def get(suffix: str) -> Path:
        path = folder / f"clip{suffix}"
        if path.exists():
            return path
        if suffix == ".gif":
            return make_clip(path, Spec(count=100, codec="gif", pix_fmt="rgb8", colors=None, frame=numbered))
        if suffix == ".webm":
            return make_clip(path, Spec(size=(96, 64), count=100, frame=numbered))
        spec = Spec(**{**SPEC.__dict__, "audio": AUDIO})
        return faststart(make_clip(folder / "plain.mp4", spec), path) if suffix == ".mp4" else make_clip(path, spec)

    return get


def opened(path: Path) -> tuple[Clip, list[str]]:
    """The clip of a file, and the list in which its warnings will be."""
    warnings: list[str] = []
    return open_clip(path, probe(path), warn=warnings.append), warnings


def counted(warnings: list[str], words: str) -> int:
    """The number that begins the warning with these words, 0 if there is none."""
    found = [re.search(rf"(\d+) of \d+ {words}", warning) for warning in warnings]
    return sum(int(match.group(1)) for match in found if match)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".webm", ".gif", ".flv"])
def test_undamaged_files_give_no_warnings(whole: Callable[[str], Path], suffix: str) -> None:
    """Warnings are for damage only."""
    clip, warnings = opened(whole(suffix))
    assert sum(1 for _ in clip.frames()) == 100
    assert warnings == []


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".gif", ".flv"])
def test_a_truncated_file_gives_a_warning(
    whole: Callable[[str], Path], tmp_path: Path, suffix: str, kept: float
) -> None:
    """The clip ends where its frames end, and the client hears that there should be more."""
    clip, warnings = opened(truncate(whole(suffix), tmp_path / f"cut{suffix}", kept))
    frames = list(clip.frames())
    assert len(frames) == clip.length
    assert 100 * kept - 45 < len(frames) < 100
    assert any("The end of the file is missing" in warning for warning in warnings)


@pytest.mark.parametrize("begin", [0.2, 0.5, 0.65])
def test_a_gif_without_a_part_of_its_middle_gives_a_warning(
    whole: Callable[[str], Path], tmp_path: Path, begin: float
) -> None:
    """Readers search for the next block, if the parts do not happen to fit together."""
    data = whole(".gif").read_bytes()
    path = tmp_path / "cut.gif"
    path.write_bytes(data[: round(begin * len(data))] + data[round((begin + 0.2) * len(data)) :])
    clip, warnings = opened(path)
    assert sum(1 for _ in clip.frames()) < 100
    assert "Some of the video's data could not be read." in warnings


@pytest.mark.parametrize("added", [b"\0", b"\0\0\0", b";", b"\x55"])
def test_a_gif_with_anything_between_its_blocks_gives_a_warning(
    whole: Callable[[str], Path], tmp_path: Path, added: bytes
) -> None:
    """FFmpeg stops there, and all that follows is lost."""
    data = whole(".gif").read_bytes()
    place = data.index(b"\0\x21\xf9\x04", len(data) // 2) + 1
    path = tmp_path / "stops.gif"
    path.write_bytes(data[:place] + added + data[place:])
    clip, warnings = opened(path)
    assert sum(1 for _ in clip.frames()) < 100
    assert warnings == ["Some of the video's data could not be read."]


@pytest.mark.parametrize(
    ("before", "behind"),
    [(b"\0\0", b""), (b"", bytes(100)), (b"", b"made by hand"), (b"\x21\xfe\x05hello\0", b"")],
    ids=["padding", "zeros behind", "text behind", "comment"],
)
def test_a_gif_with_something_around_its_end_is_whole(
    whole: Callable[[str], Path], tmp_path: Path, before: bytes, behind: bytes
) -> None:
    """Nothing is missing, and what follows the last image is no frame."""
    data = whole(".gif").read_bytes()
    path = tmp_path / "odd.gif"
    path.write_bytes(data[:-1] + before + data[-1:] + behind)
    clip, warnings = opened(path)
    assert (sum(1 for _ in clip.frames()), warnings) == (100, [])


def test_a_truncated_file_counts_missing_frames(whole: Callable[[str], Path], tmp_path: Path) -> None:
    """An MP4 file lists its frames, so that the missing ones can be counted."""
    clip, warnings = opened(truncate(whole(".mp4"), tmp_path / "cut.mp4", 0.6))
    shown = [number_of(to_rgb(frame)) for frame in clip.frames()]
    match = re.fullmatch(r"The end of the file is missing: of 100 frames it holds (\d+)\.", warnings[0])
    assert match
    assert int(match.group(1)) == clip.length == len(shown)
    assert shown[:-3] == [index % 16 for index in range(len(shown) - 3)]


@pytest.mark.parametrize("place", [(0.3, 0.32), (0.5, 0.7), (0.9, 0.93)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".flv"])
def test_damage_gives_a_warning_and_keeps_timing(
    whole: Callable[[str], Path], tmp_path: Path, suffix: str, place: tuple[float, float]
) -> None:
    """The video keeps its length, frames after the damage keep their times, and a warning says so."""
    clip, warnings = opened(corrupt(whole(suffix), tmp_path / f"spoiled{suffix}", *place))
    shown = [number_of(to_rgb(frame)) for frame in clip.frames()]
    assert len(shown) == clip.length
    assert warnings != []
    right = [index for index, number in enumerate(shown) if number == index % 16]
    lost = (place[1] - place[0]) * 100
    assert len(right) >= len(shown) - lost - 30
    assert any(index < 100 * place[0] - 12 for index in right)


def test_frames_that_cannot_be_decoded_are_counted(whole: Callable[[str], Path], tmp_path: Path) -> None:
    """The number said is the number of frames whose frame is not their own."""
    path = whole(".mp4")
    clip, warnings = opened(corrupt(path, tmp_path / "spoiled.mp4", 0.5, 0.6))
    frames = list(clip.frames())
    repeated = sum(before is after for before, after in pairwise(frames))
    assert len(frames) == 100
    assert counted(warnings, "frames could not be read; the nearest readable frame was repeated") == repeated > 3


def test_damage_at_the_end_loses_only_damaged_frames(whole: Callable[[str], Path], tmp_path: Path) -> None:
    """Decoding by several threads gives no less than decoding by one."""
    path = corrupt(whole(".mp4"), tmp_path / "spoiled.mp4", 0.985, 1)
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        readable = 0
        for packet in container.demux(stream):
            try:
                readable += len(packet.decode())
            except av.InvalidDataError:
                continue
    clip, warnings = opened(path)
    frames = list(clip.frames())
    assert len({id(frame) for frame in frames}) == readable < 100
    assert counted(warnings, "frames could not be read") == 100 - readable


def test_audio_of_a_damaged_video_stays_in_sync(whole: Callable[[str], Path], tmp_path: Path) -> None:
    """The second beep, after the damage, is where it was."""
    path = corrupt(whole(".mp4"), tmp_path / "spoiled.mp4", 0.4, 0.5)
    clip, warnings = opened(path)
    frames_written = write(clip, tmp_path / "out.mp4", preset="ultrafast", warn=warnings.append)
    assert frames_written == 100
    assert beep_times(tmp_path / "out.mp4") == pytest.approx([1, 3], abs=0.04)


def test_a_video_without_decodable_frames_is_rejected(tmp_path: Path) -> None:
    """A file whose index is fine and whose frames are all noise, found out at once or on reading."""
    path = faststart(make_clip(tmp_path / "plain.mp4", Spec(count=20)), tmp_path / "clip.mp4")
    info = probe(path)
    data = path.read_bytes()
    begin = data.index(b"mdat") / len(data)
    corrupt(path, path, begin + 0.01, 1)
    with pytest.raises(InvalidMedia):
        opened(path)
    with pytest.raises(
        InvalidMedia, match=r"^No frame of the video \(h264\) could be decoded: at least one must be undamaged\.$"
    ):
        list(open_clip(path, info, warn=lambda _: None).frames())


def test_a_damaged_beginning_shows_the_first_good_frame(tmp_path: Path) -> None:
    """Until something can be decoded, the first frame that can be stands in."""
    spec = Spec(count=40, frame=numbered, options={"g": "10", "crf": "20", "bf": "0"})
    path = faststart(make_clip(tmp_path / "plain.mp4", spec), tmp_path / "clip.mp4")
    data = path.read_bytes()
    begin = data.index(b"mdat") / len(data)
    corrupt(path, path, begin + 0.01, begin + 0.05)
    clip, warnings = opened(path)
    frames = list(clip.frames())
    shown = [number_of(to_rgb(frame)) for frame in frames]
    assert len(shown) == 40
    assert shown[20:] == [index % 16 for index in range(20, 40)]
    assert frames[0] is frames[1]
    assert warnings


def test_a_truncated_variable_rate_keeps_its_rate(tmp_path: Path) -> None:
    """What is left of a recording keeps its timeline."""
    slots = [index + index // 3 for index in range(60)]
    spec = Spec(times=[Fraction(slot, 25) for slot in slots], frame=numbered)
    path = make_clip(tmp_path / "clip.mkv", spec)
    clip, warnings = opened(truncate(path, tmp_path / "cut.mkv", 0.7))
    frames = list(clip.frames())
    assert clip.fps == 25
    assert len(frames) == clip.length
    assert 20 < len(frames) < slots[-1]
    assert any("The end of the file is missing" in warning for warning in warnings)


@pytest.mark.parametrize("seed", [76, 111, 571, 647])
def test_a_broken_last_frame_of_vp8_is_counted(tmp_path: Path, seed: int) -> None:
    """With a thread for each frame, FFmpeg's decoder gives it out as a whole one; so it has threads within frames."""
    path = next(row for row in ROWS if row.name == "burst").make(tmp_path)
    with av.open(str(path)) as container:
        places = [packet.pos or 0 for packet in container.demux(video=0) if packet.size]
    data, begin = path.read_bytes(), places[-2] + 10
    path.write_bytes(data[:begin] + np.random.default_rng(seed).bytes(len(data) - begin))
    decoder = Decoder(path, probe(path))
    assert sum(1 for _ in decoder.frames()) == 11
    assert list(decoder.describe_damage()) == ["Some of the video's data could not be read."]
