"""Edit lists of MP4 files that FFmpeg does not follow."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import pytest

from framepack.errors import TooLarge
from framepack.media.images.convert import to_rgb
from framepack.media.read.edit_list import Edit, needs_own_reading, obstacle, read_edit_lists
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from framepack.media.section import Section
from tests.support.clips import AudioSpec, Spec, barred, bars_of, make_clip
from tests.support.odd_files import EditEntries, in_decoding_order, rewritten, with_edit_lists

ONE, HALF, NOTHING = Fraction(1), Fraction(1, 2), Fraction(0)
B_FRAMES = {"preset": "veryfast", "crf": "10", "bf": "2", "g": "8"}
SWAPPED: EditEntries = [(Fraction(2, 5), Fraction(2, 5), ONE), (Fraction(2, 5), NOTHING, ONE)]


def clip(folder: Path, *lists: EditEntries, audio: bool = False) -> Path:
    """20 numbered frames at 25 per second with these edit lists."""
    spec = Spec(count=20, frame=barred, options=B_FRAMES, audio=AudioSpec("aac", seconds=0.8) if audio else None)
    return with_edit_lists(make_clip(folder / "a.mp4", spec), *lists)


def shown(path: Path, section: Section | None = None) -> tuple[list[int], list[str]]:
    """The numbers of the frames that a clip has, and its warnings."""
    warnings: list[str] = []
    opened = open_clip(path, probe(path), warn=warnings.append, section=section)
    numbers = [bars_of(to_rgb(frame)) for frame in opened.frames()]
    assert len(numbers) == opened.length
    return numbers, warnings


def test_a_section_of_an_edited_video_counts_what_is_played(tmp_path: Path) -> None:
    """From the middle of one part to the middle of the next."""
    path = clip(tmp_path, SWAPPED)
    assert shown(path) == ([*range(10, 20), *range(10)], [])
    section = Section(Fraction(8, 25), Fraction(14, 25))
    assert shown(path, section) == ([18, 19, 0, 1, 2, 3], [])


def test_an_edited_video_begins_with_its_first_part(tmp_path: Path) -> None:
    """A pause before it is no frame; one at the end holds the last frame."""
    pause = (Fraction(1, 5), None, ONE)
    path = clip(tmp_path, [pause, (Fraction(1, 5), Fraction(1, 5), ONE), pause])
    assert shown(path) == ([5, 6, 7, 8, 9, *[9] * 5], [])


def test_parts_that_are_too_fast_say_how_many_frames_are_left_out(tmp_path: Path) -> None:
    """Four times as fast at 25 per second would be 100."""
    numbers, warnings = shown(clip(tmp_path, [(Fraction(1, 5), NOTHING, Fraction(4))]))
    assert numbers == list(range(0, 20, 2))
    assert warnings == [
        "The file's edit list plays parts so fast that 9 of their frames are left out at 50 frames per second."
    ]


def test_an_edit_list_with_too_many_parts_is_not_followed(tmp_path: Path) -> None:
    """It is played once, and the warning has the number."""
    numbers, warnings = shown(clip(tmp_path, [(Fraction(1, 25), Fraction(k % 20, 25), ONE) for k in range(300)]))
    assert numbers == list(range(20))
    [warning] = warnings
    assert warning.startswith(
        "The file's edit list has 300 parts, more than the 200 that can be followed: all of the "
    )


def test_an_edit_list_that_plays_for_years_is_too_large(tmp_path: Path) -> None:
    """Nothing is made before that is known."""
    with pytest.raises(TooLarge, match=r"The video has more than 1000 frames, which is the maximum\.$"):
        probe(clip(tmp_path, [(Fraction(1_000_000), NOTHING, HALF)]), max_frames=1000)


def test_an_edit_list_that_plays_nearly_nothing_is_said(tmp_path: Path) -> None:
    """Perhaps one of its numbers is damaged."""
    numbers, warnings = shown(clip(tmp_path, [(Fraction(1, 25), NOTHING, HALF)]))
    assert (numbers, warnings) == ([0], ["The file's edit list plays only 1 of 20 frames."])
    assert shown(clip(tmp_path, [(Fraction(1, 5), NOTHING, HALF)])) == ([0, 0, 1, 1, 2], [])


def test_audio_after_the_last_part_is_said_to_be_left_out(tmp_path: Path) -> None:
    """The audio has a list of its own."""
    path = clip(tmp_path, [(Fraction(1, 5), NOTHING, ONE)] * 2, [(Fraction(4, 5), NOTHING, ONE)], audio=True)
    assert shown(path) == ([*range(5), *range(5)], ["0.4 seconds of audio after the last frame are left out."])


def test_usual_edit_lists_are_left_to_ffmpeg() -> None:
    """A pause at the beginning, then one part at normal speed."""
    part = Edit(ONE, HALF)
    for usual in ([], [part], [Edit(HALF, None), part]):
        assert not needs_own_reading(usual)
    for own in ([part, part], [Edit(ONE, HALF, HALF)], [Edit(NOTHING, HALF)], [part, Edit(HALF, None)]):
        assert needs_own_reading(own)
    assert obstacle([part] * 200) is None


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mpeg2video"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_cut_of_decoding_times_begins_with_its_first_frame(tmp_path: Path, codec: str, b_frames: int) -> None:
    """Frames before it are only decoded, and nothing is said to be damaged."""
    spec = Spec(count=20, codec=codec, frame=barred, options={"bf": str(b_frames), "g": "20", "qscale": "2"})
    path = rewritten(make_clip(tmp_path / "a.mkv", spec), tmp_path / "a.mp4", in_decoding_order)
    for begin in range(1, 8):
        one_later = (Fraction(20 - begin, 25), Fraction(1, 25), ONE)
        assert shown(with_edit_lists(path, [one_later])) == (list(range(begin, 20)), [])


def test_lists_of_64_bits_are_read_like_others(tmp_path: Path) -> None:
    """Version 1 of the box."""
    path = clip(tmp_path, [(ONE, HALF, ONE)])
    data = path.read_bytes()
    at = data.index(b"elst")
    duration, begin, rate = struct.unpack_from(">Iii", data, at + 12)
    wide = struct.pack(">IIQqi", 1 << 24, 1, duration, begin, rate)
    (expected,) = read_edit_lists(path).values()
    grown = len(wide) - 20
    data = data[: at + 4] + wide + data[at + 24 :]
    for name in (b"moov", b"trak", b"edts", b"elst"):
        place = data.index(name) - 4
        (length,) = struct.unpack_from(">I", data, place)
        data = data[:place] + struct.pack(">I", length + grown) + data[place + 4 :]
    path.write_bytes(data)
    assert list(read_edit_lists(path).values()) == [expected]


def test_damaged_indexes_have_no_edit_lists(tmp_path: Path) -> None:
    """Cut off or overwritten anywhere: no error, and no endless loop."""
    path = clip(tmp_path, SWAPPED)
    data = path.read_bytes()
    begin = data.index(b"moov") - 4
    for place in range(begin, len(data), 7):
        path.write_bytes(data[:place])
        read_edit_lists(path)
        path.write_bytes(data[:place] + bytes(4) + data[place + 4 :])
        read_edit_lists(path)
    path.write_bytes(data.replace(b"udta", b"mvex"))
    assert read_edit_lists(path) == {}
