"""Stores whose disk is full at the worst moments: a clear error or a wait, and nothing lost."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.kill_runs import Site, leftovers
from tests.support.locked_out import mounted
from tests.support.rest_server import RestServer, eventually

PIPELINE = "/postprocess/pipeline"
MB = 1_000_000


class Disk:
    """A store on a small disk, with a server.

    Args:
        site: Has the clients' side.
        folder: Where the disk is mounted.
    """

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self._ballast = folder / "ballast"
        self.server = RestServer(site.folder, storage=f"file:{folder / 'outputs'}")
        self.server.outputs = folder / "outputs"
        self.server.environment |= site.killer.environment

    def fill(self, but: int = 0) -> None:
        """Leave only so many bytes free."""
        with self._ballast.open("ab", buffering=0) as file:
            while (free := os.statvfs(self._ballast).f_bavail * os.statvfs(self._ballast).f_frsize - but) > 0:
                file.write(bytes(min(free, MB)))

    def empty(self) -> None:
        """Free the disk."""
        self._ballast.unlink()

    def videos(self) -> list[Path]:
        """The videos in the store."""
        return sorted((self.server.outputs / "postprocessed_output").rglob("*.mp4"))

    def callbacks(self) -> list[dict[str, object]]:
        """What the receiver of callbacks got."""
        return [json.loads(request.body) for request in self.site.web.requests if request.method == "POST"]

    def stopped_at(self, point: str) -> tuple[str, psutil.Process]:
        """Start a job, and wait until a process has stopped at a point; return the job's id and the process."""
        self.site.killer.set(point, only_stop=True)
        answer = self.server.post(PIPELINE, self.site.fields(callback=True))
        assert answer.status_code == 200, answer.text
        own = psutil.Process(self.server.pid)
        stopped: list[psutil.Process] = []

        def find() -> bool:
            stopped[:] = [each for each in (own, *own.children()) if each.status() == psutil.STATUS_STOPPED]
            return bool(stopped)

        assert eventually(find), self.server.log[-3000:]
        assert self.site.killer.has_struck
        return answer.json()["job_id"], stopped[0]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A store on a disk of four megabytes, with a running server."""
    with mounted(tmp_path / "disk", "size=4m") as folder, Site(tmp_path) as site:
        made = Disk(site, folder)
        with made.server:
            yield made


def test_a_store_that_is_full_when_a_job_wants_to_keep_its_output_or_its_end(disk: Disk) -> None:
    """An output without room is a failure that the client hears of when there is room; an end waits for room."""
    disk.fill(but=20_000)
    answer = disk.server.post(PIPELINE, disk.site.fields(callback=True))
    failed = disk.server.wait_for(answer.json()["job_id"])
    assert (failed["result"]["code"], failed["result"]["status"]) == ("disk_full", 507)
    disk.empty()
    assert eventually(lambda: [each["code"] for each in disk.callbacks()] == ["disk_full"])
    assert disk.videos() == []

    job_id, worker = disk.stopped_at("before the outbox")
    disk.fill()
    worker.resume()
    waiting = ("running", "the store")
    assert eventually(lambda: _state(disk.server.job(job_id)) == waiting), disk.server.job(job_id)
    disk.empty()
    assert disk.server.wait_for(job_id)["state"] == "completed"
    assert eventually(lambda: disk.server.job(job_id)["callback"]["state"] == "delivered")
    assert [each["success"] for each in disk.callbacks()] == [False, True]
    [video] = disk.videos()
    disk.site.check_output(disk.server.outputs, video.relative_to(disk.server.outputs).as_posix())
    assert disk.site.counts.lost == []


def _state(job: dict[str, Any]) -> tuple[str, str | None]:
    return job["state"], job.get("progress", {}).get("waiting_for")


@pytest.mark.slow
def test_a_store_that_is_full_when_the_server_records_the_end_of_a_job(disk: Disk) -> None:
    """Clients get the result from memory, and it is written as soon as there is room."""
    job_id, server = disk.stopped_at("before the result")
    disk.fill()
    server.resume()
    assert disk.server.wait_for(job_id)["result"]["success"]
    assert "the end of a job could not be stored yet" in disk.server.log
    disk.empty()
    assert eventually(lambda: not leftovers(disk.server.outputs, disk.site.folder / "temp"))
    disk.server.kill()
    disk.server.start()
    assert disk.server.job(job_id)["result"]["success"]
    assert len(disk.videos()) == len(disk.callbacks()) == 1
