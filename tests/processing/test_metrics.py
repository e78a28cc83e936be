"""The metrics in answers and in the log: there when they are asked for, and consistent with each other."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import av
import pytest

from framepack.answer import Answer
from framepack.cli import main
from framepack.job import Job
from framepack.measurements import Measurements
from framepack.worker.handler import make_handler
from tests.support.clips import Spec, make_clip
from tests.support.control_plane import ControlPlane, Worker
from tests.support.readback import read_back
from tests.support.rest_server import RestServer, tiny_weights
from tests.support.runs import Bench, bench

FRAMES = 12
UPSCALE: dict[str, Any] = {"model": "tiny", "scale_factor": 2.0}
STAGES = {"source", "model", "frames", "publish", "total"}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A clip of 12 frames."""
    return make_clip(tmp_path / "clip.mp4", Spec(count=FRAMES))


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker with a small network whose answers have metrics."""
    tiny_weights(tmp_path / "weights")
    return bench(tmp_path, metrics=True, device="cpu")


def inline(path: Path) -> dict[str, str]:
    """A source in base64."""
    return {"video_base64": base64.b64encode(path.read_bytes()).decode()}


def checked(answer: Answer, frames: int = FRAMES) -> dict[str, Any]:
    """The metrics of an answer, if they are consistent."""
    assert "error" not in answer, answer
    metrics: dict[str, Any] = answer["metrics"]
    seconds = dict(metrics["seconds"])
    assert set(seconds) == STAGES
    total = seconds.pop("total")
    assert min(seconds.values()) >= 0
    assert sum(seconds.values()) <= total + 1e-9
    assert metrics["frames"] == frames
    if frames:
        assert frames / (seconds["frames"] + 0.001) <= metrics["frames_per_second"] + 0.01
        assert (
            metrics["frames_per_second"] <= frames / max(seconds["frames"], 1e-6) + 0.01
        )  # seconds are rounded down
    assert metrics["device"] == "cpu"
    return metrics


def test_an_answer_has_no_metrics_without_the_setting(tmp_path: Path, clip: Path) -> None:
    """Answers are the documented ones."""
    answer = bench(tmp_path).run("filters", clip, brightness=5)

    assert "metrics" not in answer
    assert answer["success"] is True


def test_the_first_job_of_a_model_is_cold_and_the_second_is_not(worker: Bench, clip: Path) -> None:
    """Stages add up to at most the total, and the frames are those of the result."""
    first, second = (worker.run("upscale", clip, **UPSCALE) for _ in range(2))

    assert [checked(answer)["cold"] for answer in (first, second)] == [True, False]
    assert len(read_back(worker.output(second)).frames) == FRAMES
    assert checked(second)["seconds"]["frames"] > 0


@pytest.mark.parametrize(
    ("endpoint", "fields", "frames"),
    [
        ("filters", {"brightness": 5}, FRAMES),
        ("export", {"format": "GIF", "quality": 60}, FRAMES),
        ("loop", {"num_loops": 2}, 3 * FRAMES),
        ("loop", {"loop_type": "ping-pong"}, 2 * FRAMES - 2),
        ("interpolate", {"fps_mode": "No Interpolation", "speed_factor": 2.0}, FRAMES // 2),
        ("pipeline", {"operations": [{"type": "filters", "params": {"vignette": 9}}]}, FRAMES),
        ("pipeline", {"operations": [{"type": "upscale", "params": UPSCALE}]}, FRAMES),
    ],
)
def test_operations_count_the_frames_of_their_results(
    endpoint: str, fields: dict[str, Any], frames: int, worker: Bench, clip: Path
) -> None:
    """Repeated and copied frames count like any other, and so does what a GIF leaves out."""
    answer = worker.run(endpoint, clip, **fields)

    assert checked(answer, frames)["cold"] == ("upscale" in str(fields))
    with av.open(str(worker.output(answer))) as container:
        shown = sum(1 for _ in container.decode(video=0))
    assert shown == (frames // 2 if fields.get("format") == "GIF" else frames)


def test_frames_that_are_extracted_and_reassembled_are_counted(worker: Bench, clip: Path) -> None:
    """Both directions have the number of images."""
    extracted = worker.run("extract_frames", clip, extraction_rate=2)
    reassembled = worker.run("reassemble_frames", folder_name=extracted["folder_name"], output_fps=10)

    checked(extracted, FRAMES // 2)
    checked(reassembled, FRAMES // 2)


def test_a_batch_has_the_sums_of_its_videos(worker: Bench, clip: Path) -> None:
    """A video that fails adds its seconds, but no frames."""
    good = inline(clip)
    bad = {"video_base64": base64.b64encode(b"no video").decode()}
    steps = [{"type": "upscale", "params": UPSCALE}]

    answer = worker.run("batch", videos=[good, bad, good], operations=steps)
    failed = worker.run("batch", videos=[bad], operations=steps)

    assert (answer["successful"], answer["failed"]) == (2, 1)
    assert checked(answer, 2 * FRAMES)["cold"] is True
    assert all("metrics" not in result for result in answer["results"])
    assert "frames_per_second" not in checked(failed, 0)


def test_a_join_counts_the_frames_of_all_its_videos(worker: Bench, clip: Path) -> None:
    """The packets are copied, and counted."""
    stored = worker.folder / "outputs" / "clip.mp4"
    stored.parent.mkdir(parents=True, exist_ok=True)
    stored.write_bytes(clip.read_bytes())

    checked(worker.run("join", video_urls=["/outputs/clip.mp4"] * 3), 3 * FRAMES)


@pytest.mark.parametrize("is_on", [True, False])
def test_the_log_has_the_same_figures(
    *, is_on: bool, tmp_path: Path, clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line per job: at INFO with the setting, at DEBUG without it."""
    worker = bench(tmp_path, metrics=is_on)
    with caplog.at_level(logging.DEBUG, "framepack.metrics"):
        answer = worker.run("filters", clip, job=Job("job-7"), brightness=5)

    (record,) = [each for each in caplog.records if each.name == "framepack.metrics"]
    assert record.levelno == (logging.INFO if is_on else logging.DEBUG)
    assert record.getMessage().startswith("job job-7: source 0.")
    assert f"{FRAMES} frames at" in record.getMessage()
    assert record.getMessage().endswith("on cpu, warm")
    assert answer.get("metrics") == (record.__dict__["metrics"] if is_on else None)


