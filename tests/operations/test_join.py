"""``join`` from request to file: any videos, one after another, in step, and none of them harmed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from framepack.answer import Answer as Result
from framepack.job import Job, Progress
from framepack.media.clip import Colors, Matrix
from framepack.media.write import writer
from tests.support.clips import AudioSpec, Spec, flat, make_clip, numbered
from tests.support.http_server import Answer, HttpServer
from tests.support.readback import Pixels, audio_of, beep_times, psnr, read_back
from tests.support.runs import Bench, bench

RED, GREEN, BLUE = (200, 60, 50), (60, 180, 70), (50, 70, 190)


@contextmanager
def served(*clips: Path) -> Iterator[tuple[HttpServer, list[str]]]:
    """A server of some files, and their addresses."""
    with HttpServer({f"/{clip.name}": Answer(body=clip.read_bytes()) for clip in clips}) as server:
        yield server, [f"{server.url}/{clip.name}" for clip in clips]


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker that may fetch from this machine."""
    return bench(tmp_path, allowed_hosts=("127.0.0.1",), video_preset="ultrafast")


def joined(worker: Bench, *clips: Path, job: Job | None = None, **fields: Any) -> Result:
    """Join clips."""
    with served(*clips) as (_, urls):
        return worker.run("join", video_urls=urls, job=job, **fields)


@pytest.fixture
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make any encoding of frames fail."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a frame was encoded")

    monkeypatch.setattr(writer, "add_video", refuse)


def packets_of(path: Path) -> list[bytes]:
    """The packets of a file's frames."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def middle(frame: Pixels) -> tuple[int, int, int]:
    """The color in the middle of a frame."""
    height, width, _ = frame.shape
    part = frame[height // 2 - 4 : height // 2 + 4, width // 2 - 4 : width // 2 + 4]
    red, green, blue = (int(value) for value in part.reshape(-1, 3).mean(0).round())
    return red, green, blue


def is_near(color: tuple[int, int, int], other: tuple[int, int, int], tolerance: int = 4) -> bool:
    """Whether two colors differ by at most ``tolerance``."""
    return max(abs(one - two) for one, two in zip(color, other, strict=True)) <= tolerance


def steps_of(times: list[Fraction]) -> set[Fraction]:
    """The distances between neighboring times."""
    return {after - before for before, after in pairwise(times)}


def test_the_answer_is_the_documented_one(worker: Bench, tmp_path: Path) -> None:
    """Message and name are the documented ones, and the clips follow each other in the order asked for."""
    red, green = (
        make_clip(tmp_path / f"{name}.mp4", Spec(count=5, frame=flat(color)))
        for name, color in (("red", RED), ("green", GREEN))
    )

    answer = joined(worker, red, green, red, output_name="My film.mp4")

    output = worker.output(answer)
    assert answer["message"] == "Videos joined successfully"
    assert output.name.startswith("My film_joined_3_videos_")
    assert output.parent.name == "temp_processing"
    colors = [middle(frame) for frame in read_back(output).frames]
    assert all(
        is_near(color, wanted) for color, wanted in zip(colors, [*[RED] * 5, *[GREEN] * 5, *[RED] * 5], strict=True)
    )
    assert worker.leftovers() == []


def test_without_a_name_it_is_called_like_the_first(worker: Bench, tmp_path: Path) -> None:
    """The first clip's name is the stem."""
    clips = [make_clip(tmp_path / f"part{number}.mp4", Spec(count=3)) for number in (1, 2)]

    assert joined(worker, *clips)["output_filename"].startswith("part1_joined_2_videos_")


