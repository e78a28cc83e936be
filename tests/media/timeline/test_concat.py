"""Concatenated clips: timing, size and audio, with and without re-encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from framepack.media.clip import AudioSequence, AudioSource, Clip, Colors, Frame, HostFrame, Matrix
from framepack.media.frames.letterbox import Letterbox, letterboxed_size
from framepack.media.mux.join import JoinInput, copy_joined
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from framepack.media.timeline.concat import concatenate, joined_fps
from tests.support.clips import AudioSpec, Spec, flat, make_clip, to_frame
from tests.support.odd_files import with_own_parameters, with_two_descriptions
from tests.support.readback import beep_times, read_back, rgb_of

NTSC = Fraction(30000, 1001)


class Numbered:
    """Clips whose frames can be told apart, and whether their iterators were closed."""

    def __init__(self) -> None:
        self.open = 0
        self.most_open = 0
        self.number: dict[int, tuple[str, int]] = {}
        self.kept: list[Frame] = []

    def clip(self, name: str, fps: Fraction, length: int, size: tuple[int, int] = (16, 16)) -> Clip:
        """A clip of some gray frames."""

        def frames() -> Iterator[Frame]:
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            try:
                for index in range(length):
                    frame = HostFrame(to_frame(flat((99, 99, 99))(0, *size), "yuv420p"))
                    self.number[id(frame)] = (name, index)
                    self.kept.append(frame)
                    yield frame
            finally:
                self.open -= 1

        return Clip(frames=frames, fps=fps, width=size[0], height=size[1], length=length)

    def shown(self, clip: Clip) -> list[tuple[str, int]]:
        """Which frames a joined clip shows."""
        return [self.number[id(frame)] for frame in clip.frames()]


def test_clips_of_equal_rate_show_every_frame_once() -> None:
    """Clips of one rate follow each other frame by frame, whatever the rate."""
    clips = Numbered()

    joined = concatenate([clips.clip(name, NTSC, length) for name, length in (("a", 7), ("b", 1), ("c", 5))])

    assert clips.shown(joined) == [*(("a", i) for i in range(7)), ("b", 0), *(("c", i) for i in range(5))]
    assert (joined.fps, joined.length) == (NTSC, 13)
    assert (clips.open, clips.most_open) == (0, 1)


def test_frames_of_a_lower_rate_are_duplicated() -> None:
    """A 12 fps clip joined at 24 fps shows each frame twice."""
    clips = Numbered()

    joined = concatenate([clips.clip("a", Fraction(24), 2), clips.clip("b", Fraction(12), 3)])

    assert clips.shown(joined) == [("a", 0), ("a", 1), *(("b", i // 2) for i in range(6))]


def test_frames_are_at_most_half_a_frame_off_their_time() -> None:
    """This holds over twenty clips of odd lengths and rates."""
    clips = Numbered()
    rates = [Fraction(24), NTSC, Fraction(25), Fraction(15)]
    parts = [clips.clip(str(number), rates[number % 4], 7 + number) for number in range(20)]

    joined = concatenate(parts)

    starts = [sum((part.length or 0) / part.fps for part in parts[:number]) for number in range(21)]
    shown = clips.shown(joined)
    assert joined.fps == NTSC
    assert joined.length == len(shown) == round(starts[20] * NTSC)
    for number, (name, index) in enumerate(shown):
        part, middle = parts[int(name)], (number + Fraction(1, 2)) / NTSC
        begin = starts[int(name)] + index / part.fps
        assert begin - Fraction(1, 2) / NTSC <= middle <= begin + 1 / part.fps + Fraction(1, 2) / NTSC
    assert {name for name, _ in shown} == {str(number) for number in range(20)}


@pytest.mark.parametrize(
    ("rates", "expected"),
    [((24, 30), 30), ((30, 24, 12), 30), ((25, 240), 60), ((240, 25), 240), ((90, 120), 90), ((50, 60), 60)],
)
def test_joined_fps_is_the_highest_but_above_60_only_if_first(rates: tuple[int, ...], expected: int) -> None:
    """The highest rate of all, but above 60 only if the first clip's is."""
    assert joined_fps([Fraction(rate) for rate in rates]) == expected


