"""``/metrics``: what Prometheus gets."""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from framepack.jobs.backends.base import Readiness
from tests.support.control_plane import ROOT
from tests.support.rest_server import HeldBackend, LocalServer, server_in_thread

LOOP = "/postprocess/loop"
CLIP = {"video_base64": "AAAA"}


@pytest.fixture
def backend() -> HeldBackend:
    """A backend that holds one job at a time, with figures of its worker."""
    statistics = {"model_loads": 3, "models_loaded": 2, "memory_bytes": 5_000_000}
    return HeldBackend(statistics={**statistics, "gpu_used_bytes": 1 << 30, "gpu_total_bytes": 1 << 34})


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
    assert (seen["framepack_gpu_memory_used_bytes"], seen["framepack_gpu_memory_bytes"]) == (1 << 30, 1 << 34)


def test_figures_of_a_worker_that_has_reported_none_are_missing(server: LocalServer, backend: HeldBackend) -> None:
    """Zero bytes of a GPU would be a false figure."""
    backend.statistics = {}
    assert not [name for name in figures(server) if name.startswith(("framepack_gpu", "framepack_worker_m"))]


@pytest.mark.parametrize(
    ("readiness", "ready"), [(Readiness.STARTING, 0), (Readiness.READY, 1), (Readiness.BROKEN, 0)]
)
def test_readiness_and_restarts_of_each_lane_are_shown(
    server: LocalServer, backend: HeldBackend, readiness: Readiness, ready: int
) -> None:
    """Readiness is that of /ready; the light lane has its own."""
    backend.readiness, backend.restarts = readiness, 3
    seen = figures(server)
    assert (server.get("/ready").status_code == 200) == bool(ready)
    assert seen["framepack_ready"] == seen['framepack_worker_ready{lane="worker"}'] == ready
    assert seen['framepack_worker_ready{lane="light"}'] == 1
    assert seen['framepack_worker_restarts_total{lane="worker"}'] == 3
    assert seen['framepack_worker_restarts_total{lane="light"}'] == 0


def test_failed_jobs_are_counted_by_error_code(server: LocalServer, backend: HeldBackend) -> None:
    """A code that is none of ours shares one series with others; a cancelled job has not failed."""
    for code in ("source_failed", "source_failed", "of_a_stranger", "cancelled"):
        job = server.start_job(LOOP, CLIP)
        backend.wait_for(job).finish(error="No.", code=code, status=502)
        server.wait_for(job)
    errors = {name: value for name, value in figures(server).items() if name.startswith("framepack_job_errors_total")}
    assert errors == {
        'framepack_job_errors_total{code="source_failed",operation="loop"}': 2,
        'framepack_job_errors_total{code="other",operation="loop"}': 1,
    }


def test_waiting_jobs_show_their_age_and_their_wait_when_they_start(
    server: LocalServer, backend: HeldBackend
) -> None:
    """A job that is tried again does not start for the first time, so its wait is counted once."""
    count, total = (f'framepack_job_wait_seconds_{name}{{lane="worker"}}' for name in ("count", "sum"))
    assert figures(server)["framepack_jobs_oldest_queued_seconds"] == 0
    running, waiting = server.start_job(LOOP, CLIP), server.start_job(LOOP, CLIP)
    backend.wait_for(running)
    first, before = figures(server), figures(server)["framepack_jobs_oldest_queued_seconds"]
    assert 0 < first["framepack_jobs_oldest_queued_seconds"] < before
    assert first[count] == 1

    backend.held[running].finish()
    backend.wait_for(waiting).lose(suspects=0)
    backend.wait_for(waiting, attempt=2).finish()
    job = server.wait_for(waiting)
    seen = figures(server)
    assert seen[count] == 2
    assert (
        before
        < seen[total]
        <= sum(
            (datetime.fromisoformat(each["ended"]) - datetime.fromisoformat(each["created"])).total_seconds()
            for each in (job, server.job(running))
        )
    )
    assert seen["framepack_jobs_oldest_queued_seconds"] == 0


def test_free_space_is_that_of_the_working_folder(server: LocalServer, tmp_path: Path) -> None:
    """Measured independently; other processes write to the same disk. Without the folder there is no figure."""
    (tmp_path / "temp").mkdir(exist_ok=True)
    disk = os.statvfs(tmp_path / "temp")
    assert figures(server)["framepack_temp_free_bytes"] == pytest.approx(disk.f_bavail * disk.f_frsize, rel=0.05)
    shutil.rmtree(tmp_path / "temp")
    assert "framepack_temp_free_bytes" not in figures(server)


def test_metrics_need_no_store(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read while it is away. Other threads of the server go on to use it."""
    calls, this_thread, storage = list[str](), threading.current_thread(), type(server.server.runtime.storage)

    def watched(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if threading.current_thread() is this_thread:
                calls.append(original.__name__)
            return original(*arguments, **named)

        return call

    for name, each in vars(storage).items():
        if isinstance(each, FunctionType):
            monkeypatch.setattr(storage, name, watched(each))
    server.server.metrics.render()
    assert calls == []
    server.server.jobs._records.newest(1)
    assert calls, "the store is watched"


def test_every_metric_is_declared_and_documented(server: LocalServer, backend: HeldBackend) -> None:
    """The types and descriptions of /metrics are those of docs/metrics.md, which is made from the declarations."""
    backend.wait_for(job := server.start_job(LOOP, CLIP)).finish()
    server.wait_for(job)
    lines = (ROOT / "docs" / "metrics.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| `framepack_")]
    documented = {name.strip("`").removesuffix("_total"): (kind, meaning) for name, kind, _, meaning in rows}
    labels = {name.strip("`").removesuffix("_total"): set(re.findall(r"\w+", cell)) for name, _, cell, _ in rows}

    families = list(text_string_to_metric_families(server.get("/metrics").text))
    ours = [each for each in families if each.name.startswith("framepack_") and not each.name.endswith("_created")]
    assert {each.name: (each.type, each.documentation) for each in ours} == documented
    for family in ours:
        assert all(set(sample.labels) - {"le"} == labels[family.name] for sample in family.samples), family.name


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
