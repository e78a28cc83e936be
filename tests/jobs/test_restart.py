"""Servers that are killed and started again: no job is lost, none is done twice. Real processes, a real receiver."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.clips import Spec, make_clip
from tests.support.http_server import Answer, HttpServer
from tests.support.rest_server import RestServer, eventually, inline

UPSCALE = "/postprocess/upscale"
LOOP = "/postprocess/loop"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A clip that a network needs seconds for, as base64."""
    return inline(make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", Spec(count=80)))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RestServer]:
    """A server that the test starts and kills; it is stopped in the end."""
    running = RestServer(tmp_path, shutdown_grace_seconds="60")
    yield running
    running.stop()


@pytest.fixture
def receiver() -> Iterator[HttpServer]:
    """A webhook receiver."""
    with HttpServer(lambda _received: Answer(200)) as running:
        yield running


def results(server: RestServer) -> list[str]:
    """The finished videos in the store."""
    return sorted(path.name for path in (server.outputs / "postprocessed_output").rglob("*.mp4"))


def callbacks_of(receiver: HttpServer) -> Counter[str]:
    """How often the receiver heard of each job, each time under one id."""
    found = Counter(
        (request.headers["webhook-id"], json.loads(request.body)["job_id"]) for request in receiver.requests
    )
    assert len({job_id for _, job_id in found}) == len(found), found
    return Counter({job_id: count for (_, job_id), count in found.items()})


def test_jobs_of_a_killed_server_are_run_once_by_the_next_one(
    server: RestServer, clip: str, receiver: HttpServer
) -> None:
    """One job is running and two are queued when the server is killed. Each sends one callback."""
    server.start()
    hook = {"callback_url": f"{receiver.url}/hook", "video_base64": clip}
    slow = {**hook, "model": "RealESR_AnimeVideo_v3", "scale_factor": 2.0}
    ids = {
        server.post(UPSCALE, slow).json()["job_id"]: "upscale",
        server.post(LOOP, hook).json()["job_id"]: "loop",
        server.post("/postprocess/export", hook).json()["job_id"]: "export",
    }
    running = next(iter(ids))
    assert eventually(lambda: "progress" in server.job(running))
    server.kill()
    assert results(server) == []

    server.start()
    for job_id in ids:
        ended = server.wait_for(job_id)
        assert (ended["state"], ended["result"]["success"]) == ("completed", True)
        assert server.get(ended["result"]["output_url"], headers={"X-API-Key": None}).status_code in {200, 403, 404}
    assert len(results(server)) == 3
    assert eventually(lambda: callbacks_of(receiver) == dict.fromkeys(ids, 1)), callbacks_of(receiver)
    assert all(json.loads(request.body)["success"] for request in receiver.requests)
    assert server.job(running)["created"] < server.job(running)["started"]


def test_an_ended_job_answers_the_same_after_a_restart(server: RestServer, clip: str) -> None:
    """Record, result and idempotency key stay valid, and the job does not run again. Links are signed anew."""
    server.start()
    first = server.post(LOOP, {"video_base64": clip}, headers={"Idempotency-Key": "k"})
    job_id = first.headers["X-Job-Id"]
    before = unlinked(server.job(job_id))
    server.kill()
    server.start()
    assert unlinked(server.job(job_id)) == before
    assert [job["job_id"] for job in server.get("/jobs").json()["jobs"]] == [job_id]
    again = server.post(LOOP, {"video_base64": clip}, headers={"Idempotency-Key": "k"})
    assert {**again.json(), "output_url": ""} == {**first.json(), "output_url": ""}
    assert again.json()["output_video_base64"]
    assert requests.get(again.json()["output_url"], timeout=30).status_code == 200
    assert len(results(server)) == 1


def unlinked(view: dict[str, Any]) -> dict[str, Any]:
    """What is told of a job, without the links to its events and its result."""
    assert view["events_url"]
    assert view["result"]["output_url"]
    return {**view, "events_url": "", "result": {**view["result"], "output_url": ""}}


def test_after_sigterm_the_running_job_ends_and_new_jobs_are_refused(server: RestServer, clip: str) -> None:
    """The client of the running job gets its answer. A queued job is kept for the next server."""
    server.start()
    body = {"video_base64": clip, "model": "RealESR_AnimeVideo_v3", "scale_factor": 2.0}
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(server.post, UPSCALE, body)
        assert eventually(lambda: server.get("/health").json()["jobs_running"] == 1)
        waiting = server.start_job(LOOP, {"video_base64": clip})
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: server.get("/ping").status_code == 503)
        refused = server.post(LOOP, {"video_base64": clip})
        assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
        assert asking.result().status_code == 200, asking.result().text
    server.process.wait(60)
    assert len(results(server)) == 1

    server.start()
    assert server.wait_for(waiting)["state"] == "completed"
    assert server.wait_for(asking.result().headers["X-Job-Id"])["state"] == "completed"
    assert len(results(server)) == 2


def test_a_job_over_the_shutdown_grace_period_is_run_by_the_next_server(
    server: RestServer, clip: str, receiver: HttpServer
) -> None:
    """The interrupted attempt is not counted, and the callback is sent only at the end of the job."""
    server.environment["FRAMEPACK_SHUTDOWN_GRACE_SECONDS"] = "0"
    server.start()
    body: dict[str, Any] = {"video_base64": clip, "callback_url": f"{receiver.url}/hook"}
    job_id = server.post(UPSCALE, {**body, "model": "RealESR_AnimeVideo_v3", "scale_factor": 2.0}).json()["job_id"]
    for _ in range(2):
        assert eventually(lambda: "progress" in server.job(job_id))
        server.stop()
        assert server.process is not None
        assert server.process.returncode == -signal.SIGTERM
        server.start()
    assert server.wait_for(job_id)["state"] == "completed"
    assert eventually(lambda: callbacks_of(receiver) == {job_id: 1})
    assert len(results(server)) == 1
