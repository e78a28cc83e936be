"""``/metrics``: what Prometheus gets."""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.rest_server import HeldBackend, LocalServer, server_in_thread

LOOP = "/postprocess/loop"
CLIP = {"video_base64": "AAAA"}


@pytest.fixture
def backend() -> HeldBackend:
    """A backend that holds one job at a time, with figures of its worker."""
    return HeldBackend(statistics={"model_loads": 3, "models_loaded": 2, "memory_bytes": 5_000_000})


@pytest.fixture
def server(backend: HeldBackend, tmp_path: Path) -> Iterator[LocalServer]:
    """A server around it."""
    with server_in_thread(tmp_path, backend) as running:
        yield running


def figures(server: LocalServer) -> dict[str, float]:
    """All samples by name and labels."""
    answer = server.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_jobs_are_counted_by_operation_and_state(server: LocalServer, backend: HeldBackend) -> None:
    """There are also the frames of all jobs and the speed of the last one."""
    done = server.start_job(LOOP, CLIP)
    held = backend.wait_for(done)
    held.progress(frames_done=120, frames_total=120)
    held.finish()
    server.wait_for(done)
    failed = server.start_job(LOOP, CLIP)
    backend.wait_for(failed).finish(error="No.", code="bad_request", status=400)
    server.wait_for(failed)
    running, waiting = server.start_job(LOOP, CLIP), server.start_job(LOOP, CLIP)
    backend.wait_for(running)
    assert figures(server)["framepack_jobs_queued"] == figures(server)["framepack_jobs_running"] == 1
    server.delete(f"/jobs/{waiting}")
    seen = figures(server)
    ends = {name: value for name, value in seen.items() if name.startswith("framepack_jobs_total")}
    assert ends == {
        f'framepack_jobs_total{{operation="loop",state="{state}"}}': 1
        for state in ("completed", "failed", "cancelled")
    }
    assert seen['framepack_job_seconds_count{operation="loop"}'] == 2, "a job that never began took no time"
    assert seen['framepack_frames_total{operation="loop"}'] == 120
    assert seen['framepack_frames_per_second{operation="loop"}'] > 0


def test_metrics_show_loaded_models_and_memory_of_both_processes(server: LocalServer) -> None:
    """These are loads since the start, loaded models, and bytes."""
    seen = figures(server)
    assert seen["framepack_worker_model_loads"] == 3
    assert seen["framepack_worker_models_loaded"] == 2
    assert seen["framepack_worker_memory_bytes"] == 5_000_000
    assert seen["process_resident_memory_bytes"] > 1_000_000


def test_answers_are_counted_by_method_and_status(server: LocalServer) -> None:
    """Unknown methods share one series."""
    server.get("/filters/presets")
    server.get("/filters/presets", headers={"X-API-Key": None})
    for method in ("PROPFIND", "MKCOL", "REPORT"):
        server.ask(method, "/")
    names = {name: value for name, value in figures(server).items() if name.startswith("framepack_requests_total")}
    assert names['framepack_requests_total{method="GET",status="200"}'] >= 1
    assert names['framepack_requests_total{method="GET",status="401"}'] == 1
    strange = [name for name in names if not re.search('method="(GET|POST|DELETE)"', name)]
    assert len(strange) == 1
    assert 'method="other"' in strange[0]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(OSError(errno.ENOSPC, "full"), 507, "disk_full"), (RuntimeError("secret"), 500, "internal_error")],
)
def test_an_unexpected_error_is_logged_once_and_counted_with_its_status(
    server: LocalServer,
    error: Exception,
    status: int,
    code: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log line has the client's message."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(server.server.runtime, "run", fail)
    with caplog.at_level(logging.INFO, "framepack"):
        answer = server.get("/filters/presets")

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert figures(server)[f'framepack_requests_total{{method="GET",status="{status}"}}'] == 1
    [line] = [each for each in caplog.records if getattr(each, "path", None) == "/filters/presets"]
    assert (line.levelno, line.getMessage()) == (logging.WARNING, f"GET /filters/presets {status}")
    assert (vars(line)["code"], vars(line)["error"]) == (code, answer.json()["detail"])
    [traceback] = [each for each in caplog.records if each.exc_info]
    assert traceback.getMessage() == "a request failed unexpectedly"


def test_metrics_without_a_key_are_401(server: LocalServer) -> None:
    """Metrics reveal what a deployment does."""
    assert server.get("/metrics", headers={"X-API-Key": None}).status_code == 401