def test_audio_of_each_clip_lasts_as_long_as_its_frames() -> None:
    """A clip without audio gives silence; if no clip has audio, the result has none."""
    clips = Numbered()
    audio = AudioSource(Path("a"), 1)
    loud, silent = clips.clip("a", NTSC, 10), clips.clip("b", Fraction(24), 12)
    loud = Clip(loud.frames, loud.fps, 16, 16, 10, audio=audio)

    assert concatenate([loud, silent]).audio == AudioSequence(((audio, 10 / NTSC), (None, Fraction(1, 2))))
    assert concatenate([silent, silent]).audio is None


def test_a_duplicated_frame_is_converted_once() -> None:
    """A frame shown several times in a row is one object, also if it is letterboxed."""
    clips = Numbered()

    joined = concatenate([clips.clip("a", Fraction(24), 1), clips.clip("b", Fraction(6), 2, (32, 8))])

    frames = list(joined.frames())
    assert [(frame.width, frame.height) for frame in frames] == [(16, 16)] * 9
    assert len({id(frame) for frame in frames[1:]}) == 2


def test_closing_early_closes_the_current_clip() -> None:
    """Nothing goes on behind a join that is not read to its end."""
    clips = Numbered()
    frames = concatenate([clips.clip("a", NTSC, 5), clips.clip("b", NTSC, 5)]).frames()
    for _ in range(7):
        next(frames)
    assert clips.open == 1

    frames.close()  # type: ignore[attr-defined]

    assert clips.open == 0


@pytest.mark.parametrize(
    ("size", "aspect", "screen", "screen_aspect", "expected"),
    [
        ((64, 48), 1, (128, 96), 1, (128, 96)),
        ((64, 32), 1, (128, 96), 1, (128, 64)),
        ((32, 64), 1, (128, 96), 1, (48, 96)),
        ((64, 64), 2, (128, 64), 1, (128, 64)),
        ((128, 64), 1, (64, 64), 2, (64, 64)),
        ((63, 47), 1, (61, 47), 1, (61, 46)),
        ((4000, 2), 1, (64, 48), 1, (64, 2)),
        ((2, 4000), 1, (64, 48), 1, (2, 48)),
    ],
)
def test_letterboxed_size_is_the_largest_that_fits(
    size: tuple[int, int], aspect: int, screen: tuple[int, int], screen_aspect: int, expected: tuple[int, int]
) -> None:
    """The display aspect ratio is kept, and one side fills the canvas."""
    clip = Clip(lambda: iter(()), NTSC, *size, 1, pixel_aspect=Fraction(aspect))
    on = Clip(lambda: iter(()), NTSC, *screen, 1, pixel_aspect=Fraction(screen_aspect))

    assert letterboxed_size(clip, on) == expected


@pytest.mark.parametrize("colors", [Colors(), Colors(Matrix.BT601, 6, 6)])
def test_letterbox_fills_an_odd_canvas(colors: Colors) -> None:
    """A screen of odd size gets frames of just that size, also when primaries are mapped."""
    clip = Clip(lambda: iter(()), NTSC, 64, 20, 1, colors=colors)
    screen = Clip(lambda: iter(()), NTSC, 61, 47, 1)
    frame = Letterbox(clip, screen)(HostFrame(to_frame(flat((200, 200, 200))(0, 64, 20), "yuv420p"))).video

    rgb = rgb_of(frame)
    assert rgb.shape == (47, 61, 3)
    assert rgb[20:26].min() > 190
    assert rgb[:10].max() < 10 > rgb[-10:].max()


