"""What RunPod may do with a job that no worker has: lose it, end it, never take it. The test plays the platform."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from framepack.job import Job, JobInput
from framepack.jobs.records import JobRecords
from framepack.storage.local import LocalStorage
from tests.support.client_side import Platform, before
from tests.support.clips import Spec, make_clip
from tests.support.control_plane import Record
from tests.support.http_server import Answer, HttpServer
from tests.support.rest_server import RestServer, eventually
from tests.support.runs import bench

UPSCALE = "/postprocess/upscale"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, RestServer]]:
    """A platform without workers, and a server before it."""
    folder = tmp_path_factory.mktemp("alone")
    with Platform() as platform, before(platform, folder, has_workers=False, shutdown_grace_seconds="0") as server:
        yield platform, server


def arrived(platform: Platform, known: set[str]) -> Record:
    """The one job that was sent since, once it is there."""
    assert eventually(lambda: set(platform.records) - known)
    (new,) = set(platform.records) - known
    return platform.records[new]


def sent(platform: Platform, server: RestServer, route: str = UPSCALE, **fields: Any) -> tuple[str, Record]:
    """Start a job; return its id here and what the platform knows of it."""
    known = set(platform.records)
    source = {} if "video_base64" in fields else {"video_url": "https://example.com/v.mp4"}
    answer = server.post(route, {**source, **fields}, headers={"Prefer": "respond-async"})
    assert answer.status_code in {200, 202}, answer.text
    return answer.json()["job_id"], arrived(platform, known)


def test_a_job_unknown_to_the_platform_is_sent_again(alone: tuple[Platform, RestServer]) -> None:
    """It completes at the second attempt."""
    platform, server = alone
    job_id, first = sent(platform, server)
    known = set(platform.records)
    platform.forget(first)
    second = arrived(platform, known)
    assert platform.inputs[second.id] == platform.inputs[first.id]
    platform.end(second, output={"success": True, "message": "done"})

    assert server.wait_for(job_id)["state"] == "completed"
    assert set(platform.records) == known | {second.id}


def test_a_running_job_outlasts_an_endpoint_that_is_unknown_for_a_while(alone: tuple[Platform, RestServer]) -> None:
    """The platform then does not know the job either. It is neither sent again nor held against the job."""
    platform, server = alone
    job_id, remote = sent(platform, server)
    assert eventually(lambda: ("status", remote.id) in platform.calls)
    runs = platform.count("run")
    platform.ill = 404
    assert eventually(lambda: server.answers({503}))
    assert server.job(job_id)["state"] == "running"
    platform.ill = None
    platform.end(remote, output={"success": True, "message": "done"})

    assert server.wait_for(job_id)["state"] == "completed"
    record = JobRecords(LocalStorage(server.outputs)).read(job_id)
    assert (platform.count("run"), record.attempts, record.worker_deaths) == (runs, 1, 0)
    assert eventually(lambda: server.answers({200}))


def test_a_restarted_server_follows_the_job_it_sent_before(alone: tuple[Platform, RestServer]) -> None:
    """Neither killing nor stopping the server makes it send the job twice or cancel it."""
    platform, server = alone
    job_id, remote = sent(platform, server)
    runs, cancels = platform.count("run"), platform.count("cancel")
    assert eventually(lambda: ("status", remote.id) in platform.calls)
    for end in (server.kill, server.stop):
        end()
        calls = len(platform.calls)
        server.start()
        assert eventually(partial(was_asked, platform, remote, calls))
        assert server.job(job_id)["state"] == "running"
    platform.end(remote, output={"success": True, "message": "done"})

    ended = server.wait_for(job_id)

    assert (ended["state"], ended["result"]["message"]) == ("completed", "done")
    assert (platform.count("run"), platform.count("cancel")) == (runs, cancels)


def was_asked(platform: Platform, record: Record, since: int) -> bool:
    """Whether somebody looked at a job after the first ``since`` calls."""
    return ("status", record.id) in platform.calls[since:]


CRASHES = [
    json.dumps({"error_type": "KeyError", "error_traceback": "File /app/handler.py", "hostname": "pod-1"}),
    "Traceback (most recent call last):\n  File /app",
    None,
]


@pytest.mark.parametrize("error", CRASHES, ids=["report", "traceback", "nothing"])
def test_the_crash_report_of_a_worker_is_not_shown_to_the_client(
    alone: tuple[Platform, RestServer], error: str | None
) -> None:
    """The SDK's report has paths and host names. The client gets a general message and the callback."""
    platform, server = alone
    sentence = "The worker ended without an answer."
    with HttpServer({"/done": Answer(200)}) as receiver:
        job_id, remote = sent(platform, server, callback_url=f"{receiver.url}/done")
        platform.end(remote, error=error)

        ended = server.wait_for(job_id)

        assert ended["state"] == "failed"
        assert ended["result"] == {"error": sentence, "code": "source_failed", "status": 502}
        assert eventually(lambda: receiver.requests)
        assert json.loads(receiver.requests[0].body)["error"] == sentence


