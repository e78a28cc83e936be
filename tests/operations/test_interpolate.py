"""``interpolate`` from request to file: exact rates, counts and durations, and frames that are really new."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from framepack.job import Job, Progress
from framepack.media.clip import AudioSequence, AudioSource, Clip, StretchedAudio
from framepack.models.library import ModelLibrary
from framepack.models.spec import ModelRow
from framepack.models.weights.catalog import Catalog
from framepack.models.weights.store import WeightsStore
from framepack.operations.postprocess.interpolate import InterpolateParams, InterpolateRequest, interpolated
from framepack.processing.context import Context
from tests.support.clips import BT709, AudioSpec, Pixels, Spec, beeps, make_clip, scene
from tests.support.interpolation import mixing, texture, timed
from tests.support.readback import beep_times, psnr, read_back
from tests.support.runs import Bench, bench
from tests.support.weights import checkpoint, fetch_never, published

NTSC = Fraction(30000, 1001)
CONTEXT = cast(  # nothing of it is used
    "Context", SimpleNamespace(workspace=SimpleNamespace(folder=Path()), preload=lambda _lease: None)
)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelRow]:
    """A file in the published form, of a network that mixes its neighbors, and its row."""
    return published_weights(tmp_path_factory.mktemp("mixing"), mixing())


@pytest.fixture(scope="session")
def timed_weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelRow]:
    """The same of a network that mixes them by time."""
    return published_weights(tmp_path_factory.mktemp("timed"), timed())


def published_weights(folder: Path, state: dict[str, Tensor]) -> tuple[Path, ModelRow]:
    """Write weights under the published keys."""
    content = checkpoint({f"module.{key}": value for key, value in state.items()}, key=None)
    (folder / "flownet.pkl").write_bytes(content)
    return folder, ModelRow("RIFE_test", "interpolator", "IFNet", 1, (published(content, "flownet.pkl"),), 25, "Test")


@pytest.fixture
def own(tmp_path: Path, weights: tuple[Path, ModelRow]) -> Bench:
    """A bench with these weights."""
    return with_weights(bench(tmp_path), weights)


def with_weights(made: Bench, weights: tuple[Path, ModelRow]) -> Bench:
    """Give a bench the test's network."""
    folder, row = weights
    catalog = Catalog((row,))
    store = WeightsStore(folder, allow_download=False, download=fetch_never, catalog=catalog)
    made.runtime.models = ModelLibrary(catalog, store, device="cpu")
    return made


def gliding(index: int, width: int, height: int) -> Pixels:
    """A texture that moves by three columns a frame: no two frames are alike."""
    whole = texture(height, width + 300)
    return np.repeat(whole[:, 3 * index : 3 * index + width, None], 3, 2)


def lumas(path: Path) -> list[NDArray[np.uint8]]:
    """Brightness of every frame."""
    return [frame[..., 1] for frame in read_back(path).frames]


def seconds_of_audio(path: Path) -> float:
    """How long a file's audio is."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        return float(sum(frame.samples for frame in frames) / frames[0].sample_rate)


@pytest.mark.parametrize(
    ("mode", "speed", "frames", "rate"),
    [
        ("2x", 1.0, 22, 2 * NTSC),
        ("4x", 1.0, 44, 4 * NTSC),
        ("No Interpolation", 1.0, 11, NTSC),
        ("No Interpolation", 0.5, 22, NTSC),
        ("No Interpolation", 2.0, 6, NTSC),
        ("2x", 0.5, 44, 2 * NTSC),
        ("4x", 0.25, 176, 4 * NTSC),
        ("2x", 4.0, 6, 2 * NTSC),
        ("2x", 0.7, 31, 2 * NTSC),
    ],
)
def test_counts_and_rates_are_exact(
    own: Bench, tmp_path: Path, mode: str, speed: float, frames: int, rate: Fraction
) -> None:
    """N * factor / speed frames at exactly the source's rate times the factor, evenly spaced."""
    source = make_clip(tmp_path / "source.mp4", Spec(fps=NTSC, count=11, frame=gliding))

    output = own.output(own.run("interpolate", source, fps_mode=mode, speed_factor=speed))

    written = read_back(output)
    assert (len(written.frames), written.rate) == (frames, rate)
    assert written.times == [pytest.approx(index / rate, abs=1e-4) for index in range(frames)]
    assert abs(frames / rate - 11 / NTSC / Fraction(str(speed))) <= 1 / (2 * rate)  # the duration is right