def titled(clip: Path, path: Path, **metadata: str) -> Path:
    """A copy of a clip with metadata."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as output:
        output.metadata.update(metadata)
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    return path


def test_the_texts_of_the_first_video_are_kept_and_those_of_the_others_named(worker: Bench, tmp_path: Path) -> None:
    """Unless they are equal."""
    plain = make_clip(tmp_path / "plain.mp4", Spec(count=5))
    one, two = (titled(plain, tmp_path / f"{name}.mp4", title=name, comment="same") for name in ("one", "two"))
    lost = "video_urls[1]: Not carried over to outputs: "

    for clips, title, warnings in (
        ((one, two), "one", [f"{lost}title."]),
        ((plain, two), None, [f"{lost}title, comment."]),
        ((one, plain), "one", None),
    ):
        answer = joined(worker, *clips)
        with av.open(str(worker.output(answer))) as made:
            assert made.metadata.get("title") == title
        assert answer.get("warnings") == warnings


def test_videos_with_equal_properties_are_stream_copied(worker: Bench, tmp_path: Path, no_encoder: None) -> None:
    """Clips of one camera keep their packets, bit for bit, at a constant rate."""
    options = {"preset": "medium", "bf": "2", "crf": "20"}
    clips = [
        make_clip(tmp_path / f"{name}.mp4", Spec(size=(96, 64), count=count, frame=frame, options=options))
        for name, count, frame in (("a", 30, numbered), ("b", 17, flat(RED)), ("c", 8, numbered))
    ]

    output = worker.output(joined(worker, *clips))

    assert packets_of(output) == [packet for clip in clips for packet in packets_of(clip)]
    back = read_back(output)
    assert len(back.frames) == 55
    assert steps_of(back.times) == {Fraction(1, 25)}
    expected = [frame for clip in clips for frame in read_back(clip).frames]
    assert all(np.array_equal(one, other) for one, other in zip(back.frames, expected, strict=True))


def test_stream_copies_keep_audio_in_sync(worker: Bench, tmp_path: Path, no_encoder: None) -> None:
    """The audio of each copied clip begins with its frames, though audio and frames are of unequal length."""
    clips = [
        make_clip(tmp_path / f"{number}.mp4", Spec(count=25, audio=AudioSpec(seconds=seconds, beeps=(0.4,))))
        for number, seconds in enumerate((1.0, 0.7, 1.3, 1.0))
    ]

    output = worker.output(joined(worker, *clips))

    assert beep_times(output) == pytest.approx([0.4, 1.4, 2.4, 3.4], abs=0.003)


def test_videos_with_different_properties_are_encoded(worker: Bench, tmp_path: Path) -> None:
    """Clips that differ in one setting of the encoder only are encoded anew, and whole."""
    clips = [
        make_clip(tmp_path / f"{bf}.mp4", Spec(count=12, frame=numbered, options={"preset": "medium", "bf": bf}))
        for bf in ("0", "2")
    ]

    output = worker.output(joined(worker, *clips))

    back = read_back(output)
    expected = [frame for clip in clips for frame in read_back(clip).frames]
    assert steps_of(back.times) == {Fraction(1, 25)}
    assert all(psnr(one, other) > 30 for one, other in zip(back.frames, expected, strict=True))


@pytest.mark.parametrize(
    ("rates", "expected"),
    [((24, 30), 30), ((30, 24), 30), ((25, 12), 25), ((24, Fraction(30000, 1001)), Fraction(30000, 1001))],
)
def test_the_highest_frame_rate_is_used(
    worker: Bench, tmp_path: Path, rates: tuple[Fraction, Fraction], expected: Fraction
) -> None:
    """Clips of different rates end, at a constant rate, each as long as it was."""
    clips = [
        make_clip(tmp_path / f"{number}.mp4", Spec(fps=Fraction(rate), count=int(2 * rate), frame=flat(color)))
        for number, (rate, color) in enumerate(zip(rates, (RED, GREEN), strict=True))
    ]

    back = read_back(worker.output(joined(worker, *clips)))

    assert back.rate == expected
    assert max(abs(step - 1 / Fraction(expected)) for step in steps_of(back.times)) < Fraction(1, 10_000)
    lengths = [int(2 * rate) / Fraction(rate) for rate in rates]
    reds = sum(is_near(middle(frame), RED, 6) for frame in back.frames)
    assert reds / expected == pytest.approx(float(lengths[0]), abs=0.5 / float(expected))
    assert len(back.frames) / expected == pytest.approx(float(sum(lengths)), abs=0.5 / float(expected))


def test_twenty_clips_do_not_drift(worker: Bench, tmp_path: Path) -> None:
    """Of twenty clips of three rates, each a part of a frame too long, the last is in step like the first."""
    rates = (Fraction(24), Fraction(30000, 1001), Fraction(30))
    kinds = [
        make_clip(
            tmp_path / f"{number}.mp4",
            Spec(
                fps=rate,
                count=13,
                frame=lambda index, width, height: flat((230, 230, 230) if index >= 6 else RED)(0, width, height),
                audio=AudioSpec(seconds=0.61, rate=(44100, 48000, 32000)[number], beeps=(float(6 / rate),)),
            ),
        )
        for number, rate in enumerate(rates)
    ]
    clips = [kinds[number % 3] for number in range(20)]
    seconds = [13 / rates[number % 3] for number in range(20)]
    expected = [float(sum(seconds[:number]) + 6 / rates[number % 3]) for number in range(20)]
    with served(*kinds) as (_, urls):
        output = worker.output(worker.run("join", video_urls=[urls[clips.index(clip)] for clip in clips]))

    back = read_back(output)
    white = [middle(frame)[1] > 150 for frame in back.frames]
    changes = [
        float(time) for time, before, now in zip(back.times[1:], white[:-1], white[1:], strict=True) if now > before
    ]
    beeps = beep_times(output)
    assert len(changes) == len(beeps) == 20
    assert np.abs(np.array(changes) - expected).max() < 0.51 / 30
    assert np.abs(np.array(beeps) - expected).max() < 0.003
    assert len(back.frames) == round(float(sum(seconds)) * 30)


def test_sizes_are_letterboxed(worker: Bench, tmp_path: Path) -> None:
    """A clip of another shape is letterboxed: black above and below, or at its sides."""
    clips = [
        make_clip(tmp_path / f"{number}.mp4", Spec(size=size, count=3, frame=flat(color)))
        for number, (size, color) in enumerate((((128, 96), RED), ((128, 36), GREEN), ((40, 96), BLUE)))
    ]

    back = read_back(worker.output(joined(worker, *clips)))

    assert {frame.shape for frame in back.frames} == {(96, 128, 3)}
    wide, tall = back.frames[4], back.frames[7]
    assert is_near(middle(wide), GREEN)
    assert is_near(middle(tall), BLUE)
    assert wide[:28].max() < 12 > wide[-28:].max()
    assert wide[33:63].mean((0, 1))[1] > 150
    assert tall[:, :42].max() < 12 > tall[:, -42:].max()
    assert tall[:, 47:81].mean((0, 1))[2] > 150


def test_odd_sizes_become_even(worker: Bench, tmp_path: Path) -> None:
    """A first clip of odd size makes an even video, whatever is joined to it."""
    sizes = ((61, 47), (64, 20), (61, 47))
    clips = [
        make_clip(tmp_path / f"{number}.mp4", Spec(size=size, count=3, frame=flat(GREEN), pix_fmt="yuv444p"))
        for number, size in enumerate(sizes)
    ]

    back = read_back(worker.output(joined(worker, *clips)))

    assert {frame.shape for frame in back.frames} == {(48, 62, 3)}
    assert all(is_near(middle(frame), GREEN) for frame in back.frames)


def test_black_is_black_in_full_range(worker: Bench, tmp_path: Path) -> None:
    """Around a frame in a full-range video there is 0, and its colors are those of its own range."""
    full = make_clip(
        tmp_path / "full.mp4", Spec(count=2, frame=flat(RED), colors=Colors(full_range=True), size=(64, 64))
    )
    limited = make_clip(tmp_path / "limited.mp4", Spec(count=2, frame=flat(GREEN), size=(64, 32)))

    back = read_back(worker.output(joined(worker, full, limited)))

    assert back.colors.full_range
    assert back.frames[3][:14].max() < 4
    assert is_near(middle(back.frames[0]), RED)
    assert is_near(middle(back.frames[3]), GREEN)


def test_wide_pixels_are_honoured(worker: Bench, tmp_path: Path) -> None:
    """A clip whose pixels are twice as wide as high fills a screen of square ones twice as wide."""
    screen = make_clip(tmp_path / "screen.mp4", Spec(size=(128, 64), count=2, frame=flat(RED)))
    narrow = make_clip(tmp_path / "narrow.mp4", Spec(size=(64, 64), count=2, frame=flat(GREEN), aspect=Fraction(2)))

    square_first = read_back(worker.output(joined(worker, screen, narrow)))
    wide_first = read_back(worker.output(joined(worker, narrow, screen)))

    assert min(frame[:, :, 1].min() for frame in square_first.frames[2:]) > 150
    assert square_first.aspect in {None, 0, 1}
    assert wide_first.aspect == 2
    assert wide_first.frames[2].shape == (64, 64, 3)
    assert wide_first.frames[2][:, :, 0].min() > 150


@pytest.mark.parametrize(
    "colors", [Colors(Matrix.BT601), Colors(full_range=True), Colors(Matrix.BT2020), Colors(Matrix.BT601, 6, 6)]
)
def test_the_colors_of_the_first_video_are_used(worker: Bench, tmp_path: Path, colors: Colors) -> None:
    """A clip of other color tags looks the same under the first one's."""
    first = make_clip(tmp_path / "first.mp4", Spec(count=2, frame=flat(GREEN)))
    other = make_clip(tmp_path / "other.mp4", Spec(count=2, frame=flat(RED), colors=colors))

    back = read_back(worker.output(joined(worker, first, other)))

    assert back.colors == Colors()
    tolerance = 4 if colors.primaries == 1 else 12  # other primaries are mapped, so that the numbers change a little
    assert is_near(middle(back.frames[3]), RED, tolerance)


