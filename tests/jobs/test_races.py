"""Jobs when things happen at once, when the store fails, and when several servers share one."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from framepack.errors import StorageFailed
from framepack.jobs.heartbeat import Heartbeat
from framepack.jobs.records import JobRecord, JobRecords, State, now
from framepack.storage.keys import Key
from framepack.storage.local import LocalStorage
from tests.support.http_server import Answer as HttpAnswer
from tests.support.http_server import HttpServer
from tests.support.rest_server import HeldBackend, LocalServer, eventually, server_in_thread

CLIP = {"video_base64": "AAAA"}
LOOP = "/postprocess/loop"


@pytest.fixture
def receiver() -> Iterator[HttpServer]:
    """A webhook receiver."""
    with HttpServer(lambda _received: HttpAnswer(200)) as running:
        yield running


def records_in(folder: Path) -> JobRecords:
    """The jobs in a server's store."""
    return JobRecords(LocalStorage(folder / "outputs"))


def left_over(records: JobRecords, job_id: str, **values: Any) -> JobRecord:
    """Put a job into the store as a server that is gone left it."""
    record = JobRecord(id=job_id, operation="loop", state=State.QUEUED, created=now()).with_changes(**values)
    records.save_input(job_id, CLIP)
    records.save(record)
    return record


def inputs(folder: Path) -> list[str]:
    """The jobs whose input is still kept."""
    return sorted(path.stem for path in (folder / "outputs" / "state" / "job_inputs").glob("*.json"))


def callbacks_of(receiver: HttpServer) -> list[dict[str, Any]]:
    """What the receiver got."""
    return [json.loads(request.body) for request in receiver.requests]


class Slow:
    """Lets writes of records wait for ``go``, and tells by ``waiting`` that one does."""

    def __init__(self, server: LocalServer, monkeypatch: pytest.MonkeyPatch, state: State) -> None:
        self.go, self.waiting = threading.Event(), threading.Event()
        save = JobRecords.save

        def slow(records: JobRecords, record: JobRecord) -> None:
            if record.state is state:
                self.waiting.set()
                assert self.go.wait(60)
            save(records, record)

        monkeypatch.setattr(JobRecords, "save", slow)