def test_a_job_without_videos_has_no_metrics(worker: Bench) -> None:
    """They are of jobs that make videos or extract frames."""
    assert "metrics" not in worker.run("list_models")


def test_a_stage_that_another_thread_enters_is_taken_out_of_the_one_around_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model that loads for 30 seconds in the thread of the frames is not part of their time."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    measured = Measurements()

    def load() -> None:
        with measured.stage("model"):
            now[0] += 30

    now[0] += 1
    with measured.stage("frames"):
        now[0] += 2
        thread = threading.Thread(target=load)
        thread.start()
        thread.join()
        now[0] += 3
    with measured.stage("publish"):
        now[0] += 4

    assert [measured.seconds(stage) for stage in ("source", "model", "frames", "publish")] == [0, 30, 5, 4]
    assert measured.total_seconds == 40


def test_a_handler_and_a_command_pass_the_metrics_on(
    worker: Bench, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The handler of a RunPod worker, and ``framepack run`` with ``--json``, in this process."""
    job = {"id": "one", "input": {"endpoint": "filters", "brightness": 5, **inline(clip)}}

    async def send_nothing(_job: dict[str, Any], _update: dict[str, Any]) -> None:
        pass

    async def handle() -> Answer:
        return await make_handler(worker.runtime, send_nothing)(job)

    answer = asyncio.run(handle())
    monkeypatch.setenv("FRAMEPACK_METRICS", "true")
    monkeypatch.setenv("FRAMEPACK_TEMP_DIR", str(tmp_path / "temp"))
    status = main(["run", "filters", str(clip), "-o", str(tmp_path / "out.mp4"), "--brightness", "5", "--json"])

    assert status == 0
    assert checked(answer)["cold"] is False
    assert checked(json.loads(capsys.readouterr().out))["cold"] is False


@pytest.mark.slow
def test_runpod_jobs_rest_and_the_command_line_give_the_same_metrics(tmp_path: Path, clip: Path) -> None:
    """Each is the real process; the second job of a server is warm."""
    tiny_weights(tmp_path / "weights")
    fields = {**UPSCALE, **inline(clip)}
    variables = {"FRAMEPACK_METRICS": "true", "FRAMEPACK_WEIGHTS_DIR": str(tmp_path / "weights")}
    variables |= {"FRAMEPACK_DEVICE": "cpu", "FRAMEPACK_TEMP_DIR": str(tmp_path / "temp")}

    (tmp_path / "worker").mkdir()
    with ControlPlane() as plane, Worker(plane, tmp_path / "worker", **variables):
        jobs = [plane.run({"endpoint": "upscale", **fields})["output"] for _ in range(2)]
    with RestServer(tmp_path, metrics="true", device="cpu") as server:
        answers = [server.post("/postprocess/upscale", fields).json() for _ in range(2)]
    command = [sys.executable, "-m", "framepack", "run", "upscale", str(clip), "-o", str(tmp_path / "out.mp4")]
    command += ["--model", "tiny", "--scale-factor", "2", "--json"]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, check=True)

    assert [checked(each)["cold"] for each in jobs] == [True, False]
    assert [checked(each)["cold"] for each in answers] == [True, False]
    assert checked(json.loads(done.stdout))["cold"] is True