ENDS: list[tuple[dict[str, Any], str, str | None]] = [
    ({"output": {"success": True, "message": "x"}}, "completed", None),
    ({"output": None}, "failed", "source_failed"),
    ({"output": [1]}, "failed", "source_failed"),
    ({"output": {}}, "failed", "source_failed"),
    ({"error": "No room.", "output": {"code": "disk_full", "status": 507}}, "failed", "disk_full"),
    ({"error": "worker exited with exit code 137"}, "failed", "source_failed"),
    ({"status": "TIMED_OUT"}, "cancelled", "cancelled"),
    ({"status": "CANCELLED"}, "cancelled", "cancelled"),
]


@pytest.mark.parametrize(("result", "state", "code"), ENDS)
def test_every_final_status_of_the_platform_ends_the_job(
    alone: tuple[Platform, RestServer], result: dict[str, Any], state: str, code: str | None
) -> None:
    """Each is mapped to a state and an error code."""
    platform, server = alone
    job_id, remote = sent(platform, server)
    platform.end(remote, **result)

    ended = server.wait_for(job_id)

    assert (ended["state"], ended["result"].get("code")) == (state, code)


@pytest.mark.parametrize(
    ("result", "code"),
    [
        ({"status": "TIMED_OUT"}, "cancelled"),
        ({"status": "CANCELLED"}, "cancelled"),
        ({"output": None}, "source_failed"),
        ({"output": [1]}, "source_failed"),
        (None, "cancelled"),
    ],
)
def test_the_end_of_a_started_job_without_an_answer_of_its_worker_is_reported(
    alone: tuple[Platform, RestServer], result: dict[str, Any] | None, code: str
) -> None:
    """The platform, or the client (None), ended it: no worker tells the receiver, so the server does, once."""
    platform, server = alone
    with HttpServer({"/done": Answer(200)}) as receiver:
        job_id, remote = sent(platform, server, callback_url=f"{receiver.url}/done")
        start(platform, remote)
        if result is None:
            assert server.delete(f"/jobs/{job_id}").json()["state"] == "cancelled"
        else:
            platform.end(remote, **result)
        server.wait_for(job_id)
        assert eventually(lambda: (server.job(job_id).get("callback") or {}).get("state") == "delivered")
        [request] = receiver.requests
        told = json.loads(request.body)
        assert (told["job_id"], told["success"], told["code"]) == (remote.id, False, code)


def test_server_and_worker_report_a_cancelled_job_in_one_message_though_neither_sees_the_other(
    alone: tuple[Platform, RestServer], tmp_path: Path
) -> None:
    """The worker has a store of its own and is late: the receiver detects the second report by its ``webhook-id``."""
    platform, server = alone
    with HttpServer({"/done": Answer(200)}) as receiver:
        clip = tmp_path / "clip.mp4"
        make_clip(clip, Spec(count=6))
        asked = {"video_base64": base64.b64encode(clip.read_bytes()).decode(), "callback_url": f"{receiver.url}/done"}
        job_id, remote = sent(platform, server, "/postprocess/filters", **asked)
        start(platform, remote)
        server.delete(f"/jobs/{job_id}")
        assert eventually(lambda: receiver.requests)
        late = Job(remote.id)
        late.cancel()
        worker = bench(tmp_path, allowed_hosts="127.0.0.1")
        worker.runtime.run(JobInput(platform.inputs[remote.id]), late)

        told = worker.runtime.outbox.of_job(remote.id)
        assert told is not None
        assert told.id == receiver.requests[0].headers["webhook-id"]


