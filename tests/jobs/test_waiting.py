"""Accepted jobs wait while no worker can run them, and are run when one can; new ones are refused in the meantime."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from framepack.errors import StorageFailed
from framepack.jobs.backends.base import Readiness
from framepack.jobs.records import JobRecord, JobRecords, State
from tests.support.clips import Spec, make_clip
from tests.support.rest_server import (
    HeldBackend,
    LocalServer,
    RestServer,
    eventually,
    inline,
    server_in_thread,
)
from tests.support.s3_proxy import s3_proxy
from tests.support.s3_server import s3_server

CLIP = {"video_base64": "AAAA"}
LOOP = "/postprocess/loop"
ANALYZE = "/postprocess/analyze"
PREVIEW = "/postprocess/preview"
PROBLEM = "The working folder cannot be written."


@pytest.fixture
def light() -> HeldBackend:
    """A backend of the light lane that holds four jobs."""
    return HeldBackend(slots=4)


@pytest.fixture
def server(backend: HeldBackend, light: HeldBackend, tmp_path: Path) -> Iterator[LocalServer]:
    """A server around both backends."""
    with server_in_thread(tmp_path, backend, light) as running:
        yield running


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits long in these tests."""
    monkeypatch.setattr("framepack.jobs.runner._DEATH_PAUSES", (0.0, 0.0))
    monkeypatch.setattr("framepack.jobs.runner._JUDGE_SECONDS", 0.0)
    monkeypatch.setattr("framepack.jobs.queue._START_SECONDS", 0.5)


def stored(server: LocalServer) -> set[str]:
    """The keys of everything that the store has of jobs."""
    return {stored.key.text for stored in server.server.runtime.storage.list() if "job" in stored.key.text}


def break_down(backend: HeldBackend) -> None:
    """The worker cannot run jobs."""
    backend.readiness, backend.problem = Readiness.BROKEN, PROBLEM


def test_accepted_jobs_wait_for_a_worker_that_is_broken(server: LocalServer, backend: HeldBackend) -> None:
    """They stay queued, say why, and all run once it works; one of them is cancelled while it waits."""
    running = server.start_job(LOOP, CLIP)
    waiting = [server.start_job(LOOP, CLIP) for _ in range(3)]
    held = backend.wait_for(running)
    assert "waiting_for" not in server.job(waiting[0])
    break_down(backend)
    held.turn_away(PROBLEM)

    assert eventually(lambda: server.job(running)["state"] == "queued")
    for job_id in [running, *waiting]:
        assert server.job(job_id)["waiting_for"] == PROBLEM
    assert server.get("/health").json()["problem"] == PROBLEM
    assert server.get("/health").json()["jobs_queued"] == 4
    assert server.delete(f"/jobs/{waiting[2]}").json()["state"] == "cancelled"

    backend.readiness, backend.problem, backend.slots = Readiness.READY, None, 3
    for job_id in (running, *waiting[:2]):
        backend.wait_for(job_id, attempt=2 if job_id == running else 1).finish(success=True)
        assert server.wait_for(job_id)["state"] == "completed"
    assert waiting[2] not in backend.held
    assert JobRecords(server.server.runtime.storage).read(running).attempts == 1


def test_new_jobs_are_refused_before_they_are_stored(server: LocalServer, backend: HeldBackend) -> None:
    """503 with the reason and a time to come back; a repeated request still finds its job."""
    job_id = server.start_job(LOOP, CLIP, **{"Idempotency-Key": "k"})
    break_down(backend)
    before = stored(server)

    refused = server.post(LOOP, CLIP, headers={"Prefer": "respond-async"})

    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert PROBLEM in refused.json()["detail"]
    assert int(refused.headers["Retry-After"]) > 0
    assert stored(server) == before
    assert server.start_job(LOOP, CLIP, **{"Idempotency-Key": "k"}) == job_id


