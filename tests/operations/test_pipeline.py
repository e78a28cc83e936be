"""``pipeline`` from request to file: checked as a whole first, then one decode and one encode."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from safetensors.torch import save_file

from framepack.api.workflow import Step
from framepack.job import Job, JobInput, Progress
from framepack.media.frames.yuv420 import Yuv420Converter
from framepack.media.read import reader
from framepack.media.read.decoder import Decoder
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from framepack.media.write import writer
from framepack.media.write.encoders import add_video
from framepack.processing.steps import build_chain
from framepack.storage.autosave import save_autosave
from framepack.storage.keys import Key
from tests.support.clips import AudioSpec, Spec, make_clip, real_clip
from tests.support.http_server import Answer, HttpServer
from tests.support.networks import tiny_compact
from tests.support.readback import Pixels, beep_times, psnr, read_back, rgb_of
from tests.support.runs import Bench, bench

UPSCALE = {"type": "upscale", "params": {"model": "tiny", "scale_factor": 2.0}}
FILTERS = {"type": "filters", "params": {"contrast": 1.2, "saturation": 1.3}}
EXPORT = {"type": "export", "params": {"format": "MP4", "quality": 80, "max_width": 512}}
CUSTOM = Key("state/workflow_presets/My own.json")


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker with a small upscaler, that may fetch from this machine."""
    (tmp_path / "weights").mkdir()
    save_file(tiny_compact(scale=4), tmp_path / "weights" / "tiny.safetensors")
    return bench(tmp_path, allowed_hosts=("127.0.0.1",))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """One second of moving colors with a beep in its middle."""
    return make_clip(tmp_path / "source.mp4", Spec(audio=AudioSpec(beeps=(0.5,))))