def test_pixel_formats_mix(worker: Bench, tmp_path: Path) -> None:
    """8 and 10 bits, 4:2:0 and 4:4:4, H.264 and VP9 give one playable video."""
    clips = [
        make_clip(tmp_path / "a.mp4", Spec(count=3, frame=flat(RED))),
        make_clip(tmp_path / "b.mp4", Spec(count=3, frame=flat(GREEN), pix_fmt="yuv444p10le")),
        make_clip(tmp_path / "c.webm", Spec(count=3, frame=flat(BLUE))),
    ]

    back = read_back(worker.output(joined(worker, *clips)))

    assert back.pix_fmt == "yuv420p"
    assert all(
        is_near(middle(frame), color)
        for frame, color in zip(back.frames, [*[RED] * 3, *[GREEN] * 3, *[BLUE] * 3], strict=True)
    )


def test_silent_clips_get_silence(worker: Bench, tmp_path: Path) -> None:
    """Between two audio a silent clip is silent for as long as it lasts; rates and channels may differ."""
    clips = [
        make_clip(tmp_path / "a.mp4", Spec(count=25, audio=AudioSpec(beeps=(0.5,)))),
        make_clip(tmp_path / "b.mp4", Spec(count=20)),
        make_clip(tmp_path / "c.mp4", Spec(count=25, audio=AudioSpec(rate=44100, layout="stereo", beeps=(0.2,)))),
    ]

    output = worker.output(joined(worker, *clips))

    assert beep_times(output) == pytest.approx([0.5, 2.0], abs=0.003)
    samples, rate = audio_of(output)
    assert len(samples) / rate == pytest.approx(2.8, abs=0.03)


