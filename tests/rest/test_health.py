"""``/health`` and ``/ping``: quick, open, and true while everything else is busy."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from framepack import __version__
from framepack.errors import StorageFailed
from framepack.jobs.backends.base import Readiness
from framepack.jobs.backends.worker_process import device_fields
from framepack.jobs.records import JobRecords
from framepack.models.device_check import DeviceReport
from tests.support.rest_server import HeldBackend, LocalServer, eventually, server_in_thread

LOOP = "/postprocess/loop"
CLIP = {"video_base64": "AAAA"}


def test_health_reports_worker_jobs_and_version(server: LocalServer, backend: HeldBackend) -> None:
    """This needs no key."""
    first = server.start_job(LOOP, CLIP)
    server.start_job(LOOP, CLIP)
    backend.wait_for(first)
    assert server.get("/health", headers={"X-API-Key": None}).json() == {
        "status": "ok",
        "worker": "ready",
        "light_worker": "ready",
        "problem": None,
        "device": None,
        "backend": "local",
        "jobs_queued": 1,
        "jobs_running": 1,
        "version": __version__,
    }


@pytest.mark.parametrize(
    ("readiness", "status"), [(Readiness.STARTING, 204), (Readiness.READY, 200), (Readiness.BROKEN, 503)]
)
def test_the_status_of_ping_is_the_readiness_of_the_worker(
    server: LocalServer, backend: HeldBackend, readiness: Readiness, status: int
) -> None:
    """204: starting; 200: ready; 503: it cannot start. It needs no key and has no body."""
    backend.readiness = readiness
    answer = server.get("/ping", headers={"X-API-Key": None})
    assert (answer.status_code, answer.content) == (status, b"")
    assert server.get("/health").json()["worker"] == readiness.value


def test_health_shows_the_problem_of_a_broken_worker_only_with_a_key(
    server: LocalServer, backend: HeldBackend
) -> None:
    """The problem may name folders and settings. A solved problem is not shown."""
    backend.problem = "The store file:/outputs cannot be written."
    assert server.get("/health").json()["problem"] is None

    backend.readiness = Readiness.BROKEN
    assert server.get("/health").json()["problem"] == backend.problem
    for key in (None, "wrong"):
        health = server.get("/health", headers={"X-API-Key": key}).json()
        assert health["problem"] == "The worker cannot run jobs. Send an API key to see the reason."


def test_ready_is_503_until_the_worker_is_ready(server: LocalServer, backend: HeldBackend) -> None:
    """200 only if the worker is ready; otherwise 503 with the reason, for those with a key."""
    assert server.get("/ready").json() == {"ready": True}
    for readiness, problem, words in (
        (Readiness.STARTING, None, "The worker is starting."),
        (Readiness.BROKEN, None, "The worker could not be started; see the server's log."),
        (Readiness.BROKEN, "The disk is full.", "The disk is full."),
    ):
        backend.readiness, backend.problem = readiness, problem
        answer = server.get("/ready")
        assert (answer.status_code, answer.json()) == (503, {"detail": words, "code": "unavailable"})
        hidden = server.get("/ready", headers={"X-API-Key": None})
        assert (hidden.status_code, words in hidden.text) == (503, False)


def test_health_reports_the_device(server: LocalServer, backend: HeldBackend) -> None:
    """The worker reports it."""
    backend.device = device_fields(
        DeviceReport("cuda:0", "NVIDIA L4", "8.9", 24 << 30, driver="580.65.06", cuda="13.2")
    )

    assert server.get("/health", headers={"X-API-Key": None}).json()["device"] == {
        "device": "cuda:0",
        "name": "NVIDIA L4",
        "capability": "8.9",
        "memory_gb": 24.0,
        "driver": "580.65.06",
    }


def test_health_is_answered_while_the_store_hangs(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Store operations do not block the event loop."""
    calls = []

    def hang(_records: JobRecords, job_id: str) -> None:
        calls.append(job_id)
        while len(calls) < 2:
            time.sleep(0.01)

    monkeypatch.setattr(JobRecords, "read", hang)
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(server.get("/jobs/one").status_code))
    thread.start()
    assert eventually(lambda: calls)
    assert server.get("/health").status_code == 200
    assert answers == []
    calls.append("go on")
    thread.join()


def test_a_server_starts_while_its_store_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It resumes unfinished jobs when the store works again."""

    def fail(_records: JobRecords) -> None:
        raise StorageFailed("The store failed.")

    monkeypatch.setattr(JobRecords, "unfinished", fail)
    with server_in_thread(tmp_path, HeldBackend()) as server:
        assert server.get("/health").status_code == 200