def test_source_frames_stay_and_new_ones_lie_between(tmp_path: Path, weights: tuple[Path, ModelRow]) -> None:
    """Every second frame is the source's; the others are drawn from their two neighbors."""
    source = make_clip(tmp_path / "source.mp4", Spec(count=8, frame=gliding))
    sharp = with_weights(bench(tmp_path, video_crf=1), weights)

    made = lumas(sharp.output(sharp.run("interpolate", source)))

    given = lumas(source)
    for index in range(8):
        assert psnr(made[2 * index], given[index]) > 48
    for index in range(7):
        mean = (given[index].astype(float) + given[index + 1]) / 2
        assert psnr(made[2 * index + 1], mean) > 45
        assert psnr(made[2 * index + 1], given[index]) < 35
    assert psnr(made[15], given[7]) > 48  # behind the last frame there is nothing to draw


def test_frames_are_drawn_between_neighbors_in_the_order_of_presentation(
    tmp_path: Path, weights: tuple[Path, ModelRow]
) -> None:
    """From an AVI file with B-frames, which has decoding times only."""
    options = {"preset": "veryfast", "crf": "4", "bf": "3", "b_strategy": "0"}
    source = make_clip(tmp_path / "source.avi", Spec(count=16, frame=gliding, options=options))
    plain = make_clip(tmp_path / "source.mp4", Spec(count=16, frame=gliding, options=options))
    sharp = with_weights(bench(tmp_path, video_crf=1), weights)

    made = lumas(sharp.output(sharp.run("interpolate", source)))

    given = lumas(plain)
    assert len(made) == 32
    for index in range(15):
        mean = (given[index].astype(float) + given[index + 1]) / 2
        assert psnr(made[2 * index], given[index]) > 45
        assert psnr(made[2 * index + 1], mean) > 43


@pytest.mark.parametrize("use_streaming", [False, True])
@pytest.mark.parametrize(("mode", "speed"), [("2x", 0.5), ("2x", 0.3), ("4x", 0.25)])
def test_slow_motion_is_made_of_new_frames(
    tmp_path: Path, timed_weights: tuple[Path, ModelRow], mode: str, speed: float, *, use_streaming: bool
) -> None:
    """No frame is shown twice but the last one, and each is the mix of its own time; streamed or not."""
    source = make_clip(tmp_path / "source.mp4", Spec(count=4, frame=gliding))
    own = with_weights(bench(tmp_path, video_crf=1), timed_weights)

    answer = own.run("interpolate", source, fps_mode=mode, speed_factor=speed, use_streaming=use_streaming)

    made, given = lumas(own.output(answer)), lumas(source)
    step = speed / {"2x": 2, "4x": 4}[mode]
    assert len(made) == round(4 / step)
    moving = made[: int(3 / step) + 1]
    assert all(np.abs(one.astype(int) - other).mean() > 0.4 for one, other in pairwise(moving))
    for index, frame in enumerate(moving[:-1]):
        before, fraction = divmod(index * step, 1)
        share = 1 if fraction < 1e-9 else 1 / (1 + np.exp(-4 * (0.5 - fraction)))
        mix = share * given[int(before)].astype(float) + (1 - share) * given[int(before) + 1]
        assert psnr(frame[4:-4, 4:-4], mix[4:-4, 4:-4]) > 42


@pytest.mark.parametrize("speed", [0.25, 0.5, 0.7, 1.5])
def test_no_interpolation_shows_the_source_frame_of_each_moment(tmp_path: Path, speed: float) -> None:
    """At any speed, in slow motion too, frames are the source's at the source's rate, and no model is needed."""
    source = make_clip(tmp_path / "source.mp4", Spec(count=13, frame=gliding))
    bare = bench(tmp_path, video_crf=1)

    output = bare.output(bare.run("interpolate", source, fps_mode="No Interpolation", speed_factor=speed))

    made, given = lumas(output), lumas(source)
    assert read_back(output).rate == 25
    assert len(made) == int(13 / speed + 0.5)
    for index, frame in enumerate(made):
        position = min(index * Fraction(str(speed)), Fraction(12))
        assert psnr(frame, given[int(position)]) > 48
    assert bare.runtime.models.cache.loads == 0