@pytest.mark.parametrize("size", [(2, 2), (4, 2), (1, 1), (3, 5), (64, 2), (2, 64), (63, 31), (200, 100)])
@pytest.mark.parametrize("colors", [Colors(), Colors(Matrix.BT601, 6, 6), Colors(Matrix.BT2020, 9, 16)])
def test_letterbox_converts_any_size_and_colors(size: tuple[int, int], colors: Colors) -> None:
    """Small, flat and odd frames of any colors become frames of the screen's size."""
    for screen_size in ((2, 2), (64, 48), (61, 47), (3, 3), (62, 33)):
        clip = Clip(lambda: iter(()), NTSC, *size, 1, colors=colors)
        screen = Clip(lambda: iter(()), NTSC, *screen_size, 1)

        frame = Letterbox(clip, screen)(HostFrame(to_frame(flat((200, 200, 200))(0, *size), "yuv420p", colors))).video

        assert (frame.width, frame.height) == screen_size
        assert rgb_of(frame).max() > 170


# Copying


def pieces(*paths: Path) -> list[JoinInput]:
    """Files to be joined."""
    return [JoinInput(path, probe(path)) for path in paths]


def copied(target: Path, *paths: Path) -> bool:
    """Whether files can be joined by copying; if so they are."""
    parts = pieces(*paths)
    clip = concatenate([open_clip(piece.path, piece.info, warn=lambda _: None) for piece in parts])
    done = copy_joined(parts, clip, target, warn=lambda _: None)
    assert target.exists() == done
    return done


@pytest.mark.parametrize(
    "other",
    [
        Spec(count=5, size=(64, 50)),
        Spec(count=5, fps=Fraction(30)),
        Spec(count=5, pix_fmt="yuv444p"),
        Spec(count=5, aspect=Fraction(2)),
        Spec(count=5, rotation=90),
        Spec(count=5, options={"preset": "medium"}),
        Spec(times=[Fraction(each, 25) for each in (0, 1, 2, 5, 6)]),
        Spec(count=5, codec="mpeg4"),
    ],
)
def test_join_copies_no_files_with_different_streams(tmp_path: Path, other: Spec) -> None:
    """One difference in size, rate, format, shape, turn or encoder is enough, whichever comes first."""
    first = make_clip(tmp_path / "first.mp4", Spec(count=5))
    second = make_clip(tmp_path / "second.mp4", other)

    assert copied(tmp_path / "same.mp4", first, first)
    assert not copied(tmp_path / "joined.mp4", first, second)
    assert not copied(tmp_path / "joined.mp4", second, first)


@pytest.mark.parametrize("splice", [with_own_parameters, with_two_descriptions])
def test_join_copies_no_file_whose_parameters_change(
    tmp_path: Path, splice: Callable[[Path, Path, Path], Path]
) -> None:
    """They would hold for the first packets of the next file, too; those of the header change nothing."""
    first = make_clip(tmp_path / "first.mp4", Spec(count=5, options={"bf": "0", "preset": "ultrafast"}))
    second = make_clip(tmp_path / "second.mp4", Spec(count=5, options={"bf": "0", "preset": "medium"}))
    both = splice(first, second, tmp_path / "both.mp4")
    assert not copied(tmp_path / "joined.mp4", both, both)
    twice = with_own_parameters(first, first, tmp_path / "twice.mp4")
    assert copied(tmp_path / "joined.mp4", twice, twice)


@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
def test_join_copies_no_other_containers(tmp_path: Path, suffix: str) -> None:
    """Only MP4 files have packets as MP4 files have them."""
    clip = make_clip(tmp_path / f"clip{suffix}", Spec(count=5))

    assert not copied(tmp_path / "joined.mp4", clip, clip)


def test_join_copies_from_the_first_frame_of_each_file(tmp_path: Path) -> None:
    """A file whose first timestamp is not zero is not delayed in the joined file, nor is its audio."""
    clips = [
        make_clip(
            tmp_path / f"{start}.mp4",
            Spec(count=25, start=Fraction(start), audio=AudioSpec(beeps=(0.4,), start=Fraction(start))),
        )
        for start in (0, 2)
    ]

    assert copied(tmp_path / "joined.mp4", *clips, clips[0])

    assert [float(time) for time in read_back(tmp_path / "joined.mp4").times] == pytest.approx(
        [index / 25 for index in range(75)]
    )
    assert beep_times(tmp_path / "joined.mp4") == pytest.approx([0.4, 1.4, 2.4], abs=0.003)
