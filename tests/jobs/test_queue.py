"""Jobs over HTTP: answered at once or later, listed, looked at, followed, cancelled, made once; nothing computes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from framepack.storage.keys import Key
from tests.support.rest_server import HeldBackend, LocalServer, eventually, server_in_thread

CLIP = {"video_base64": "AAAA"}
LOOP = "/postprocess/loop"
CALLBACK = "http://127.0.0.1:9/hook"
NOTE = (
    "Results will be sent to your callback URL when processing completes. "
    "This may take several minutes for large videos."
)
STEPS = [{"type": "loop", "params": {}}, {"type": "filters", "params": {}}]
STARTED = [
    ("/postprocess/upscale", CLIP, "Upscale processing started in background"),
    ("/postprocess/interpolate", CLIP, "Interpolation processing started in background"),
    ("/postprocess/pipeline", {**CLIP, "operations": STEPS}, "Pipeline with 2 operations started in background"),
    ("/postprocess/filters", CLIP, "Filters processing started in background"),
    ("/postprocess/loop", CLIP, "Loop processing started in background"),
    ("/postprocess/export", CLIP, "Export processing started in background"),
    (
        "/postprocess/join",
        {"video_urls": ["http://127.0.0.1/a", "http://127.0.0.1/b"]},
        "Join processing started in background",
    ),
    ("/frames/extract", CLIP, "Extract frames processing started in background"),
    ("/frames/reassemble", {"folder_name": "some"}, "Reassemble frames processing started in background"),
    ("/postprocess/batch", {"videos": [CLIP], "operations": STEPS}, "Batch processing started in background"),
    (
        "/postprocess/pipeline/from-preset",
        {**CLIP, "preset_name": "mine"},
        "Pipeline from preset processing started in background",
    ),
    ("/enhance-prompt", {"prompt": "a cat"}, "Enhance prompt processing started in background"),
    ("/caption-image", {"image_base64": "AAAA"}, "Caption image processing started in background"),
]


@pytest.fixture(scope="module")
def backend() -> HeldBackend:
    """A backend that holds every job, as many at once as there are."""
    return HeldBackend(slots=200)


@pytest.fixture(scope="module")
def server(backend: HeldBackend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server around it."""
    with server_in_thread(tmp_path_factory.mktemp("server"), backend) as running:
        yield running


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[tuple[LocalServer, HeldBackend]]:
    """A server that carries out one job at a time and lets two wait."""
    held = HeldBackend()
    with server_in_thread(tmp_path, held, max_queued_jobs=2) as running:
        yield running, held