@pytest.mark.parametrize("speed", [2.0, 3.0, 4.0])
def test_fast_motion_keeps_whole_frames(tmp_path: Path, speed: float) -> None:
    """At whole speeds every second, third or fourth frame is shown, from first to last, without any model."""
    source = make_clip(tmp_path / "source.mp4", Spec(count=13, frame=gliding))
    bare = bench(tmp_path, video_crf=1)

    made = lumas(bare.output(bare.run("interpolate", source, fps_mode="No Interpolation", speed_factor=speed)))

    given = lumas(source)
    assert len(made) == round(13 / speed + 0.01)
    for index, frame in enumerate(made):
        assert psnr(frame, given[round(index * speed)]) > 48
    assert bare.runtime.models.cache.loads == 0


def test_cuts_and_equal_frames_are_shown_as_they_are(own: Bench, tmp_path: Path) -> None:
    """Across a cut the scenes are not mixed, and a frame that stays is not drawn again."""

    def frames(index: int, width: int, height: int) -> Pixels:
        gray = texture(height, width, seed=1 if index < 4 else 2)
        return np.repeat(gray[..., None], 3, 2)

    source = make_clip(tmp_path / "source.mp4", Spec(size=(96, 64), count=8, frame=frames))

    made = lumas(own.output(own.run("interpolate", source, fps_mode="4x")))

    first, second = frames(0, 96, 64)[..., 0], frames(4, 96, 64)[..., 0]
    scenes = [psnr(frame, first) > psnr(frame, second) for frame in made]
    assert scenes == [True] * 16 + [False] * 16
    assert all(max(psnr(frame, first), psnr(frame, second)) > 30 for frame in made)


@pytest.mark.parametrize("size", [(61, 47), (64, 48), (130, 66)])
def test_any_size_is_taken(own: Bench, tmp_path: Path, size: tuple[int, int]) -> None:
    """Odd sizes grow by one column and row, as the encoder needs; nothing else changes."""
    source = make_clip(tmp_path / "source.mp4", Spec(size=size, count=3, pix_fmt="yuv444p", frame=gliding))

    written = read_back(own.output(own.run("interpolate", source)))

    assert len(written.frames) == 6
    assert written.frames[0].shape == (size[1] + size[1] % 2, size[0] + size[0] % 2, 3)


def test_colors_stay(tmp_path: Path, weights: tuple[Path, ModelRow]) -> None:
    """BT.709 stays BT.709, tagged, and new frames have the colors of their neighbors."""

    def tinted(index: int, width: int, height: int) -> Pixels:
        soft: Pixels = (scene(index, width, height) * 0.3 + np.array([110, 80, 50])).astype(np.uint8)
        return soft

    source = make_clip(tmp_path / "source.mp4", Spec(count=4, frame=tinted, options={"crf": "1"}))

    sharp = with_weights(bench(tmp_path, video_crf=1), weights)

    written = read_back(sharp.output(sharp.run("interpolate", source)))

    assert written.colors == BT709
    given = read_back(source).frames
    for index in (1, 3, 5):
        before, after = given[index // 2], given[index // 2 + 1]
        expected = (before.astype(float) + after) / 2
        drift = (written.frames[index] - expected).mean((0, 1))
        assert np.abs(drift).max() < 1


def test_audio_stays_beside_its_frames(own: Bench, tmp_path: Path) -> None:
    """At speed 1 the audio's packets are the source's own, and frame and audio end together."""
    audio = AudioSpec(seconds=1.0, beeps=(0.2, 0.7))
    source = make_clip(tmp_path / "source.mp4", Spec(fps=NTSC, count=30, frame=gliding, audio=audio))

    output = own.output(own.run("interpolate", source))

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(audio=0) if packet.size]

    assert packets(output) == packets(source)
    written = read_back(output)
    assert written.times[-1] + 1 / (2 * NTSC) == pytest.approx(Fraction(30) / NTSC, abs=1e-3)


