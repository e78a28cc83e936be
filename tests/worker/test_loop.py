"""The SDK's real production loop around our handler, driven by a control plane on loopback."""

from __future__ import annotations

import base64
import hashlib
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from safetensors.torch import save_file

from tests.support.clips import Pixels, Spec, make_clip
from tests.support.control_plane import ROOT, ControlPlane, Worker
from tests.support.http_server import Answer, HttpServer
from tests.support.networks import tiny_compact
from tests.support.s3_server import s3_server

SECRET = "whsec_c2VjcmV0LWNhbmFyeS0xMjM0NTY3ODkwMTI="
SLOW = {"endpoint": "upscale", "model": "RealESRGAN_x4plus", "scale_factor": 4.0}
FAST = {"endpoint": "upscale", "model": "tiny", "scale_factor": 2.0}


def inline(path: Path) -> str:
    """A file as base64."""
    return base64.b64encode(path.read_bytes()).decode()


def noise(index: int, width: int, height: int) -> Pixels:
    """A frame that no encoder can make small."""
    return np.random.default_rng(index).integers(0, 256, (height, width, 3), np.uint8)


def eventually(holds: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.02)
    return holds()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder with a deployment's own small network."""
    folder = tmp_path_factory.mktemp("weights")
    save_file(tiny_compact(scale=4), folder / "tiny.safetensors")
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A short clip, as base64."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    make_clip(path, Spec(count=12))
    return inline(path)


@pytest.fixture(scope="module")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A clip that a large network needs a moment for each frame of, and minutes for all, as base64."""
    path = tmp_path_factory.mktemp("clip") / "small.mp4"
    make_clip(path, Spec(size=(64, 48), count=250))
    return inline(path)


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A clip that a quick network needs seconds for, as base64."""
    path = tmp_path_factory.mktemp("clip") / "long.mp4"
    make_clip(path, Spec(size=(128, 96), count=250))
    return inline(path)


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """The platform."""
    with ControlPlane() as plane:
        yield plane