class Counted:
    """How often frames were decoded and encoded."""

    def __init__(self) -> None:
        self.decodes = 0
        self.encodes = 0


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Counts passes of the decoder and of the encoder."""
    counts = Counted()

    def decoding(*arguments: Any) -> Any:
        counts.decodes += 1
        return Decoder(*arguments)

    def encoding(*arguments: Any) -> Any:
        counts.encodes += 1
        return add_video(*arguments)

    monkeypatch.setattr(reader, "Decoder", decoding)
    monkeypatch.setattr(writer, "add_video", encoding)
    return counts


def unencoded(worker: Bench, source: Path, steps: list[dict[str, Any]]) -> Iterator[Pixels]:
    """What the steps make of a video, before any encoder has seen it."""
    with worker.runtime.job_context(Job("test"), JobInput({})) as ctx:
        clip = open_clip(source, probe(source), warn=lambda _: None)
        clip = build_chain([Step.parse(step) for step in steps], ctx).apply(clip, ctx)[-1]
        fit = Yuv420Converter(clip)
        for frame in clip.frames():
            yield rgb_of(fit(frame.on_host()))


def test_the_answer_is_the_documented_one(worker: Bench, source: Path) -> None:
    """Message, name and the list of what was done fit the steps."""
    answer = worker.run("pipeline", source, operations=[UPSCALE, FILTERS, EXPORT])

    output = worker.output(answer)
    assert answer["message"] == "Pipeline completed successfully (3 operations)"
    assert answer["output_path"] == f"/outputs/postprocessed_output/temp_processing/{output.name}"
    assert output.name.startswith("video_processed_")
    assert base64.b64decode(answer["output_video_base64"]) == output.read_bytes()
    assert answer["operations_completed"] == [
        {
            "step": number,
            "type": kind,
            "success": True,
            "message": f"{kind} completed: 128 x 96, 25 frames, 25 per second",
        }
        for number, kind in enumerate(("upscale", "filters", "export"), start=1)
    ]
    assert worker.leftovers() == []


def test_one_decode_one_encode_and_a_better_frame(tmp_path: Path, worker: Bench, counted: Counted) -> None:
    """The same steps one by one are encoded three times, and are farther from what the steps make of the video."""
    steps = [UPSCALE, FILTERS, EXPORT]
    clip = tmp_path / "bikes.mp4"
    with av.open(str(real_clip("bikes"))) as container, av.open(str(clip), "w") as target:
        stream = target.add_stream("libx264", rate=25, options={"crf": "14"})
        stream.width, stream.height, stream.pix_fmt = 208, 88, "yuv420p"
        for index, frame in zip(range(16), container.decode(video=0), strict=False):
            small = frame.reformat(208, 88, format="yuv420p")
            small.pts, small.time_base = index, Fraction(1, 25)
            target.mux(stream.encode(small))
        target.mux(stream.encode(None))

    in_one = worker.output(worker.run("pipeline", clip, operations=steps))
    passes_at_once = (counted.decodes, counted.encodes)
    latest = clip
    for step in steps:
        latest = worker.output(worker.run(str(step["type"]), latest, **step["params"]))  # type: ignore[arg-type]

    assert passes_at_once == (1, 1)
    assert (counted.decodes, counted.encodes) == (4, 4)
    wanted = list(unencoded(worker, clip, steps))
    of_pipeline, of_single = (read_back(path).frames for path in (in_one, latest))
    assert len(wanted) == len(of_pipeline) == len(of_single) == 16
    quality = {
        name: sum(psnr(one, other) for one, other in zip(frames, wanted, strict=True)) / 16
        for name, frames in (("pipeline", of_pipeline), ("single", of_single))
    }
    assert quality["pipeline"] > quality["single"] + 0.2
    assert quality["pipeline"] > 32


def test_steps_are_run_in_the_order_given(worker: Bench, source: Path) -> None:
    """A video made small and then large is larger than one made large and then small."""
    small = {"type": "export", "params": {"max_width": 256}}
    large = {"type": "upscale", "params": {"model": "tiny", "scale_factor": 4.0}}
    wide = make_clip(source.with_name("wide.mp4"), Spec(size=(320, 64), count=2))

    sizes = []
    for steps in ([small, large], [large, small]):
        with av.open(str(worker.output(worker.run("pipeline", wide, operations=steps)))) as container:
            sizes.append(container.streams.video[0].width)

    assert sizes == [1024, 256]


def test_time_and_audio_go_through_all_steps(worker: Bench, source: Path) -> None:
    """Twice as fast, then shown twice: as long as before, two beeps, at a constant rate."""
    steps = [
        {"type": "Frame Adjust", "params": {"fps_mode": "No Interpolation", "speed_factor": 2.0}},
        {"type": "LOOP", "params": {"loop_type": "loop", "num_loops": 1}},
    ]

    answer = worker.run("pipeline", source, operations=steps)

    output = worker.output(answer)
    back = read_back(output)
    assert [step["type"] for step in answer["operations_completed"]] == ["interpolate", "loop"]
    assert len(back.frames) / (back.rate or 0) == pytest.approx(1, abs=0.05)
    assert beep_times(output) == pytest.approx([0.25, 0.75], abs=0.04)


@pytest.mark.parametrize("name", ["loop", "Loop", " LOOP "])
def test_defaults_are_those_of_the_operation(worker: Bench, source: Path, name: str) -> None:
    """A step without parameters is the operation without parameters, whatever the case of its name."""
    answer = worker.run("pipeline", source, operations=[{"type": name}])

    assert len(read_back(worker.output(answer)).frames) == 50


@pytest.mark.parametrize(("extension", "form"), [("webm", "WebM"), ("gif", "GIF"), ("mp4", "MP4"), ("webm", "webm")])
def test_the_last_export_decides_on_the_format(worker: Bench, source: Path, extension: str, form: str) -> None:
    """An export inside a pipeline decides on the file, and may name it."""
    export = {"type": "export", "params": {"format": form, "output_name": "my film"}}

    output = worker.output(worker.run("pipeline", source, operations=[export, FILTERS]))

    assert output.suffix == f".{extension}"
    assert output.name.startswith("my film_processed_")


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        (
            [UPSCALE, FILTERS, {"type": "upscale", "params": {"scale_factor": 9}}],
            "operations[2].params.scale_factor must be between 1 and 4, not 9.",
        ),
        ([FILTERS, {"type": "filters", "params": {"contrats": 1}}], "'operations[1].params.contrast'?"),
        ([{"type": "sharpen"}], "Invalid operation type: sharpen. Valid types: upscale, interpolate, filters, loop"),
        ([FILTERS, {"params": {}}], "operations[1].type is required."),
        (
            [FILTERS, {"type": "loop", "parms": {}}],
            "did you mean 'operations[1].params'? Allowed fields: params, type",
        ),
        ([{"type": "loop", "params": [1]}], "operations[0].params must be"),
        ([], "operations must have at least 1 item, not 0."),
        (["upscale"], "operations[0] must be"),
        ([FILTERS, {"type": "upscale", "params": {"model": "nope"}}], "operations[1] (upscale): "),
        ([{"type": "upscale", "params": {"model": "tiny"}}, {"type": "upscale", "params": {"model": "nope"}}], "[1]"),
        ([{"type": "filters", "params": {"preset": "nope"}}], "operations[0] (filters): Filter preset 'nope'"),
        ([{"type": "upscale", "params": {"model": "tiny", "enhance_face": True}}], "operations[0] (upscale): "),
        ([FILTERS] * 11, "maximum 10"),
    ],
)
def test_invalid_steps_are_refused_before_the_download(worker: Bench, steps: list[Any], sentence: str) -> None:
    """Whatever is wrong with any step is said, with its place, before anything is fetched or loaded."""
    with HttpServer({}) as server:
        answer = worker.run("pipeline", video_url=f"{server.url}/clip.mp4", operations=steps)
        assert server.requests == []

    assert sentence in answer["error"]
    assert answer["status"] in {400, 404, 413, 503}
    assert worker.runtime.models.cache.loads == 0


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (
            [*[{"type": "upscale", "params": {"model": "tiny", "scale_factor": 4.0}}] * 4, EXPORT],
            "operations[3] (upscale): The output's frames would have 16384 x 12288 pixels",
        ),
        (
            [*[{"type": "loop", "params": {"num_loops": 10}}] * 4],
            "operations[3] (loop): The output would have 366025 frames",
        ),
        (
            [{"type": "interpolate", "params": {"fps_mode": "4x", "speed_factor": 0.25}}] * 4,
            "operations[1] (interpolate): The output would have 400 frames per second",
        ),
    ],
)
def test_outputs_over_a_limit_are_refused_before_decoding(
    worker: Bench, source: Path, counted: Counted, steps: list[dict[str, Any]], words: str
) -> None:
    """Size and length after every step are reckoned first, also where a later step would shrink them again."""
    answer = worker.run("pipeline", source, operations=steps)

    assert (answer["status"], answer["code"]) == (413, "too_large")
    assert answer["error"].startswith(words)
    assert counted.decodes == 0


def test_progress_counts_the_outputs_frames(worker: Bench, source: Path) -> None:
    """Frames done, in all, and percent."""
    reports: list[Progress] = []

    worker.run("pipeline", source, operations=[UPSCALE, FILTERS], job=Job("test", reports.append))

    assert [report.done for report in reports] == list(range(1, 26))
    assert {report.total for report in reports} == {25}
    assert reports[4].percent == 20


def test_a_cancelled_pipeline_leaves_nothing(worker: Bench, source: Path) -> None:
    """Cancelling midway ends the job without a file anywhere."""
    job = Job("test")
    job.report = lambda progress: job.cancel() if progress.done == 5 else None

    answer = worker.run("pipeline", source, operations=[UPSCALE, FILTERS], job=job)

    assert answer["code"] == "cancelled"
    assert worker.leftovers() == []
    assert not list((worker.folder / "outputs").rglob("*.mp4"))


def test_the_callback_has_the_operations(worker: Bench, source: Path) -> None:
    """The callback's metadata has the number of operations and the operations."""
    with HttpServer({"/cb": Answer()}) as server:
        worker.run("pipeline", source, operations=[FILTERS], callback_url=f"{server.url}/cb")
        [received] = server.requests

    body = json.loads(received.body)
    assert (body["operation"], body["success"]) == ("pipeline", True)
    assert body["metadata"] == {"operations_count": 1, "operations": [FILTERS]}
    assert body["output_base64"]