@pytest.mark.parametrize("speed", [0.5, 2.0, 0.3])
def test_audio_follows_the_speed(own: Bench, tmp_path: Path, speed: float) -> None:
    """What was heard at second s is heard at s / speed, and audio and frames last equally long."""
    audio = AudioSpec(seconds=2.0, beeps=(0.4, 1.2))
    source = make_clip(tmp_path / "source.mp4", Spec(count=50, size=(32, 32), frame=gliding, audio=audio))
    assert beeps(audio).any()

    output = own.output(own.run("interpolate", source, fps_mode="No Interpolation", speed_factor=speed))

    assert len(read_back(output).frames) == round(50 / speed)
    assert seconds_of_audio(output) == pytest.approx(2 / speed, abs=0.06)
    assert beep_times(output)[:1] == [pytest.approx(0.4 / speed, abs=0.05)]


def plan(audio: AudioSource | None = None, **fields: Any) -> Clip:
    """What the effect makes of a clip of 100 frames at 30000/1001 whose frames must not be touched."""

    def never() -> Any:
        raise AssertionError

    clip = Clip(never, NTSC, 64, 48, 100, audio=audio)
    return interpolated.apply(clip, InterpolateParams.parse(fields), CONTEXT)


def test_everything_is_known_before_decoding() -> None:
    """Rate, length and audio of the result are there at once, so that limits can be checked."""
    audio = AudioSource(Path("clip.mp4"), 1)
    slow = plan(audio, fps_mode="4x", speed_factor=0.3)
    assert (slow.fps, slow.length) == (4 * NTSC, 1333)
    assert slow.audio == StretchedAudio(audio, Fraction(3, 10))
    assert plan(audio).audio == audio
    assert plan(speed_factor=2).audio is None
    assert (plan().width, plan().height) == (64, 48)


def test_nothing_to_do_is_nothing() -> None:
    """No interpolation at speed 1 gives the clip itself."""
    clip = Clip(lambda: iter(()), NTSC, 64, 48, 9)
    params = InterpolateParams.parse({"fps_mode": "none"})
    assert interpolated.apply(clip, params, CONTEXT) is clip


def test_seams_of_loops_are_drawn_too() -> None:
    """A clip that is shown three times becomes one of all its frames, seams included, at the length of all three."""
    audio = AudioSource(Path("clip.mp4"), 1)
    clip = Clip(lambda: iter(()), Fraction(25), 64, 48, 4, audio=audio, repeats=3)

    made = interpolated.apply(clip, InterpolateParams.parse({"fps_mode": "4x", "speed_factor": 2}), CONTEXT)

    assert (made.repeats, made.length, made.total_frames) == (1, 24, 24)
    assert made.audio == StretchedAudio(AudioSequence(((audio, Fraction(4, 25)),) * 3), Fraction(2))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("2x Frames", "2x"),
        ("4x Frames", "4x"),
        ("4X", "4x"),
        ("none", "No Interpolation"),
        ("None", "No Interpolation"),
        ("no interpolation", "No Interpolation"),
        (" 2x  frames", "2x"),
        ("1x", "No Interpolation"),
    ],
)
def test_other_names_of_modes_are_understood(given: str, meant: str) -> None:
    """What other clients call the modes is understood in any case, and reported by the documented name."""
    request = InterpolateRequest.parse({"video_url": "https://example.com/a.mp4", "fps_mode": given})
    assert request.callback_metadata() == {"fps_mode": meant, "speed_factor": 1.0, "use_streaming": False}