def test_a_request_waits_a_moment_for_a_worker_that_starts(
    server: LocalServer, backend: HeldBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is accepted as soon as the worker is ready, once if sent twice; else refused."""
    backend.readiness = Readiness.STARTING
    assert server.post(LOOP, CLIP).status_code == 503
    assert backend.held == {}
    monkeypatch.setattr("framepack.jobs.queue._START_SECONDS", 60.0)
    headers = {"Prefer": "respond-async", "Idempotency-Key": "k"}
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(server.post, LOOP, CLIP, headers=headers) for _ in range(2)]
        backend.readiness = Readiness.READY
        answers = [each.result() for each in asked]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert len({answer.json()["job_id"] for answer in answers}) == 1


def test_a_light_job_does_not_wait_behind_a_heavy_one(
    server: LocalServer, backend: HeldBackend, light: HeldBackend
) -> None:
    """Neither while the worker is busy, nor while it is broken."""
    heavy = server.start_job(LOOP, CLIP)
    backend.wait_for(heavy)
    for path in (ANALYZE, "/postprocess/save"):
        job_id = server.start_job(path, CLIP)
        light.wait_for(job_id).finish(success=True)
        assert server.wait_for(job_id)["state"] == "completed"
    break_down(backend)
    job_id = server.start_job(ANALYZE, CLIP)
    light.wait_for(job_id).finish(success=True)
    assert server.wait_for(job_id)["state"] == "completed"
    assert set(backend.held) == {heavy}


def new_job(lane: HeldBackend, known: set[str]) -> str:
    """Wait for a job in a lane beside the known ones, and return its id."""
    assert eventually(lambda: set(lane.held) - known)
    (job_id,) = set(lane.held) - known
    return job_id


def test_a_preview_waits_for_the_worker_only_if_it_needs_a_model(
    server: LocalServer, backend: HeldBackend, light: HeldBackend
) -> None:
    """Its client waits for it, whatever it prefers, and the steps are checked at once."""
    backend.wait_for(server.start_job(LOOP, CLIP))

    def preview(step: dict[str, Any]) -> requests.Response:
        return server.post(PREVIEW, {**CLIP, "operations": [step]}, headers={"Prefer": "respond-async"})

    with ThreadPoolExecutor() as pool:
        for step, lane in (({"type": "filters"}, light), ({"type": "interpolate"}, backend)):
            known = set(lane.held)
            waiting = pool.submit(preview, step)
            if lane is backend:
                next(iter(backend.held.values())).finish(success=True)
            job_id = new_job(lane, known)
            lane.wait_for(job_id).finish(success=True, before={"base64": "AAAA"})
            answer = waiting.result()
            assert (answer.status_code, answer.json()["before"]) == (200, {"base64": "AAAA"})
            assert server.job(job_id)["result"]["before"] == {}
    refused = preview({"type": "filters", "params": {"contrast": 99}})
    assert (refused.status_code, refused.json()["detail"][:37]) == (400, "operations[0].params.contrast must be")


def test_previews_leave_a_place_of_the_light_lane_to_others(server: LocalServer, light: HeldBackend) -> None:
    """Those that are too many let others pass, and run in their turn."""
    body = {**CLIP, "operations": [{"type": "filters"}]}
    with ThreadPoolExecutor() as pool:
        previews = [pool.submit(server.post, PREVIEW, body) for _ in range(5)]
        assert eventually(lambda: (len(light.held), server.get("/health").json()["jobs_queued"]) == (3, 2))
        running = list(light.held)

        for job_id in [server.start_job(ANALYZE, CLIP) for _ in range(2)]:
            light.wait_for(job_id).finish(success=True)
            assert server.wait_for(job_id)["state"] == "completed"
            assert server.get("/health").json()["jobs_queued"] == 2

        known = set(light.held)
        for job_id in running[:2]:
            light.held[job_id].finish(success=True)
        assert eventually(lambda: len(set(light.held) - known) == 2)
        for job_id in set(light.held) - known | {running[2]}:
            light.held[job_id].finish(success=True)
        assert {each.result().status_code for each in previews} == {200}


def test_a_preview_cannot_be_repeated_by_its_key(server: LocalServer) -> None:
    """Its images are not kept."""
    body = {**CLIP, "operations": [{"type": "filters"}]}

    answer = server.post(PREVIEW, body, headers={"Idempotency-Key": "k"})

    assert answer.status_code == 400
    assert answer.json()["detail"] == "This route does not support Idempotency-Key."


def test_a_full_queue_of_heavy_jobs_refuses_no_light_one(tmp_path: Path, backend: HeldBackend) -> None:
    """Each lane has its own limit."""
    with server_in_thread(tmp_path, backend, HeldBackend(), max_queued_jobs=1) as server:
        backend.wait_for(server.start_job(LOOP, CLIP))
        server.start_job(LOOP, CLIP)
        assert server.post(LOOP, CLIP).status_code == 429
        server.start_job(ANALYZE, CLIP)


def test_slow_sources_in_the_light_lane_block_no_presets(server: LocalServer, light: HeldBackend) -> None:
    """With more saves than slots, presets and folders are answered at once."""
    ids = [server.start_job("/postprocess/save", CLIP) for _ in range(20)]
    for job_id in ids[:4]:
        light.wait_for(job_id)
    assert server.get("/workflow/presets").status_code == 200
    assert server.get("/frames/folders").status_code == 200
    assert len(light.held) == 4


def test_of_several_jobs_only_the_one_that_kills_a_worker_alone_is_blamed(
    server: LocalServer, light: HeldBackend
) -> None:
    """A death with several jobs counts for none; each of them then runs alone, so that one is found."""
    guilty, other = server.start_job(ANALYZE, CLIP), server.start_job(ANALYZE, CLIP)
    for job_id in (guilty, other):
        light.wait_for(job_id).lose(suspects=2)
    for attempt in (2, 3, 4):
        light.wait_for(guilty, attempt=attempt).lose(suspects=1)
        assert light.held[other].attempt == 1
    ended = server.wait_for(guilty)
    assert ended["result"]["error"] == "The worker died 3 times while it ran this job."
    light.wait_for(other, attempt=2).finish(success=True)
    assert server.wait_for(other)["state"] == "completed"
    records = JobRecords(server.server.runtime.storage)
    assert (records.read(guilty).worker_deaths, records.read(other).worker_deaths) == (3, 0)


def test_other_jobs_go_on_in_the_pauses(
    server: LocalServer, backend: HeldBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that killed its worker waits and says so, while the next one runs."""
    monkeypatch.setattr("framepack.jobs.runner._DEATH_PAUSES", (3600.0, 3600.0))
    killer, other = server.start_job(LOOP, CLIP), server.start_job(LOOP, CLIP)
    backend.wait_for(killer).lose()
    backend.wait_for(other).finish(success=True)
    assert server.wait_for(other)["state"] == "completed"
    waiting = server.job(killer)
    assert (waiting["state"], "starts again in 3600 s" in waiting["waiting_for"]) == ("queued", True)
    assert server.delete(f"/jobs/{killer}").json()["state"] == "cancelled"


def test_a_job_whose_start_cannot_be_stored_waits_for_the_store(
    server: LocalServer, backend: HeldBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is away is not held against the job."""
    save = JobRecords.save

    def fail(records: JobRecords, record: JobRecord) -> None:
        if record.state is State.RUNNING:
            raise StorageFailed("The store does not answer.")
        save(records, record)

    with monkeypatch.context() as patch:
        patch.setattr(JobRecords, "save", fail)
        job_id = server.start_job(LOOP, CLIP)
        assert eventually(lambda: server.job(job_id).get("waiting_for") == "The store does not answer.")
    backend.wait_for(job_id).finish(success=True)
    assert server.wait_for(job_id)["state"] == "completed"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A short clip, as base64."""
    return inline(make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", Spec(count=5)))


def queued_then_stopped(server: RestServer, clip: str, count: int) -> list[str]:
    """Queue jobs, and stop the server before they are run."""
    server.environment["FRAMEPACK_SHUTDOWN_GRACE_SECONDS"] = "0"
    server.start()
    ids = [server.start_job(LOOP, {"video_base64": clip}) for _ in range(count)]
    server.stop()
    return [job_id for job_id in ids if not stored_end(server, job_id)]


def stored_end(server: RestServer, job_id: str) -> Any:
    """When a job of a server that is gone has ended; None if it has not."""
    return json.loads((server.outputs / "state" / "jobs" / f"{job_id}.json").read_text())["ended"]


def test_a_restart_with_a_broken_worker_loses_no_job(tmp_path: Path, clip: str) -> None:
    """Five queued jobs outlive a server whose working folder is a typo, and run when it is corrected."""
    server = RestServer(tmp_path)
    left = queued_then_stopped(server, clip, 5)
    assert left
    right = server.environment["FRAMEPACK_TEMP_DIR"]
    server.environment["FRAMEPACK_TEMP_DIR"] = "/proc/xx"
    server.start(ready=False)
    try:
        assert eventually(lambda: server.answers({503}))
        for job_id in left:
            view = server.job(job_id)
            assert (view["state"], "FRAMEPACK_TEMP_DIR" in view["waiting_for"]) == ("queued", True)
        assert server.post(LOOP, {"video_base64": clip}).status_code == 503
        assert "FRAMEPACK_TEMP_DIR" in server.get("/health").json()["problem"]
        server.stop()
        server.environment["FRAMEPACK_TEMP_DIR"] = right
        server.start()
        for job_id in left:
            assert server.wait_for(job_id)["state"] == "completed"
    finally:
        server.stop()


@pytest.mark.slow
def test_a_bucket_that_is_away_when_the_worker_starts_again_loses_no_job(tmp_path: Path, clip: str) -> None:
    """The worker dies while the bucket does not answer: jobs wait, new ones are refused, and all complete later."""
    with s3_server(tmp_path) as s3, s3_proxy(s3.endpoint_url) as proxy:
        server = RestServer(tmp_path, storage=f"s3://{s3.make_bucket()}/deep")
        server.environment |= {
            "BUCKET_ENDPOINT_URL": proxy.endpoint_url,
            "BUCKET_ACCESS_KEY_ID": s3.access_key,
            "BUCKET_SECRET_ACCESS_KEY": s3.secret_key,
        }
        with server:
            worker = server.worker
            assert worker is not None
            worker.suspend()
            ids = [server.start_job(LOOP, {"video_base64": clip}) for _ in range(5)]
            proxy.before = lambda _request: True
            worker.kill()
            assert eventually(lambda: server.answers({503}))
            for job_id in ids:
                view = server.job(job_id)
                assert view["state"] in {"queued", "running"}
                assert view["waiting_for"]
            assert server.post(LOOP, {"video_base64": clip}).status_code == 503
            proxy.before = lambda _request: None
            for job_id in ids:
                assert server.wait_for(job_id)["state"] == "completed"


def test_analyze_is_answered_while_the_worker_computes(tmp_path: Path, clip: str) -> None:
    """Real processes: an upscale of minutes runs on, and a second process without torch answers."""
    with RestServer(tmp_path) as server:
        assert len(psutil.Process(server.pid).children()) == 1, "the second process starts when it is needed"
        slow = {"model": "RealESRGAN_x4plus", "scale_factor": 4.0, "video_base64": clip}
        job_id = server.start_job("/postprocess/upscale", slow)
        answer = server.post(ANALYZE, {"video_base64": clip})
        assert (answer.status_code, answer.json()["analysis"]["total_frames"]) == (200, 5)
        assert server.post("/postprocess/save", {"video_base64": clip}).status_code == 200
        assert server.job(job_id)["state"] == "running"
        assert server.get("/health").json()["light_worker"] == "ready"
        server.delete(f"/jobs/{job_id}")
