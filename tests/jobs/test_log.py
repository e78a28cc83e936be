"""The server's log of jobs, and what it says to a person who starts it."""

from __future__ import annotations

import logging
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.control_plane import ROOT
from tests.support.rest_server import HeldBackend, LocalServer, RestServer, eventually, free_port, server_in_thread

CLIP = {"video_base64": "AAAA"}
LOOP = "/postprocess/loop"


@pytest.fixture
def backend() -> HeldBackend:
    """A backend that holds one job at a time and knows its device."""
    return HeldBackend(device={"device": "cuda:0"})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs whose worker died are run again at once."""
    monkeypatch.setattr("framepack.jobs.runner._DEATH_PAUSES", (0.0, 0.0))
    monkeypatch.setattr("framepack.jobs.runner._JUDGE_SECONDS", 0.0)


@pytest.fixture
def server(backend: HeldBackend, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[LocalServer]:
    """A server around it, whose log is kept."""
    caplog.set_level(logging.INFO, "framepack")
    with server_in_thread(tmp_path, backend) as running:
        yield running


def lines_of(caplog: pytest.LogCaptureFixture, job_id: str) -> list[dict[str, Any]]:
    """What the log says of a job, requests aside."""
    records = [vars(each) for each in caplog.records if getattr(each, "job_id", None) == job_id]
    return [each for each in records if "path" not in each]


def test_a_job_whose_worker_died_once_logs_both_starts_and_its_end(
    server: LocalServer, backend: HeldBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """The lines are both starts, the loss between them, and the end with all figures."""
    job_id = server.start_job(LOOP, CLIP)
    backend.wait_for(job_id).lose()
    held = backend.wait_for(job_id, attempt=2)
    held.progress(frames_done=24)
    held.finish(success=True, message="done", output_file_size=1000)
    server.wait_for(job_id)

    first, lost, second, end = lines_of(caplog, job_id)
    assert [each["levelname"] for each in (first, lost, second, end)] == ["INFO", "WARNING", "INFO", "INFO"]
    assert (first["message"], lost["message"], second["message"]) == (
        f"job {job_id}: loop started",
        f"job {job_id}: loop waits: The worker died while it ran this job; the job starts again in 0 s.",
        f"job {job_id}: loop started (attempt 2)",
    )
    assert (end["operation"], end["state"], end["attempts"], end["frames"]) == ("loop", "completed", 2, 24)
    assert (end["output_bytes"], end["device"]) == (1000, "cuda:0")
    assert end["run_seconds"] >= 0
    assert end["queued_seconds"] >= 0


def test_a_job_whose_worker_died_twice_ends_with_a_warning(
    server: LocalServer, backend: HeldBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """The last line has the number of attempts and the client's error message."""
    job_id = server.start_job(LOOP, CLIP)
    backend.wait_for(job_id).lose()
    backend.wait_for(job_id, attempt=2).lose()
    backend.wait_for(job_id, attempt=3).lose()
    server.wait_for(job_id)

    end = lines_of(caplog, job_id)[-1]
    assert (end["levelname"], end["state"], end["code"], end["attempts"]) == ("WARNING", "failed", "unavailable", 3)
    assert end["error"] == "The worker died 3 times while it ran this job."


def test_a_job_cancelled_while_queued_logs_only_its_end(
    server: LocalServer, backend: HeldBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """It never started, so it has no start line and no run time."""
    running, waiting = server.start_job(LOOP, CLIP), server.start_job(LOOP, CLIP)
    backend.wait_for(running)
    server.delete(f"/jobs/{waiting}")

    [end] = lines_of(caplog, waiting)
    assert (end["levelname"], end["state"], end["run_seconds"]) == ("INFO", "cancelled", None)
    assert end["queued_seconds"] >= 0


def test_on_a_terminal_the_server_shows_the_address_of_the_studio_with_the_generated_key(tmp_path: Path) -> None:
    """The lines are plain text, not JSON."""
    environment = {**RestServer(tmp_path).environment, "FRAMEPACK_API_KEYS": ""}
    port = free_port()
    parent, child = pty.openpty()
    os.set_blocking(parent, False)
    written = ""

    def says(words: str) -> bool:
        nonlocal written
        with suppress(BlockingIOError):
            written += os.read(parent, 100_000).decode()
        return words in written

    command = [sys.executable, "-m", "framepack", "serve", "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=child) as process:
        try:
            assert eventually(lambda: says(f"Open http://127.0.0.1:{port}/#key=fp_")), written
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            os.close(parent)
            os.close(child)
    assert "the API key of this run is fp_" in written
    assert "{" not in written
