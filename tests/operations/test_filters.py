"""``filters`` from request to file: the look asked for, on every frame, and nothing else changed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest

from framepack.api.filter_settings import CONTROLS, FILTER_PRESETS, FilterSettings, built_in_preset
from framepack.errors import InvalidField, NotFound
from framepack.job import Job, Progress
from framepack.media.clip import Clip, Frame, HostFrame
from framepack.models.frames.device_frame import DeviceFrame
from framepack.operations.postprocess.filters import FiltersParams, FiltersRequest, filtered
from tests.support.clips import AudioSpec, Spec, make_clip, real_clip
from tests.support.filters import codes, gray, host_frame, luma, on_device, real_frames
from tests.support.readback import beep_times, psnr, read_back
from tests.support.runs import bench

_NEUTRAL = {name: value for name, value in FiltersParams().model_dump().items() if name != "preset"}


def applied(frames: Sequence[Frame], **fields: Any) -> list[Frame]:
    """Frames through the effect."""
    clip = Clip(lambda: iter(frames), Fraction(25), frames[0].width, frames[0].height, len(frames))
    return list(_effect(clip, **fields).frames())


def _effect(clip: Clip, **fields: Any) -> Clip:
    context = SimpleNamespace(filter_preset=built_in_preset)
    return filtered.apply(clip, FiltersParams.parse(fields), context)  # type: ignore[arg-type]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A short clip with audio."""
    audio = AudioSpec(seconds=0.6, beeps=(0.2,))
    return make_clip(tmp_path / "source.mp4", Spec(size=(96, 64), fps=Fraction(30000, 1001), count=18, audio=audio))


# The job


def test_a_job_is_answered_as_documented(tmp_path: Path, source: Path) -> None:
    """Message, name and file; rate, length, size and audio are the source's."""
    worker = bench(tmp_path)
    answer = worker.run("filters", source, preset="cinematic", brightness=10)
    result = read_back(worker.output(answer))

    assert (answer["success"], answer["message"]) == (True, "Filters applied successfully")
    assert re.fullmatch(r"video_filtered_\d{6}_\d{6}_\w+\.mp4", answer["output_filename"])
    assert result.rate == Fraction(30000, 1001)
    assert len(result.frames) == 18
    assert result.frames[0].shape == (64, 96, 3)
    assert beep_times(worker.output(answer)) == pytest.approx([0.2], abs=0.03)
    assert worker.leftovers() == []


def test_a_real_clip_gets_its_look(tmp_path: Path) -> None:
    """The file holds what the filters make of each frame, within the encoder's loss."""
    worker = bench(tmp_path, video_crf=1, video_preset="ultrafast")
    answer = worker.run("/postprocess/filters", real_clip("bikes"), preset="vintage", film_grain=0)
    with av.open(str(worker.output(answer))) as output:
        frames = [frame.to_ndarray()[:272] for frame in output.decode(video=0)]

    expected = applied(list(real_frames(first=40)), preset="vintage", film_grain=0)

    assert len(frames) == 250
    assert psnr(frames[40], luma(expected[0])) > 45


def test_progress_is_reported(tmp_path: Path, source: Path) -> None:
    """Frame by frame, to the end."""
    seen: list[Progress] = []
    bench(tmp_path).run("filters", source, job=Job("test", report=seen.append), vignette=20)

    assert [(each.done, each.total) for each in seen][-1] == (18, 18)
    assert len(seen) == 18


def test_bad_requests_cost_nothing(tmp_path: Path) -> None:
    """Wrong fields and unknown presets are refused before the source is looked at."""
    worker = bench(tmp_path)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")

    wrong = worker.run("filters", broken, contrast=3.5)
    unknown = worker.run("filters", broken, preset="noir")

    assert (wrong["status"], wrong["error"]) == (400, "contrast must be between 0 and 3, not 3.5.")
    assert (unknown["status"], unknown["error"]) == (404, "Filter preset 'noir' not found")


def test_a_callback_lists_preset_and_controls() -> None:
    """Its metadata has the preset and every control, the documented ones by the documented names."""
    request = FiltersRequest.parse({"video_url": "http://a/b.mp4", "preset": "warm", "film_grain_strength": 4})
    metadata = request.callback_metadata()

    assert set(metadata) == {"preset", *(control.request_name for control in CONTROLS)}
    assert set(metadata) >= {
        "preset",
        "brightness",
        "contrast",
        "saturation",
        "temperature",
        "sharpen",
        "blur",
        "denoise",
        "vignette",
        "s_curve_contrast",
        "film_grain",
    }
    assert (metadata["preset"], metadata["film_grain"]) == ("warm", 4)
    assert json.loads(json.dumps(metadata)) == metadata


# Presets and fields


@pytest.mark.parametrize("name", [*FILTER_PRESETS, "Cinematic", "WARM"])
def test_a_preset_applies(name: str) -> None:
    """Named alone, it is the whole look."""
    assert FiltersParams.parse({"preset": name}).settings() == FILTER_PRESETS[name.lower()]


