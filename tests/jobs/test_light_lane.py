"""The light lane with its real worker: jobs that take long are cancelled without it, and others get their turn."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import requests

from framepack.jobs.backends.local import LIGHT_SLOTS
from tests.support.bombs import gif_of_patches
from tests.support.clips import Spec, make_clip
from tests.support.rest_server import HeldBackend, LocalServer, eventually, inline, server_in_thread

PREVIEW = "/postprocess/preview"
ANALYZE = "/postprocess/analyze"


def light_workers() -> list[int]:
    """Process ids of the light workers of this process."""
    found = []
    for child in psutil.Process(os.getpid()).children():
        with suppress(psutil.Error):
            if child.cmdline()[-1] == "light":
                found.append(child.pid)
    return found


def jobs_of(server: LocalServer, operation: str, *states: str) -> list[dict[str, Any]]:
    """The jobs of an operation that are in one of these states."""
    jobs: list[dict[str, Any]] = server.get("/jobs").json()["jobs"]
    return [job for job in jobs if job["operation"] == operation and job["state"] in states]


def test_previews_that_skip_for_long_end_when_they_are_cancelled(tmp_path: Path) -> None:
    """Three run and one waits; others get the fourth place, and the worker goes on without them."""
    body = {
        "video_base64": inline(gif_of_patches(tmp_path / "long.gif", side=1500, count=10_000)),
        "operations": [{"type": "filters", "params": {"brightness": 5}}],
        "at_seconds": 9900 / 50,
    }
    clip = {"video_base64": inline(make_clip(tmp_path / "clip.mp4", Spec(count=5)))}
    with (
        server_in_thread(tmp_path, HeldBackend(), max_preview_gigapixels=50) as server,
        ThreadPoolExecutor(LIGHT_SLOTS) as pool,
    ):
        assert server.post(ANALYZE, clip).status_code == 200
        workers = light_workers()
        assert len(workers) == 1
        previews = [pool.submit(server.post, PREVIEW, body) for _ in range(LIGHT_SLOTS)]
        assert eventually(lambda: len(jobs_of(server, "preview", "queued", "running")) == LIGHT_SLOTS)
        assert eventually(lambda: len(jobs_of(server, "preview", "running")) == LIGHT_SLOTS - 1)
        assert server.post(ANALYZE, clip).status_code == 200
        assert len(jobs_of(server, "preview", "running")) == LIGHT_SLOTS - 1

        for job in jobs_of(server, "preview", "queued", "running"):
            assert server.delete(f"/jobs/{job['job_id']}").status_code == 200

        assert server.post(ANALYZE, clip).json()["analysis"]["total_frames"] == 5
        answers: list[requests.Response] = [each.result() for each in previews]
        assert {answer.json()["code"] for answer in answers} == {"cancelled"}
        assert light_workers() == workers
        assert [path for path in (tmp_path / "temp").rglob("*") if path.is_file()] == []