def test_without_any_audio_there_is_no_audio_track(worker: Bench, tmp_path: Path) -> None:
    """Silent clips make a silent video, not one with a track of silence."""
    clips = [make_clip(tmp_path / f"{rate}.mp4", Spec(fps=Fraction(rate), count=5)) for rate in (24, 30)]

    with av.open(str(worker.output(joined(worker, *clips)))) as container:
        assert not container.streams.audio


def test_inputs_stay_as_they_are(worker: Bench, tmp_path: Path) -> None:
    """Neither a join nor one that fails touches the files behind the addresses; nothing of it is left."""
    clips = [make_clip(tmp_path / f"{rate}.mp4", Spec(fps=Fraction(rate), count=5)) for rate in (24, 30)]
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video" * 50)
    before = {path: path.read_bytes() for path in (*clips, broken)}

    worker.output(joined(worker, *clips))
    failed = joined(worker, *clips, broken)

    assert failed["code"] == "invalid_media"
    assert failed["error"].startswith("video_urls[2]: ")
    assert {path: path.read_bytes() for path in before} == before
    assert worker.leftovers() == []


def test_an_output_can_be_joined_with_itself(worker: Bench, tmp_path: Path) -> None:
    """One address given twice is shown twice."""
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=6))
    with served(clip) as (_, urls):
        output = worker.output(worker.run("join", video_urls=urls * 2))

    assert len(read_back(output).frames) == 12