@pytest.fixture(scope="module")
def worker(plane: ControlPlane, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A running worker."""
    folder = tmp_path_factory.mktemp("worker")
    with Worker(
        plane,
        folder,
        FRAMEPACK_WEIGHTS_DIR=str(weights),
        FRAMEPACK_INLINE_LIMIT_MB="14",
        FRAMEPACK_VIDEO_CRF="1",
        FRAMEPACK_WEBHOOK_SECRET=SECRET,
        FRAMEPACK_ALLOWED_HOSTS="127.0.0.1",
    ) as worker:
        yield worker


def test_an_upscale_job_runs_with_real_weights(plane: ControlPlane, worker: Worker) -> None:
    """This is the example job. Its output is stored, and the answer is the documented one."""
    job = json.loads((ROOT / "test_input.json").read_text())

    result = plane.run(job["input"])

    output = result["output"]
    assert "error" not in result
    assert output["success"] is True
    assert output["message"] == "Video upscaled successfully"
    stored = worker.outputs / output["output_path"].removeprefix("/outputs/")
    assert base64.b64decode(output["output_video_base64"]) == stored.read_bytes()
    assert output["output_file_size"] == stored.stat().st_size
    assert output["output_filename"] == stored.name


def test_progress_updates_ascend_and_stop_with_the_job(plane: ControlPlane, worker: Worker, long_clip: str) -> None:
    """They count frames. No update follows the result."""
    record = plane.submit({**FAST, "video_base64": long_clip})
    assert record.finished.wait(120)
    time.sleep(1.5)

    done = [update["frames_done"] for update in record.updates]
    assert done == sorted(done)
    assert done
    assert all(update["frames_total"] == 250 for update in record.updates)
    assert record.after_result == []


def test_two_jobs_in_a_row_load_their_model_once(plane: ControlPlane, worker: Worker, clip: str) -> None:
    """The worker stays warm between jobs."""
    for _ in range(2):
        assert plane.run({**FAST, "video_base64": clip})["output"]["success"]

    assert worker.log.count("loaded tiny") == 1


def test_a_cancelled_job_stops_and_leaves_nothing(
    plane: ControlPlane, worker: Worker, small_clip: str, clip: str
) -> None:
    """No result is posted, no file remains, and the next job runs immediately."""
    stored = sorted(worker.outputs.rglob("*.mp4"))
    record = plane.submit({**SLOW, "video_base64": small_clip})
    assert eventually(lambda: bool(record.updates), 60)

    plane.cancel(record)

    assert eventually(lambda: f"{record.id} | Job stopped." in worker.log)
    assert plane.run({**FAST, "video_base64": clip})["output"]["success"]
    assert record.result is None
    assert record.updates[-1]["frames_done"] < 250
    assert f'"message": "job {record.id}: upscale cancelled (' in worker.log
    assert worker.leftovers() == []
    assert len(sorted(worker.outputs.rglob("*.mp4"))) == len(stored) + 1


@pytest.mark.parametrize(
    ("fields", "code", "status"),
    [
        ({"endpoint": "nowhere"}, "unknown_endpoint", 404),
        ({"endpoint": "upscale"}, "invalid_source", 400),
        ({"endpoint": "upscale", "video_base64": "AAAA", "model": "nothing"}, "invalid_field", 400),
        ({"endpoint": "upscale", "video_base64": "bm90IGEgdmlkZW8="}, "invalid_media", 400),
        ({"endpoint": "upscale", "video_url": "http://169.254.169.254/latest"}, "source_not_allowed", 400),
    ],
)
def test_an_error_has_a_sentence_a_status_and_a_code(
    plane: ControlPlane, worker: Worker, fields: dict[str, Any], code: str, status: int
) -> None:
    """The error reveals no internals."""
    result = plane.run(fields)

    assert isinstance(result["error"], str)
    assert result["output"] == {"code": code, "status": status}
    assert "Traceback" not in json.dumps(result)
    assert str(ROOT) not in json.dumps(result)


def test_an_answer_over_the_platform_limit_loses_only_its_inline_file(
    plane: ControlPlane, worker: Worker, tmp_path: Path
) -> None:
    """The file is in the store."""
    path = tmp_path / "noise.mp4"
    make_clip(path, Spec(size=(320, 240), count=12, frame=noise))

    record = plane.submit({**FAST, "scale_factor": 4.0, "video_base64": inline(path)})
    assert record.finished.wait(120)

    assert record.result is not None
    output = record.result["output"]
    assert "output_video_base64" not in output
    assert ["FRAMEPACK_STORAGE=s3://" in warning for warning in output["warnings"]] == [True]
    assert output["output_file_size"] > 7_500_000
    assert record.refused == 0
    assert (worker.outputs / output["output_path"].removeprefix("/outputs/")).stat().st_size > 7_500_000


def test_s3_config_sends_the_output_to_the_bucket_of_the_client(
    plane: ControlPlane, worker: Worker, clip: str, tmp_path: Path
) -> None:
    """It can be downloaded by its link."""
    with s3_server(tmp_path) as server:
        config = {
            "accessId": server.access_key,
            "accessSecret": server.secret_key,
            "bucketName": server.make_bucket(),
            "endpointUrl": server.endpoint_url,
        }

        output = plane.run({**FAST, "video_base64": clip}, s3Config=config)["output"]

        with urllib.request.urlopen(output["output_url"]) as answer:  # noqa: S310 - loopback
            fetched = answer.read()
    assert (
        hashlib.sha256(fetched).digest() == hashlib.sha256(base64.b64decode(output["output_video_base64"])).digest()
    )
    assert server.secret_key not in worker.log


def test_the_start_logs_the_device_and_the_limits(plane: ControlPlane, worker: Worker) -> None:
    """There are warnings about outputs without a URL, and about a limit higher than the platform's."""
    assert eventually(lambda: "Networks run on " in worker.log)
    assert worker.log.count("Networks run on ") == 1
    assert "Outputs of more than 7.42 MB cannot be downloaded" in worker.log
    assert "FRAMEPACK_INLINE_LIMIT_MB=14 exceeds RunPod's limits" in worker.log


def test_inputs_and_secrets_stay_out_of_the_log(plane: ControlPlane, worker: Worker, clip: str) -> None:
    """This includes messages of the SDK."""
    plane.run({**FAST, "video_base64": clip, "callback_url": "http://127.0.0.1:9/cb?token=canary-token"})

    assert clip[:64] not in worker.log
    assert "canary" not in worker.log
    assert SECRET not in worker.log
    assert "platform-key" not in worker.log


def test_every_job_has_a_line_at_its_start_and_one_at_its_end(weights: Path, tmp_path: Path, clip: str) -> None:
    """Every line is JSON. The lines of a job have its operation, outcome and duration."""
    settings = {"FRAMEPACK_WEIGHTS_DIR": str(weights), "FRAMEPACK_STORAG": "misspelled", "FRAMEPACK_DEVICE": "cpu"}
    with ControlPlane() as own, Worker(own, tmp_path, RUNPOD_ENDPOINT_ID="endpoint", **settings) as worker:
        done = own.submit({**FAST, "video_base64": clip})
        assert done.finished.wait(120)
        for fields in ({"endpoint": "nowhere"}, {"endpoint": "/postprocess/upscale", "video_base64": "AAAA"}):
            own.run(fields)
    banner = "--- Starting Serverless Worker"  # of the SDK
    lines = [json.loads(line) for line in worker.log.splitlines() if not line.startswith(banner)]

    ours = [each for each in lines if "logger" in each]
    assert [each["message"] for each in ours if "misspelled" in str(each) or "FRAMEPACK_STORAG " in str(each)] == [
        "FRAMEPACK_STORAG is not a setting and is ignored; did you mean FRAMEPACK_STORAGE?"
    ]
    assert f"store file:{worker.outputs}" in next(each["message"] for each in ours if each["level"] == "INFO")
    jobs = [each for each in ours if each["logger"] == "framepack.jobs"]
    assert [(each["operation"], each["state"], each.get("code")) for each in jobs] == [
        ("upscale", "running", None),
        ("upscale", "completed", None),
        ("unknown", "running", None),
        ("unknown", "failed", "unknown_endpoint"),
        ("upscale", "running", None),
        ("upscale", "failed", "invalid_media"),
    ]
    assert {each["level"] for each in jobs} == {"INFO"}
    assert done.result is not None
    assert jobs[1]["job_id"] == done.id
    assert (jobs[1]["frames"], jobs[1]["device"]) == (12, "cpu")
    assert jobs[1]["output_bytes"] == done.result["output"]["output_file_size"]
    assert jobs[1]["run_seconds"] > 0
    assert jobs[5]["error"].startswith("The file is not a video that can be read: MP4")


def test_sigterm_lets_the_job_finish(plane: ControlPlane, weights: Path, tmp_path: Path, long_clip: str) -> None:
    """The worker posts the result of the running job, then exits with status 0."""
    settings = {"FRAMEPACK_WEIGHTS_DIR": str(weights), "FRAMEPACK_SHUTDOWN_GRACE_SECONDS": "300"}
    with ControlPlane() as own, Worker(own, tmp_path, **settings) as worker:
        record = own.submit({**FAST, "video_base64": long_clip})
        assert eventually(lambda: bool(record.updates), 60)

        worker.process.terminate()

        assert record.finished.wait(60)
        assert worker.process.wait(30) == 0
        assert record.result is not None
        assert record.result["output"]["success"]
        assert worker.leftovers() == []


def test_sigterm_ends_a_job_that_exceeds_the_grace_period(weights: Path, tmp_path: Path, long_clip: str) -> None:
    """The platform gets no result, so that it runs the job elsewhere, and no callback is sent."""
    with ControlPlane() as own, HttpServer(lambda _received: Answer(200)) as receiver:
        settings = {
            "FRAMEPACK_WEIGHTS_DIR": str(weights),
            "FRAMEPACK_ALLOWED_HOSTS": "127.0.0.1",
            "FRAMEPACK_SHUTDOWN_GRACE_SECONDS": "0",
        }
        with Worker(own, tmp_path, **settings) as worker:
            hook = {"callback_url": f"{receiver.url}/hook"}
            record = own.submit({**FAST, **hook, "video_base64": long_clip})
            assert eventually(lambda: bool(record.updates), 90)

            worker.process.terminate()

            assert worker.process.wait(60) == 0
        assert record.result is None
        assert receiver.requests == []
        assert not list(worker.outputs.rglob("*.mp4"))
        assert worker.leftovers() == []


def test_a_killed_worker_leaves_no_heartbeat_process(weights: Path, tmp_path: Path, clip: str) -> None:
    """Otherwise the platform would be told that the worker is alive."""
    settings = {"FRAMEPACK_WEIGHTS_DIR": str(weights)}
    with ControlPlane() as own, Worker(own, tmp_path, **settings) as worker:
        assert own.run({**FAST, "video_base64": clip})["output"]["success"]
        children = psutil.Process(worker.process.pid).children(recursive=True)
        assert children

        worker.process.kill()
        worker.process.wait()

        assert eventually(lambda: not any(child.is_running() for child in children))


def test_a_worker_whose_store_cannot_be_written_reports_it_and_exits(tmp_path: Path) -> None:
    """The platform gets the message."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with ControlPlane() as plane, Worker(plane, tmp_path, FRAMEPACK_STORAGE=f"file:{blocked}/outputs") as worker:
        assert worker.process.wait(60) == 1
        assert eventually(lambda: any(ping.get("status") == "unhealthy" for ping in plane.pings))
        [report] = [ping for ping in plane.pings if ping.get("status") == "unhealthy"]

    assert report["check"] == "framepack_ready"
    assert "FRAMEPACK_STORAGE" in report["reason"]
