"""A GPU that fails in a job: no later job runs in that process. Real processes, an injected error of CUDA."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clips import Spec, make_clip
from tests.support.control_plane import ControlPlane, Worker
from tests.support.gpu_faults import LOST, FaultyGpu
from tests.support.http_server import Answer, HttpServer
from tests.support.rest_server import RestServer, eventually, inline

UPSCALE = "/postprocess/upscale"
FIELDS = {"model": "RealESR_AnimeVideo_v3", "scale_factor": 2.0}
SENTENCE = "The worker's GPU failed, and the worker is being replaced: send the job again."


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A clip of a few frames, as base64."""
    return inline(make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", Spec(count=3)))


@pytest.fixture
def gpu(tmp_path: Path) -> FaultyGpu:
    """A GPU that fails when the test says so."""
    return FaultyGpu(tmp_path / "gpu")


@pytest.fixture
def receiver() -> Iterator[HttpServer]:
    """A webhook receiver."""
    with HttpServer(lambda _received: Answer(200)) as running:
        yield running


def test_a_rest_worker_whose_gpu_failed_is_replaced_and_its_job_runs_again(
    tmp_path: Path, gpu: FaultyGpu, clip: str, receiver: HttpServer
) -> None:
    """The client gets its video from the new process, and the receiver hears only of that."""
    server = RestServer(tmp_path)
    server.environment |= gpu.environment
    with server:
        before = server.worker
        assert before is not None
        gpu.fail_next()

        answer = server.post(UPSCALE, {**FIELDS, "video_base64": clip, "callback_url": receiver.url})

        job_id = answer.json()["job_id"]
        assert eventually(lambda: "ended" in server.job(job_id), 120)
        assert server.job(job_id)["state"] == "completed", server.log
        assert gpu.has_struck
        after = server.worker
        assert after is not None
        assert after.pid != before.pid
        record = json.loads((server.outputs / "state" / "jobs" / f"{job_id}.json").read_text())
        assert record["worker_deaths"] == 1
        assert eventually(lambda: bool(receiver.requests))
    assert LOST in server.log
    assert "the worker ends, because its GPU failed" in server.log
    assert [json.loads(request.body)["success"] for request in receiver.requests] == [True]


def test_a_runpod_worker_whose_gpu_failed_reports_the_job_and_ends_without_running_another(
    tmp_path: Path, gpu: FaultyGpu, clip: str
) -> None:
    """The next job may already have been taken: nothing is reported about it, so that it runs elsewhere."""
    with ControlPlane() as plane, Worker(plane, tmp_path, **gpu.environment) as worker:
        fields = {"endpoint": "upscale", **FIELDS, "video_base64": clip}
        assert plane.run(fields)["output"]["success"]
        gpu.fail_next()
        failed, following = plane.submit(fields), plane.submit(fields)

        assert failed.finished.wait(120), worker.log
        assert worker.process.wait(60) == 1

        assert failed.result is not None
        assert SENTENCE in json.dumps(failed.result)
        assert "device_lost" in json.dumps(failed.result)
        assert following.result is None
        assert LOST in worker.log
        assert "the worker ends, because its GPU failed" in worker.log


def test_a_batch_ends_at_the_video_on_which_the_gpu_failed(tmp_path: Path, gpu: FaultyGpu, clip: str) -> None:
    """The videos after it are not tried in the same process."""
    with ControlPlane() as plane, Worker(plane, tmp_path, **gpu.environment) as worker:
        gpu.fail_next()
        result = plane.run(
            {
                "endpoint": "batch",
                "videos": [{"video_base64": clip}] * 3,
                "operations": [{"type": "upscale", "params": FIELDS}],
            }
        )

        assert "device_lost" in json.dumps(result), result
        assert worker.process.wait(60) == 1
        assert worker.log.count(LOST) == 1