@pytest.mark.parametrize(
    ("endpoint", "fields"),
    [("pipeline", {"operations": [FILTERS]}), ("upscale", {"model": "tiny"}), ("export", {"format": "GIF"})],
)
def test_autosave_decides_on_the_folder(worker: Bench, source: Path, endpoint: str, fields: dict[str, Any]) -> None:
    """With autosave on, results go among the saved videos; off again, to the temporary ones."""
    folders = []
    for enabled in (True, False):
        save_autosave(worker.runtime.storage, enabled=enabled)
        folders.append(worker.output(worker.run(endpoint, source, **fields)).parent.name)

    assert folders == ["saved_videos", "temp_processing"]


# From a preset


def store(worker: Bench, data: bytes | dict[str, Any]) -> None:
    """Store a preset, "My own"."""
    worker.runtime.storage.put_bytes(CUSTOM, data if isinstance(data, bytes) else json.dumps(data).encode())


def test_a_preset_is_run_in_its_order(worker: Bench, source: Path) -> None:
    """Steps by any of their names, in the stored order, with the preset's own parameters."""
    store(
        worker,
        {
            "active_steps": ["Filters", "frames", "UPSCALE", "Frame Adjust", "loop", "Export"],
            "params": {
                "upscale_model": "tiny",
                "upscale_factor": 3.0,
                "speed_factor": 2,
                "brightness": 5.0,
                "contrast": 1,
                "film_grain": 4,
                "num_loops": 3,
                "export_format": "WebM",
                "export_max_width": 256,
                "upscale_use_streaming": True,
            },
        },
    )

    answer = worker.run("pipeline_from_preset", source, preset_name="My own")

    output = worker.output(answer)
    done = answer["operations_completed"]
    assert [step["type"] for step in done] == ["filters", "interpolate", "upscale", "interpolate", "loop", "export"]
    assert answer["message"] == "Pipeline completed successfully (6 operations)"
    assert "192 x 144" in done[2]["message"]
    assert output.suffix == ".webm"
    with av.open(str(output)) as container:
        assert container.streams.video[0].width == 192