def start(platform: Platform, remote: Record) -> None:
    """Let the server see that a worker has started a job."""
    remote.taken = True
    seen = platform.count("status")
    assert eventually(lambda: platform.count("status") >= seen + 2)


def test_cancelling_a_job_removes_it_from_the_queue_of_the_platform(alone: tuple[Platform, RestServer]) -> None:
    """No worker has started it, so the server sends the callback."""
    platform, server = alone
    with HttpServer({"/done": Answer(200)}) as receiver:
        job_id, remote = sent(platform, server, callback_url=f"{receiver.url}/done")
        assert eventually(lambda: ("status", remote.id) in platform.calls)

        assert server.delete(f"/jobs/{job_id}").json()["state"] == "cancelled"

        assert platform.state(remote) == "CANCELLED"
        assert remote.id not in {job["id"] for job in platform._jobs}
        assert eventually(lambda: len(receiver.requests) == 1)


def test_cancelling_a_job_while_it_is_sent_cancels_it_on_the_platform(alone: tuple[Platform, RestServer]) -> None:
    """The platform has received the job but has not confirmed it yet."""
    platform, server = alone
    platform.hesitation_seconds = 2
    job_id, remote = sent(platform, server)

    assert server.delete(f"/jobs/{job_id}").json()["state"] == "cancelled"

    platform.hesitation_seconds = 0
    assert platform.state(remote) == "CANCELLED"


def test_a_job_sent_while_the_server_stops_is_followed_and_not_sent_twice(alone: tuple[Platform, RestServer]) -> None:
    """The next server finds the job that the platform has received."""
    platform, server = alone
    platform.hesitation_seconds = 3  # the server is told to stop before that
    job_id, remote = sent(platform, server)
    runs = platform.count("run")
    server.stop()
    platform.hesitation_seconds = 0
    server.start()
    platform.end(remote, output={"success": True, "message": "done"})

    assert server.wait_for(job_id)["state"] == "completed"
    assert platform.count("run") == runs


WRONG = [
    ({"RUNPOD_API_KEY": "rpa_wrong"}, "RunPod refused the server's API key."),
    ({"FRAMEPACK_RUNPOD_ENDPOINT_ID": "other"}, "RunPod has no such endpoint."),
]


@pytest.mark.parametrize(("mistake", "sentence"), WRONG, ids=["key", "endpoint"])
def test_a_wrong_api_key_or_endpoint_id_fails_no_job(tmp_path: Path, mistake: dict[str, str], sentence: str) -> None:
    """Accepted jobs wait and say why, new ones are refused before they are stored, and all run once it is right."""
    with Platform() as platform:
        server = before(platform, tmp_path, has_workers=False)
        right = dict(server.environment)
        with server:
            job_id, _ = sent(platform, server)
            server.kill()
            platform.records.clear()  # so that the next server has to send it again
            server.environment |= mistake
            server.start(ready=False)
            assert eventually(lambda: server.answers({503}))
            waiting = server.job(job_id)
            assert (waiting["state"], waiting["waiting_for"]) == ("queued", sentence)
            refused = server.post(UPSCALE, {"video_url": "https://e.com/v.mp4"})
            assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
            assert sentence in refused.json()["detail"]
            assert int(refused.headers["Retry-After"]) > 0
            assert "rpa_" not in refused.text + server.log
            assert server.get("/jobs").json()["total_count"] == 1
            server.kill()
            server.environment = right
            server.start()
            platform.end(arrived(platform, set()), output={"success": True, "message": "done"})
            assert server.wait_for(job_id)["state"] == "completed"


def test_a_platform_that_is_away_for_longer_refuses_new_jobs(tmp_path: Path) -> None:
    """Queued jobs stay, also those that were sent, and the server notices by itself that it is back."""
    with Platform() as platform, before(platform, tmp_path, has_workers=False) as server:
        job_id, remote = sent(platform, server)
        platform.ill = 502
        assert eventually(lambda: server.answers({503}))
        assert server.post(UPSCALE, {"video_url": "https://e.com/v.mp4"}).status_code == 503
        assert server.job(job_id)["waiting_for"] == "RunPod sent an invalid response."
        platform.ill = None
        assert eventually(lambda: server.answers({200}))
        platform.end(remote, output={"success": True, "message": "done"})
        assert server.wait_for(job_id)["state"] == "completed"
        assert platform.count("run") == 1