def in_background(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Do something in a thread; what it gives is appended to the list."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    return thread, found


def only(backend: HeldBackend, known: set[str]) -> str:
    """The id of the one job that came to the backend since."""
    assert eventually(lambda: set(backend.held) - known)
    (job_id,) = set(backend.held) - known
    return job_id


def test_a_request_without_callback_waits_for_the_result(server: LocalServer, backend: HeldBackend) -> None:
    """The response is the answer of the job, with the job's id in a header."""
    known = set(backend.held)
    thread, answers = in_background(lambda: server.post(LOOP, CLIP))
    job_id = only(backend, known)
    backend.wait_for(job_id).finish(success=True, message="looped", output_video_base64="QUJD")
    thread.join()
    assert answers[0].status_code == 200
    assert answers[0].json() == {"success": True, "message": "looped", "output_video_base64": "QUJD"}
    assert answers[0].headers["X-Job-Id"] == job_id


def test_a_failed_job_is_answered_with_its_status(server: LocalServer, backend: HeldBackend) -> None:
    """The handler's error envelope becomes the documented detail, with its own status."""
    known = set(backend.held)
    thread, answers = in_background(lambda: server.post(LOOP, CLIP))
    backend.wait_for(only(backend, known)).finish(error="Too long.", code="too_large", status=413)
    thread.join()
    assert answers[0].status_code == 413
    assert answers[0].json() == {"detail": "Too long.", "code": "too_large"}


@pytest.mark.parametrize(("path", "body", "message"), STARTED, ids=[path for path, _, _ in STARTED])
def test_a_request_with_callback_is_answered_with_processing(
    server: LocalServer, path: str, body: dict[str, Any], message: str
) -> None:
    """The answer is the documented one plus the job's id."""
    answer = server.post(path, {**body, "callback_url": CALLBACK})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told.pop("job_id") == answer.headers["X-Job-Id"]
    assert told == {
        "success": True,
        "message": message,
        "processing": True,
        "callback_url": CALLBACK,
        "note": NOTE,
    }


def test_every_operation_with_a_callback_is_in_the_test_table(server: LocalServer) -> None:
    """A new operation must be added to ``STARTED``."""
    registry = server.server.runtime.dispatcher.registry
    assert {path for path, _, _ in STARTED} == {each.path for each in registry if each.supports_callback}


def test_a_refused_request_makes_no_job(server: LocalServer) -> None:
    """Invalid requests are answered with 400 immediately, with or without a callback."""
    before = server.get("/jobs").json()["total_count"]
    for extra in ({}, {"callback_url": CALLBACK}):
        answer = server.post("/postprocess/upscale", {**CLIP, "scale_factor": 77, **extra})
        assert answer.status_code == 400
        assert set(answer.json()) == {"detail", "code"}
    refused = server.post(LOOP, {**CLIP, "callback_url": "http://169.254.169.254/"})
    assert refused.status_code == 400
    assert refused.json()["code"] == "source_not_allowed"
    assert server.get("/jobs").json()["total_count"] == before


def test_prefer_respond_async_returns_202_and_the_job_url(server: LocalServer, backend: HeldBackend) -> None:
    """The job's state can be read at this URL from its start to its end."""
    answer = server.post(LOOP, CLIP, headers={"Prefer": "respond-async, wait=5"})
    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "respond-async"
    job_id = answer.json()["job_id"]
    assert answer.headers["Location"] == f"/jobs/{job_id}" == answer.json()["status_url"]
    held = backend.wait_for(job_id)
    held.progress(frames_done=3, frames_total=12, percent=25.0, seconds_left=1.5)
    assert eventually(lambda: "progress" in server.job(job_id))
    seen = server.job(job_id)
    assert (seen["state"], seen["operation"]) == ("running", "loop")
    assert seen["progress"] == {"frames_done": 3, "frames_total": 12, "percent": 25.0, "seconds_left": 1.5}
    assert "result" not in seen
    held.finish(success=True, message="looped", output_path="/outputs/a.mp4", output_video_base64="QUJD")
    ended = server.wait_for(job_id)
    assert ended["state"] == "completed"
    assert ended["result"] == {"success": True, "message": "looped", "output_path": "/outputs/a.mp4"}
    assert ended["created"] <= ended["started"] <= ended["ended"]


def test_jobs_are_listed_newest_first(narrow: tuple[LocalServer, HeldBackend]) -> None:
    """The list has the state of each job without its result, up to ``limit`` jobs, and the total count."""
    server, held = narrow
    ids = [server.start_job(LOOP, CLIP) for _ in range(3)]
    held.wait_for(ids[0]).finish()
    held.wait_for(ids[1])
    listed = server.get("/jobs").json()
    assert [job["job_id"] for job in listed["jobs"]] == ids[::-1]
    assert [job["state"] for job in listed["jobs"]] == ["queued", "running", "completed"]
    assert all("result" not in job for job in listed["jobs"])
    assert listed["total_count"] == 3
    assert len(server.get("/jobs?limit=2").json()["jobs"]) == 2
    assert server.get("/jobs?limit=0").status_code == 400


def test_the_event_stream_follows_a_job_to_its_end(server: LocalServer, backend: HeldBackend) -> None:
    """It sends each state, then the result, and closes. A stream of an ended job sends only the result."""
    job_id = server.start_job(LOOP, CLIP)
    held = backend.wait_for(job_id)
    thread, seen = in_background(lambda: list(server.events(job_id)))
    held.progress(frames_done=1)
    assert eventually(lambda: "progress" in server.job(job_id))
    held.finish(success=True, message="looped")
    thread.join()
    events = seen[0]
    assert [name for name, _ in events[:-1]] == ["progress"] * (len(events) - 1)
    name, last = events[-1]
    assert (name, last["state"], last["result"]) == ("end", "completed", {"success": True, "message": "looped"})
    assert [name for name, _ in server.events(job_id)] == ["end"]


def test_an_idle_event_stream_sends_keep_alive_comments(
    server: LocalServer, backend: HeldBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They keep proxies from closing the connection."""
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.05)
    job_id = server.start_job(LOOP, CLIP)
    held = backend.wait_for(job_id)
    with server.get(f"/jobs/{job_id}/events", stream=True) as answer:
        lines = answer.iter_lines(decode_unicode=True)
        assert any(line.startswith(":") for line in lines)
        held.finish()
        assert any(line == "event: end" for line in lines)


def test_unknown_jobs_are_404(server: LocalServer) -> None:
    """This holds for all routes of jobs, and for names that no job can have."""
    for name in ("0" * 32, "..%2F..%2Fetc", "%00", "a" * 300, "~"):
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/events")):
            answer = server.ask(method, f"/jobs/{name}{path}")
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (name, method, path)


def test_a_cancelled_queued_job_never_starts(narrow: tuple[LocalServer, HeldBackend]) -> None:
    """It does not reach a worker or count as queued. Cancelling it again is refused."""
    server, held = narrow
    first, waiting = server.start_job(LOOP, CLIP), server.start_job(LOOP, CLIP)
    held.wait_for(first)
    cancelled = server.delete(f"/jobs/{waiting}")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert cancelled.json()["result"]["code"] == "cancelled"
    assert server.get("/health").json()["jobs_queued"] == 0
    held.wait_for(first).finish()
    last = server.start_job(LOOP, CLIP)
    held.wait_for(last).finish()
    server.wait_for(last)
    assert waiting not in held.held
    again = server.delete(f"/jobs/{waiting}")
    assert (again.status_code, again.json()["detail"]) == (409, "The job has already ended: cancelled.")


def test_cancelling_a_running_job_stops_it_and_answers_its_client(server: LocalServer, backend: HeldBackend) -> None:
    """The waiting client gets 409. A job that has already ended cannot be cancelled."""
    known = set(backend.held)
    thread, answers = in_background(lambda: server.post(LOOP, CLIP))
    job_id = only(backend, known)
    cancelled = server.delete(f"/jobs/{job_id}")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert job_id in backend.cancelled
    thread.join()
    assert (answers[0].status_code, answers[0].json()["code"]) == (409, "cancelled")
    done = server.start_job(LOOP, CLIP)
    backend.wait_for(done).finish()
    server.wait_for(done)
    refused = server.delete(f"/jobs/{done}")
    assert (refused.status_code, refused.json()["detail"]) == (409, "The job has already ended: completed.")
    assert server.job(done)["state"] == "completed"


def test_requests_over_the_queue_limit_are_refused_with_429(narrow: tuple[LocalServer, HeldBackend]) -> None:
    """Of 40 simultaneous requests one runs and two wait. The others get 429 with Retry-After and leave no record."""
    server, held = narrow
    headers = {"Prefer": "respond-async"}
    with ThreadPoolExecutor(20) as pool:
        keys = [{"Idempotency-Key": f"k{number}"} if number % 2 else {} for number in range(40)]
        asked = [pool.submit(server.post, LOOP, CLIP, headers={**headers, **key}) for key in keys]
        answers = [each.result() for each in asked]
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {202, 429}
    assert 2 <= statuses.count(202) <= 3
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json() == {"detail": "The queue is full (2 jobs are waiting); try again later.", "code": "busy"}
    assert int(refused.headers["Retry-After"]) > 0
    taken = {answer.json()["job_id"] for answer in answers if answer.status_code == 202}
    assert eventually(lambda: len(held.held) == 1)
    stored = {stored.key.name for stored in server.server.runtime.storage.list() if "job" in stored.key.text}
    assert stored == {f"{job_id}.json" for job_id in taken}


def test_equal_requests_with_one_idempotency_key_run_once(server: LocalServer, backend: HeldBackend) -> None:
    """100 simultaneous requests and a later one share one run and get the same answer."""
    known = set(backend.held)
    headers = {"Idempotency-Key": "order 1"}
    with ThreadPoolExecutor(100) as pool:
        asked = [pool.submit(server.post, LOOP, CLIP, headers=headers) for _ in range(100)]
        job_id = only(backend, known)
        backend.wait_for(job_id).finish(success=True, message="looped", output_video_base64="QUJD")
        answers = [each.result() for each in asked]
    assert [answer.status_code for answer in answers] == [200] * 100
    assert {answer.text for answer in answers} == {answers[0].text}
    assert server.post(LOOP, CLIP, headers=headers).text == answers[0].text
    assert set(backend.held) - known == {job_id}
    assert backend.held[job_id].attempt == 1


def test_an_idempotency_key_with_another_body_is_refused(server: LocalServer, backend: HeldBackend) -> None:
    """The same key with another operation starts another job."""
    headers = {"Idempotency-Key": "order 2"}
    job_id = server.start_job(LOOP, CLIP, **headers)
    refused = server.post(LOOP, {**CLIP, "num_loops": 3}, headers=headers)
    assert refused.status_code == 400
    assert refused.json()["detail"].startswith("This Idempotency-Key was used for another request")
    assert server.start_job(LOOP, CLIP, **headers) == job_id
    assert server.start_job("/postprocess/export", CLIP, **headers) != job_id


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "a\x85b"], ids=["empty", "long", "tab", "C1"])
def test_an_invalid_idempotency_key_is_refused(server: LocalServer, key: str) -> None:
    """An Idempotency-Key has 1 to 255 characters and no control characters."""
    answer = server.post(LOOP, CLIP, headers={"Idempotency-Key": key.encode("latin-1")})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("Idempotency-Key must have 1 to 255 characters")


def test_an_idempotency_key_of_255_characters_is_accepted(server: LocalServer) -> None:
    """This is the maximum length."""
    server.start_job(LOOP, CLIP, **{"Idempotency-Key": "k" * 255})


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs whose worker died are run again at once."""
    monkeypatch.setattr("framepack.jobs.runner._DEATH_PAUSES", (0.0, 0.0))
    monkeypatch.setattr("framepack.jobs.runner._JUDGE_SECONDS", 0.0)


@pytest.mark.usefixtures("impatient")
def test_a_job_whose_worker_died_once_runs_again(server: LocalServer, backend: HeldBackend) -> None:
    """The result is that of the second worker."""
    job_id = server.start_job(LOOP, CLIP)
    backend.wait_for(job_id).lose()
    backend.wait_for(job_id, attempt=2).finish(success=True, message="at last")
    assert server.wait_for(job_id)["result"]["message"] == "at last"


@pytest.mark.usefixtures("impatient")
def test_a_job_whose_worker_died_three_times_fails_with_503(server: LocalServer, backend: HeldBackend) -> None:
    """It is not run a fourth time. The response has a message and Retry-After."""
    known = set(backend.held)
    thread, answers = in_background(lambda: server.post(LOOP, CLIP))
    job_id = only(backend, known)
    backend.wait_for(job_id).lose()
    backend.wait_for(job_id, attempt=2).lose()
    backend.wait_for(job_id, attempt=3).lose()
    thread.join()
    assert answers[0].status_code == 503
    assert answers[0].json()["detail"] == "The worker died 3 times while it ran this job."
    assert "Retry-After" in answers[0].headers


def test_process_operations_are_answered_without_a_job(server: LocalServer, backend: HeldBackend) -> None:
    """They do not wait for running jobs."""
    asked = [each for each in server.server.runtime.dispatcher.registry if each.needs == "process"]
    assert {"model_status", "unload_model", "ai_status", "unload_ai_models"} <= {each.name for each in asked}
    backend.answer = {"error": "Cannot unload model", "code": "conflict", "status": 409}
    answer = server.post("/model/unload")
    assert (answer.status_code, answer.json()["detail"]) == (409, "Cannot unload model")
    assert backend.asked[-1] == ("unload_model", {})


def test_links_of_an_ended_job_are_signed_anew_on_each_request(server: LocalServer, backend: HeldBackend) -> None:
    """Links at any depth of the result work without a key, even after the original links have expired."""
    key = Key("postprocessed_output/temp_processing/a b.mp4")
    server.server.runtime.storage.put_bytes(key, b"video")
    old = {"output_path": f"/outputs/{key}", "output_url": f"{server.url}/outputs/{key}?expires=1&signature=old"}
    job_id = server.start_job(LOOP, CLIP)
    backend.wait_for(job_id).finish(success=True, **old, results=[{**old, "sheet_path": "/outputs/c.png"}])

    result = server.wait_for(job_id)["result"]

    for found in (result, result["results"][0]):
        assert found["output_path"] == old["output_path"]
        assert requests.get(found["output_url"], timeout=30).content == b"video"
    assert set(result["results"][0]) == {"output_path", "output_url", "sheet_path"}


def test_head_answers_like_get_without_a_body(server: LocalServer, backend: HeldBackend) -> None:
    """This holds for every GET route, including the events of a running job."""
    job_id = server.start_job(LOOP, CLIP)
    for path in ("/health", "/jobs/none", f"/jobs/{job_id}", "/filters/presets", "/openapi.json"):
        got, head = server.get(path), server.ask("HEAD", path)
        assert (head.status_code, head.content) == (got.status_code, b""), path
        assert head.headers["Content-Length"] == got.headers["Content-Length"] == str(len(got.content))
    events = server.ask("HEAD", f"/jobs/{job_id}/events")
    assert (events.status_code, events.headers["Content-Type"].split(";")[0]) == (200, "text/event-stream")
    assert server.ask("HEAD", LOOP).headers["Allow"] == "POST"
    assert server.ask("PUT", "/jobs").headers["Allow"] == "GET, HEAD"
    backend.wait_for(job_id).finish(success=True)