@pytest.mark.parametrize(
    ("urls", "words"),
    [
        ([], "At least 2 video URLs are required"),
        (["https://example.com/a.mp4"], "At least 2 video URLs are required"),
        (["https://example.com/a.mp4", 5], "video_urls[1] must be"),
        ("https://example.com/a.mp4", "video_urls must be"),
    ],
)
def test_too_few_or_mistyped_addresses_are_refused(worker: Bench, urls: Any, words: str) -> None:
    """Fewer than two addresses cannot be joined, and the sentence says so."""
    answer = worker.run("join", video_urls=urls)

    assert (answer["status"], answer["code"]) == (400, "invalid_field")
    assert words in answer["error"]


def test_limits_hold_for_the_whole(tmp_path: Path) -> None:
    """Too many addresses are refused before anything is fetched, too many frames in all before any is decoded."""
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=20))
    reports: list[Progress] = []
    worker = bench(tmp_path, allowed_hosts=("127.0.0.1",), max_join_videos=3, max_output_frames=50)
    with served(clip) as (server, urls):
        too_many = worker.run("join", video_urls=urls * 4)
        fetched = len(server.requests)
        too_long = worker.run("join", video_urls=urls * 3, job=Job("test", reports.append))

    assert (too_many["code"], fetched) == ("too_large", 0)
    assert "maximum 3" in too_many["error"]
    assert too_long["code"] == "too_large"
    assert "60 frames" in too_long["error"]
    assert reports == []


def test_progress_counts_all_frames(worker: Bench, tmp_path: Path) -> None:
    """Frames done, frames in all, and percent, whether copied or encoded."""
    clips = [make_clip(tmp_path / f"{rate}.mp4", Spec(fps=Fraction(rate), count=rate)) for rate in (10, 20)]
    for given in ((clips[0], clips[0]), (clips[0], clips[1])):
        reports: list[Progress] = []
        with served(*set(given)) as (server, _):
            urls = [f"{server.url}/{clip.name}" for clip in given]
            worker.output(worker.run("join", video_urls=urls, job=Job("test", reports.append)))

        total = reports[0].total
        assert total == (20 if given[0] == given[1] else 40)
        assert [report.done for report in reports] == list(range(1, total + 1))
        assert reports[-1].percent == 100


def test_a_cancelled_join_leaves_nothing(worker: Bench, tmp_path: Path) -> None:
    """Cancelling midway ends the job, and neither store nor working folder has anything of it."""
    clips = [make_clip(tmp_path / f"{rate}.mp4", Spec(fps=Fraction(rate), count=50)) for rate in (24, 30)]
    for given in (clips, clips[:1] * 2):
        job = Job("test")
        job.report = lambda progress, job=job: job.cancel() if progress.done == 5 else None  # type: ignore[misc]
        with served(*clips) as (server, _):
            urls = [f"{server.url}/{clip.name}" for clip in given]
            answer = worker.run("join", video_urls=urls, job=job)

        assert answer["code"] == "cancelled"
        assert worker.leftovers() == []
        assert not list((worker.folder / "outputs").rglob("*.mp4"))


def test_the_callback_says_how_many(worker: Bench, tmp_path: Path) -> None:
    """The callback's metadata has the number of videos and the name."""
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=3))
    with HttpServer({"/clip.mp4": Answer(body=clip.read_bytes()), "/cb": Answer()}) as server:
        url = f"{server.url}/clip.mp4"
        worker.run("join", video_urls=[url, url], output_name="film", callback_url=f"{server.url}/cb")
        [received] = [request for request in server.requests if request.path == "/cb"]

    body = json.loads(received.body)
    assert (body["operation"], body["success"]) == ("join", True)
    assert body["metadata"] == {"num_videos": 2, "output_name": "film"}