def test_the_documented_modes_are_published() -> None:
    """The schema lists exactly the three documented modes."""
    schema = InterpolateRequest.model_json_schema()["properties"]["fps_mode"]
    assert (schema["enum"], schema["default"]) == (["No Interpolation", "2x", "4x"], "2x")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"fps_mode": "8x"}, "fps_mode must be 'No Interpolation', '2x' or '4x', not '8x'"),
        ({"fps_mode": 2}, "fps_mode must be"),
        ({"speed_factor": 0.2}, "speed_factor must be between 0.25 and 4, not 0.2"),
        ({"speed_factor": 4.1}, "speed_factor must be between 0.25 and 4"),
        ({"speedfactor": 2}, "did you mean 'speed_factor'?"),
    ],
)
def test_bad_input_is_explained(own: Bench, tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    """A refusal names the field, what was given and what is allowed."""
    source = make_clip(tmp_path / "source.mp4", Spec(count=2))
    answer = own.run("interpolate", source, **fields)
    assert (answer["code"], answer["status"]) == ("invalid_field", 400)
    assert words in answer["error"]


def test_missing_weights_are_named(tmp_path: Path) -> None:
    """Without the published file the answer says which one and how to get it; what needs none still works."""
    source = make_clip(tmp_path / "source.mp4", Spec(count=3, frame=gliding))
    bare = bench(tmp_path)

    answer = bare.run("interpolate", source)

    assert (answer["code"], answer["status"]) == ("model_unavailable", 503)
    assert "flownet_v4.25.pkl is missing" in answer["error"]
    assert "framepack weights fetch" in answer["error"]
    assert bare.leftovers() == []
    for fields in ({"fps_mode": "none"}, {"fps_mode": "2x", "speed_factor": 2.0}):
        assert bare.run("interpolate", source, **fields)["success"]


def test_other_files_are_never_loaded(tmp_path: Path) -> None:
    """A file of the right name and other content is refused before it is parsed."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "flownet_v4.25.pkl").write_bytes(checkpoint(mixing(), key=None))
    source = make_clip(tmp_path / "source.mp4", Spec(count=3, frame=gliding))

    answer = bench(tmp_path).run("interpolate", source)

    assert answer["code"] == "model_unavailable"
    assert "not the published one" in answer["error"]


def test_too_much_is_refused_before_decoding(tmp_path: Path, weights: tuple[Path, ModelRow]) -> None:
    """The length of the result counts against the limit before anything is computed."""
    source = make_clip(tmp_path / "source.mp4", Spec(count=10))
    reports: list[Progress] = []
    limited = with_weights(bench(tmp_path, max_output_frames=100), weights)

    answer = limited.run("interpolate", source, job=Job("test", reports.append), fps_mode="4x", speed_factor=0.25)

    assert (answer["code"], answer["status"]) == ("too_large", 413)
    assert "160 frames; at most 100" in answer["error"]
    assert reports == []
    assert limited.runtime.models.cache.loads == 0


def test_the_answer_is_the_documented_one(own: Bench, tmp_path: Path) -> None:
    """Message and name follow the document; the model of the first job is warm for the second; nothing is left."""
    source = make_clip(tmp_path / "source.mp4", Spec(count=3, frame=gliding))
    names = []
    for fields in ({}, {"fps_mode": "4x", "speed_factor": 0.5}, {"fps_mode": "none"}):
        answer = own.run("interpolate", source, **fields)
        assert answer["message"] == "Video interpolated successfully"
        names.append(own.output(answer).name)

    for name, suffix in zip(names, ("RIFE2x", "speed0p5x_RIFE4x", "processed"), strict=True):
        assert name.startswith(f"video_{suffix}_")
    assert own.runtime.models.cache.loads == 1
    assert own.leftovers() == []


def test_progress_counts_the_output_frames(own: Bench, tmp_path: Path) -> None:
    """Reports run from 1 to N * factor / speed, of as many in all."""
    source = make_clip(tmp_path / "source.mp4", Spec(count=5, frame=gliding))
    reports: list[Progress] = []

    own.output(own.run("interpolate", source, job=Job("test", reports.append), speed_factor=0.5))

    assert [report.done for report in reports] == list(range(1, 21))
    assert {report.total for report in reports} == {20}


def test_a_cancelled_job_leaves_nothing(own: Bench, tmp_path: Path) -> None:
    """Cancelling midway ends with code "cancelled", no file in the store and none in the working folder."""
    source = make_clip(tmp_path / "source.mp4", Spec(count=30, frame=gliding))
    job = Job("test")
    job.report = lambda progress: job.cancel() if progress.done == 5 else None

    answer = own.run("interpolate", source, job=job)

    assert answer["code"] == "cancelled"
    assert own.leftovers() == []
    assert not list((own.folder / "outputs").rglob("*.mp4"))


def test_no_rate_is_made_that_no_source_may_have(own: Bench, tmp_path: Path) -> None:
    """4x of 120 frames per second is refused before any work; 2x is not, and its result is a source again."""
    source = make_clip(tmp_path / "source.mp4", Spec(count=4, fps=Fraction(120), frame=gliding))

    refused = own.run("interpolate", source, fps_mode="4x")
    again = own.run("interpolate", own.output(own.run("interpolate", source, fps_mode="2x")), fps_mode="none")

    assert refused["error"] == "The output would have 480 frames per second; at most 240 are allowed."
    assert "error" not in again