def test_a_cancel_is_refused_while_the_end_of_the_job_is_written(
    server: LocalServer, backend: HeldBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client gets 409, and the result stays available."""
    job_id = server.start_job(LOOP, CLIP)
    slow = Slow(server, monkeypatch, State.COMPLETED)
    backend.wait_for(job_id).finish(success=True, message="done")
    assert slow.waiting.wait(60)
    with ThreadPoolExecutor() as pool:
        cancelling = pool.submit(server.delete, f"/jobs/{job_id}")
        slow.go.set()
        assert cancelling.result().status_code == 409
    assert server.wait_for(job_id)["result"]["message"] == "done"
    assert server.post(LOOP, CLIP, headers={"Prefer": "respond-async"}).status_code == 202


def test_a_job_cancelled_while_its_start_is_recorded_stays_cancelled(
    server: LocalServer, backend: HeldBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The record with "running" does not overwrite the one with "cancelled"."""
    slow = Slow(server, monkeypatch, State.RUNNING)
    job_id = server.start_job(LOOP, CLIP)
    assert slow.waiting.wait(60)
    with ThreadPoolExecutor() as pool:
        cancelling = pool.submit(server.delete, f"/jobs/{job_id}")
        assert eventually(lambda: all(job.is_cancelled for job in server.server.jobs._active.all()))
        slow.go.set()
        assert cancelling.result().json()["state"] == "cancelled"
    assert records_in(tmp_path).read(job_id).state is State.CANCELLED
    assert job_id not in backend.held


def test_a_queued_job_does_not_start_while_its_cancel_is_written(
    server: LocalServer, backend: HeldBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker may become free while the record is being written."""
    first, second = server.start_job(LOOP, CLIP), server.start_job(LOOP, CLIP)
    backend.wait_for(first)
    slow = Slow(server, monkeypatch, State.CANCELLED)
    with ThreadPoolExecutor() as pool:
        cancelling = [pool.submit(server.delete, f"/jobs/{second}") for _ in range(2)]
        assert slow.waiting.wait(60)
        backend.held[first].finish()
        third = server.start_job(LOOP, CLIP)
        backend.wait_for(third).finish()
        slow.go.set()
        assert [each.result().json()["state"] for each in cancelling] == ["cancelled"] * 2
    assert second not in backend.held


def test_a_cancelled_job_whose_worker_dies_is_not_run_again(server: LocalServer, backend: HeldBackend) -> None:
    """Here the worker dies because of the cancellation."""
    backend.loses_when_cancelled = True
    job_id = server.start_job(LOOP, CLIP)
    backend.wait_for(job_id)
    assert server.delete(f"/jobs/{job_id}").json()["state"] == "cancelled"
    assert backend.held[job_id].attempt == 1


def test_a_job_cancelled_while_queued_sends_one_callback(
    server: LocalServer, backend: HeldBackend, receiver: HttpServer
) -> None:
    """No worker has run it, so the server sends the callback."""
    server.start_job(LOOP, CLIP)
    waiting = server.post(LOOP, {**CLIP, "callback_url": f"{receiver.url}/hook"}).json()["job_id"]
    assert server.delete(f"/jobs/{waiting}").status_code == 200
    assert eventually(lambda: receiver.requests)
    (body,) = callbacks_of(receiver)
    assert (body["operation"], body["success"], body["error"]) == ("loop", False, "The job was cancelled.")


def test_a_job_whose_worker_died_three_times_sends_its_callback(
    server: LocalServer,
    backend: HeldBackend,
    receiver: HttpServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The stored input is deleted after that."""
    monkeypatch.setattr("framepack.jobs.runner._DEATH_PAUSES", (0.0, 0.0))
    monkeypatch.setattr("framepack.jobs.runner._JUDGE_SECONDS", 0.0)
    job_id = server.post(LOOP, {**CLIP, "callback_url": f"{receiver.url}/hook"}).json()["job_id"]
    backend.wait_for(job_id).lose()
    backend.wait_for(job_id, attempt=2).lose()
    backend.wait_for(job_id, attempt=3).lose()
    assert server.wait_for(job_id)["result"]["status"] == 503
    assert eventually(lambda: not inputs(tmp_path) and receiver.requests)
    (body,) = callbacks_of(receiver)
    assert body["error"] == "The worker died 3 times while it ran this job."


def test_a_job_is_refused_when_its_record_cannot_be_written(
    server: LocalServer, backend: HeldBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It leaves nothing in the store, and the next job is accepted."""

    def fail(_records: JobRecords, _record: JobRecord) -> None:
        raise StorageFailed("The store failed.")

    with monkeypatch.context() as patch:
        patch.setattr(JobRecords, "save", fail)
        answer = server.post(LOOP, CLIP, headers={"Idempotency-Key": "k"})
        assert (answer.status_code, answer.json()["code"]) == (502, "storage_failed")
        assert inputs(tmp_path) == []
    assert server.get("/health").json()["jobs_queued"] == 0
    job_id = server.start_job(LOOP, CLIP, **{"Idempotency-Key": "k"})
    backend.wait_for(job_id).finish()
    assert server.wait_for(job_id)["state"] == "completed"


def test_an_end_that_could_not_be_recorded_is_recorded_when_the_store_is_back(
    server: LocalServer, backend: HeldBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The client gets its answer although the store fails."""
    job_id = server.start_job(LOOP, CLIP)
    held = backend.wait_for(job_id)

    def fail(_records: JobRecords, _job_id: str, _answer: object) -> None:
        raise StorageFailed("The store failed.")

    with monkeypatch.context() as patch:
        patch.setattr(JobRecords, "save_result", fail)
        held.finish(success=True, message="done")
        assert server.wait_for(job_id)["state"] == "completed"
        assert records_in(tmp_path).read(job_id).state is State.RUNNING
    maintain(server)
    assert records_in(tmp_path).read(job_id).state is State.COMPLETED
    assert server.job(job_id)["result"]["message"] == "done"
    assert eventually(lambda: not inputs(tmp_path))


def maintain(server: LocalServer) -> None:
    """Let the server do now what it does every now and then."""
    asyncio.run_coroutine_threadsafe(server.server.jobs._maintain(), server.loop).result(60)


def test_a_new_server_resumes_unfinished_jobs_oldest_first(tmp_path: Path) -> None:
    """It deletes the input of a job that has ended, and skips damaged records."""
    records = records_in(tmp_path)
    left_over(records, "b" * 32, created=now() - timedelta(minutes=1))
    left_over(records, "a" * 32, owner="gone", state=State.RUNNING, attempts=1)
    left_over(records, "c" * 32, owner="gone", state=State.COMPLETED, ended=now())
    for folder, name in (("jobs", "d"), ("job_inputs", "d"), ("job_inputs", "e"), ("servers", "f")):
        records.storage.put_bytes(Key(f"state/{folder}/{name * 32}.json"), b"{broken")
    left_over(records, "f" * 32, owner="f" * 32, created=now() + timedelta(minutes=1))
    backend = HeldBackend()
    with server_in_thread(tmp_path, backend) as server:
        for name, attempts in (("b", 1), ("a", 2)):
            backend.wait_for(name * 32).finish(success=True, message=name)
            assert server.wait_for(name * 32)["result"]["message"] == name
            assert records.read(name * 32).attempts == attempts
        assert list(backend.held) == ["b" * 32, "a" * 32]
        assert eventually(lambda: inputs(tmp_path) == ["d" * 32, "e" * 32, "f" * 32])
        assert server.get("/jobs").status_code == 200
        assert server.get(f"/jobs/{'d' * 32}").status_code == 404


def test_deaths_of_servers_do_not_count_against_a_job(tmp_path: Path) -> None:
    """After many of them, the job lets others go first and says so."""
    records = records_in(tmp_path)
    left_over(records, "a" * 32, owner="gone", state=State.RUNNING, attempts=2)
    left_over(records, "b" * 32, owner="gone", state=State.RUNNING, attempts=9)
    left_over(records, "c" * 32, owner="gone", created=now() + timedelta(minutes=1))
    backend = HeldBackend()
    with server_in_thread(tmp_path, backend) as server:
        for name in "ac":
            backend.wait_for(name * 32).finish(success=True, message=name)
            assert server.wait_for(name * 32)["state"] == "completed"
        waiting = server.job("b" * 32)
        assert (waiting["state"], "died 9 times" in waiting["waiting_for"]) == ("queued", True)
        assert "b" * 32 not in backend.held
        assert server.delete(f"/jobs/{'b' * 32}").json()["state"] == "cancelled"


def test_a_job_that_25_servers_died_with_is_not_run_again(
    tmp_path: Path, receiver: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails, and its receiver is told, instead of killing another."""
    monkeypatch.setattr("framepack.jobs.runner._MAX_PAUSE_SECONDS", 0.0)
    records = records_in(tmp_path)
    left_over(records, "a" * 32, owner="gone", state=State.RUNNING, attempts=25)
    records.save_input("a" * 32, {**CLIP, "callback_url": f"{receiver.url}/hook"})
    with server_in_thread(tmp_path, HeldBackend()) as server:
        assert server.wait_for("a" * 32)["result"]["code"] == "unavailable"
        assert eventually(lambda: receiver.requests)


def test_a_pending_callback_is_delivered_by_the_next_server(tmp_path: Path, receiver: HttpServer) -> None:
    """The first server died between recording the end and sending the callback."""
    records = records_in(tmp_path)
    left_over(records, "a" * 32, owner="gone", state=State.CANCELLED, ended=now(), callback_pending=True)
    records.save_input("a" * 32, {**CLIP, "callback_url": f"{receiver.url}/hook"})
    records.save_result("a" * 32, {"error": "The job was cancelled.", "code": "cancelled", "status": 409})
    with server_in_thread(tmp_path, HeldBackend()):
        assert eventually(lambda: not inputs(tmp_path))
        assert eventually(lambda: receiver.requests)
    (body,) = callbacks_of(receiver)
    assert (body["error"], body["code"]) == ("The job was cancelled.", "cancelled")
    assert body["job_id"] == "a" * 32
    assert receiver.requests[0].headers["webhook-id"].startswith(f"msg_{'a' * 32}_")


def test_a_job_of_a_living_server_is_left_to_it(tmp_path: Path) -> None:
    """Another server on the same store shows its state and waits for it, but does not cancel or run it."""
    first, second = HeldBackend(), HeldBackend()
    with server_in_thread(tmp_path, first) as one, server_in_thread(tmp_path, second) as other:
        headers = {"Idempotency-Key": "k"}
        job_id = one.start_job(LOOP, CLIP, **headers)
        held = first.wait_for(job_id)
        maintain(other)
        assert other.job(job_id)["state"] == "running"
        refused = other.delete(f"/jobs/{job_id}")
        assert (refused.status_code, refused.json()["detail"]) == (409, "This job is managed by another server.")
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(other.post, LOOP, CLIP, headers=headers)
            held.finish(success=True, message="done")
            assert waiting.result().json() == {"success": True, "message": "done"}
        assert second.held == {}


def test_jobs_of_a_stopped_server_are_taken_over_by_another(tmp_path: Path) -> None:
    """This includes running and queued jobs. The interrupted attempt is not counted."""
    first, second = HeldBackend(), HeldBackend()
    with server_in_thread(tmp_path, second) as other:
        with server_in_thread(tmp_path, first) as one:
            running, waiting = one.start_job(LOOP, CLIP), one.start_job(LOOP, CLIP)
            first.wait_for(running)
        assert first.cancelled == [running]
        maintain(other)
        for job_id in (running, waiting):
            second.wait_for(job_id).finish()
            other.wait_for(job_id)
        assert records_in(tmp_path).read(running).attempts == 1
    assert not list((tmp_path / "outputs" / "state" / "servers").glob("*"))


def test_only_one_of_two_servers_resumes_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both find it at the same time."""
    monkeypatch.setattr("framepack.jobs.queue._CLAIM_SECONDS", 0.5)
    backends = HeldBackend(), HeldBackend()
    with server_in_thread(tmp_path, backends[0]) as one, server_in_thread(tmp_path, backends[1]) as other:
        for number in range(5):
            left_over(records_in(tmp_path), f"{number}" * 32)
        with ThreadPoolExecutor() as pool:
            list(pool.map(maintain, (one, other)))
        for number in range(5):
            job_id = f"{number}" * 32
            assert eventually(lambda job_id=job_id: any(job_id in each.held for each in backends))  # type: ignore[misc]
            next(each for each in backends if job_id in each.held).held[job_id].finish()
            one.wait_for(job_id)
        assert sum(len(each.held) for each in backends) == 5


def test_a_running_job_may_end_while_the_server_stops(server: LocalServer, backend: HeldBackend) -> None:
    """New jobs are refused and /ping is 503, but the running job ends and its client gets the answer."""
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(server.post, LOOP, CLIP)
        assert eventually(lambda: backend.held)
        (job_id,) = backend.held
        following = pool.submit(lambda: list(server.events(job_id)))
        stopping = asyncio.run_coroutine_threadsafe(server.server.jobs.stop(60), server.loop)
        assert eventually(lambda: server.get("/ping").status_code == 503)
        refused = server.post(LOOP, CLIP)
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert int(refused.headers["Retry-After"]) > 0
        backend.held[job_id].finish(success=True, message="just in time")
        assert asking.result().json()["message"] == "just in time"
        assert following.result()[-1][0] == "end"
        stopping.result(60)


def test_clients_of_an_unfinished_job_get_503_when_the_server_stops(
    server: LocalServer, backend: HeldBackend
) -> None:
    """The message names the URL of the job, and event streams are closed."""
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(server.post, LOOP, CLIP)
        assert eventually(lambda: backend.held)
        (job_id,) = backend.held
        waiting = server.start_job(LOOP, CLIP)
        following = [pool.submit(lambda each=each: list(server.events(each))) for each in (job_id, waiting)]  # type: ignore[misc]
        asyncio.run_coroutine_threadsafe(server.server.jobs.stop(0), server.loop).result(60)
        told = asking.result()
        assert told.status_code == 503
        assert f"GET /jobs/{job_id}" in told.json()["detail"]
        assert all(name == "progress" for each in following for name, _ in each.result())


def test_jobs_older_than_the_retention_are_removed(tmp_path: Path) -> None:
    """Inputs without a job are removed, too."""
    records = records_in(tmp_path)
    long_ago = now() - timedelta(hours=30)
    left_over(records, "a" * 32, state=State.COMPLETED, ended=long_ago)
    records.save_result("a" * 32, {"success": True})
    left_over(records, "b" * 32, state=State.COMPLETED, ended=now())
    records.save_input("c" * 32, CLIP)
    for path in (tmp_path / "outputs" / "state").rglob("*.json"):
        if path.stem[0] in "ac":
            os.utime(path, (long_ago.timestamp(), long_ago.timestamp()))
    with server_in_thread(tmp_path, HeldBackend()) as server:
        assert server.get(f"/jobs/{'a' * 32}").status_code == 404
        assert server.get(f"/jobs/{'b' * 32}").status_code == 200
        assert eventually(lambda: inputs(tmp_path) == [])
    left = {path.stem for path in (tmp_path / "outputs" / "state").glob("job*/*.json")}
    assert left == {"b" * 32}


def test_a_result_larger_than_a_record_is_kept(server: LocalServer, backend: HeldBackend) -> None:
    """It can be read after the job has ended."""
    job_id = server.start_job(LOOP, CLIP)
    frames = [f"frame_{number:06}.png" for number in range(10_000)]
    backend.wait_for(job_id).finish(success=True, frames=frames)
    assert server.wait_for(job_id)["result"]["frames"] == frames


def test_only_the_newest_results_are_kept_in_memory(server: LocalServer, backend: HeldBackend) -> None:
    """Older ones are read from the store."""
    ids = []
    for number in range(20):
        ids.append(server.start_job(LOOP, CLIP))
        backend.wait_for(ids[-1]).finish(success=True, number=number)
        server.wait_for(ids[-1])
    assert len(server.server.jobs._active.all()) <= 9
    assert [server.job(job_id)["result"]["number"] for job_id in ids] == list(range(20))


def test_a_server_without_a_recent_heartbeat_is_dead(tmp_path: Path) -> None:
    """Age is measured by the store's clock. A server on an unknown host is not dead while its heartbeat is recent."""
    storage = LocalStorage(tmp_path)
    ours, other = Heartbeat(storage), Heartbeat(storage)
    ours.renew()
    assert ours.is_dead(other.server_id)
    assert ours.is_dead(None)
    other.renew()
    assert not ours.is_dead(other.server_id)
    assert not ours.is_only_server()
    elsewhere = Key(f"state/servers/{other.server_id}.json")
    storage.put_bytes(elsewhere, b'{"process": "another host 1 2.00", "pid": 1}')
    assert not ours.is_dead(other.server_id)
    sign = json.loads(storage.read(Key(f"state/servers/{ours.server_id}.json")))
    sign["process"] = sign["process"].rpartition(" ")[0] + " 1.00"
    storage.put_bytes(elsewhere, json.dumps(sign).encode())
    assert ours.is_dead(other.server_id), "another process has its number now"