def test_sent_fields_win_over_the_preset() -> None:
    """Also when they are sent with their default; null means not sent."""
    params = FiltersParams.parse({"preset": "cinematic", "contrast": 1.0, "film_grain": 9, "vignette": None})

    expected = FILTER_PRESETS["cinematic"].model_copy(update={"contrast": 1.0, "film_grain_strength": 9})

    assert params.settings() == expected


def test_fields_alone_are_the_look() -> None:
    """Without a preset the rest is neutral."""
    assert FiltersParams.parse({"blur": 1.5}).settings() == FilterSettings(blur=1.5)
    assert FiltersParams.parse({}).settings().is_neutral
    assert FiltersParams.parse({"preset": "none"}).settings().is_neutral


def test_grain_has_two_names() -> None:
    """Both are understood, with the same range, but not at once."""
    assert FiltersParams.parse({"film_grain_strength": 7}) == FiltersParams.parse({"film_grain": 7})
    assert FiltersParams.parse({"film_grain_strength": 7}).settings().film_grain_strength == 7
    with pytest.raises(InvalidField, match="film_grain must be between 0 and 50, not 51"):
        FiltersParams.parse({"film_grain_strength": 51})
    with pytest.raises(InvalidField, match="film_grain"):
        FiltersParams.parse({"film_grain_strength": 7, "film_grain": 7})


def test_presets_that_users_saved_can_be_looked_up() -> None:
    """Whoever knows them says what they are."""
    params = FiltersParams.parse({"preset": "mine", "blur": 1.0})

    assert params.settings({"mine": FilterSettings(vignette=5)}.get) == FilterSettings(vignette=5, blur=1)
    with pytest.raises(NotFound):
        params.settings()


# The effect


@pytest.mark.parametrize(
    "fields", [{}, {"preset": "none"}, {"preset": "warm", **_NEUTRAL}], ids=["nothing", "none", "undone"]
)
def test_a_neutral_look_passes_frames_untouched(fields: dict[str, Any]) -> None:
    """The very same objects, in host memory and in device memory."""
    frames: list[Frame] = [gray(100), on_device(gray(100))]

    assert all(after is before for after, before in zip(applied(frames, **fields), frames, strict=True))


def test_a_held_frame_is_filtered_once() -> None:
    """A frame that stays on screen stays one object; with grain it gets new grain instead."""
    held: list[Frame] = [gray(100)] * 3

    assert len({id(frame) for frame in applied(held, vignette=50)}) == 1
    grainy = [luma(frame) for frame in applied(held, film_grain=30)]
    assert (grainy[0] != grainy[1]).mean() > 0.5
    assert (grainy[1] != grainy[2]).mean() > 0.5


def test_frames_of_the_cpu_are_filtered_on_the_host() -> None:
    """A device that is the CPU gains nothing; the look is that of frames that never left the host."""
    plain = list(real_frames())
    on_host, near = applied(plain, preset="dramatic"), applied([on_device(plain[0])], preset="dramatic")

    assert isinstance(near[0], HostFrame)
    assert psnr(codes(on_host[0])[0], codes(near[0])[0]) > 45


@pytest.mark.gpu
def test_frames_on_the_gpu_stay_there() -> None:
    """Between networks nothing travels."""
    near = on_device(real_frames()[0])
    there = applied([DeviceFrame(near.tensor.cuda(), near.colors)], preset="dramatic")

    assert isinstance(there[0], DeviceFrame)
    assert there[0].tensor.is_cuda


def test_drawn_frames_may_come_between_those_of_a_deep_source() -> None:
    """As after interpolating 10 bits on a CPU: each kind keeps its own past, and stays what it is."""
    plain = real_frames()[0]
    y, u, v = (plane * 4 for plane in codes(plain))
    frames: list[Frame] = [host_frame(y, u, v, "yuv420p10le")] * 2
    frames[1:1] = [on_device(plain)]

    first, drawn, last = applied(frames, denoise=3.0, brightness=10)

    assert [frame.on_host().format.name for frame in (first, drawn, last)] == [
        "yuv420p10le",
        "yuv420p",
        "yuv420p10le",
    ]
    assert psnr(luma(first) / 4, luma(drawn)) > 45


def test_a_job_run_twice_has_the_same_pixels() -> None:
    """Grain depends on the clip's shape and the frame's number alone."""
    plain = list(real_frames(count=2))
    first, second = applied(plain, preset="vintage"), applied(plain, preset="vintage")

    assert all((luma(a) == luma(b)).all() for a, b in zip(first, second, strict=True))


def test_closing_stops_the_source() -> None:
    """When nobody wants more frames, what is behind is closed too, and its threads are gone."""
    closed = []

    def source() -> Any:
        try:
            while True:
                yield gray(100)
        finally:
            closed.append(True)

    clip = _effect(Clip(source, Fraction(25), 64, 48, None), blur=1)
    frames = clip.frames()
    next(frames)
    frames.close()  # type: ignore[attr-defined] # a generator

    assert closed == [True]


def test_errors_of_the_source_come_through() -> None:
    """An error after the filters reaches the client unchanged."""

    def source() -> Any:
        yield gray(100)
        raise InvalidField("no more")

    with pytest.raises(InvalidField, match="no more"):
        list(_effect(Clip(source, Fraction(25), 64, 48, None), preset="cool").frames())