def test_a_presets_missing_parameters_have_their_defaults(worker: Bench, source: Path) -> None:
    """A preset without parameters upscales with the presets' own default model."""
    store(worker, {"active_steps": ["upscale"]})

    assert "RealESRGAN_x2plus" in worker.run("pipeline_from_preset", source, preset_name="My own")["error"]


@pytest.mark.parametrize(
    ("preset", "status", "sentence"),
    [
        ("None", 400, "Preset has no active steps to execute"),
        ("Nowhere", 404, "Workflow preset 'Nowhere' not found"),
        (" NONE ", 400, "Preset has no active steps to execute"),
        ("My/own", 400, "preset_name must be a name of plain letters"),
    ],
)
def test_a_preset_that_cannot_be_run(worker: Bench, preset: str, status: int, sentence: str) -> None:
    """No steps and no preset are said in the document's words, before anything is fetched."""
    with HttpServer({}) as server:
        answer = worker.run("pipeline_from_preset", video_url=f"{server.url}/a.mp4", preset_name=preset)
        assert server.requests == []

    assert answer["status"] == status
    assert answer["error"].startswith(sentence)


@pytest.mark.parametrize(
    "preset", [{"active_steps": [], "params": {}}, {"active_steps": ["Loop"], "params": {"loop_type": "none"}}]
)
def test_a_preset_without_steps_is_refused(worker: Bench, source: Path, preset: dict[str, Any]) -> None:
    """Neither an empty list nor a loop that is none is a pipeline."""
    store(worker, preset)

    assert worker.run("pipeline_from_preset", source, preset_name="My own")["error"].startswith(
        "Preset has no active"
    )


@pytest.mark.parametrize(
    "data",
    [
        b'{"active_steps": ["Upsc',
        {"active_steps": "Upscale"},
        {"active_steps": ["sharpen"]},
        {"active_steps": [], "params": {"contrast": 30}},
        {"active_steps": [], "params": {"film_grain": 3, "film_grain_strength": 4}},
    ],
)
def test_a_damaged_preset_is_set_aside(worker: Bench, source: Path, data: Any) -> None:
    """A preset that was spoilt by hand counts as not there, and its text is kept."""
    store(worker, data)

    answer = worker.run("pipeline_from_preset", source, preset_name="My own")

    assert (answer["status"], answer["error"]) == (404, "Workflow preset 'My own' not found")
    assert worker.runtime.storage.stat(CUSTOM) is None
    assert worker.runtime.storage.stat(Key("state/damaged/workflow_presets/My own.json")) is not None
