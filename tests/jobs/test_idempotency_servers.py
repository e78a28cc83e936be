"""One Idempotency-Key on several servers of one store, and again after a failure: one job, and nothing done twice."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from framepack.errors import Unavailable
from framepack.jobs.records import JobRecord, JobRecords, State, now
from framepack.storage.base import StoredObject
from framepack.storage.keys import Key
from framepack.storage.local import LocalStorage
from tests.support.clips import Spec, make_clip
from tests.support.rest_server import HeldBackend, RestServer, eventually, server_in_thread, upload

FILTERS, SAVE, PRESETS = "/postprocess/filters", "/postprocess/save", "/workflow/presets"
PRESET = {"name": "mine", "preset_data": {"active_steps": ["Filters"], "params": {"brightness": 5}}}
ID = "a" * 32


@contextmanager
def two_servers(folder: Path) -> Iterator[tuple[RestServer, RestServer]]:
    """Two servers with one store."""
    (folder / "b").mkdir()
    one, other = RestServer(folder), RestServer(folder / "b", storage=f"file:{folder / 'outputs'}")
    try:
        one.start(ready=False)
        with other:
            assert eventually(lambda: one.answers({200}))
            yield one, other
    finally:
        one.stop()


def test_two_servers_make_one_file_of_equal_requests_at_the_same_moment(tmp_path: Path) -> None:
    """In every round, both answer all clients alike: files, filters, presets and uploads."""
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=3)).read_bytes()
    results = tmp_path / "outputs" / "postprocessed_output"
    with two_servers(tmp_path) as servers, ThreadPoolExecutor(4) as pool:
        video = upload(servers[0], clip).json()["video_url"]

        def together(number: int, path: str, fields: Any) -> set[tuple[int, str]]:
            start = threading.Barrier(4)

            def post(server: RestServer) -> tuple[int, str]:
                start.wait()
                headers: dict[str, str | None] = {"Idempotency-Key": f"round {number}"}
                form = {"files": {"file": ("a.mp4", clip, "video/mp4")}} if fields is None else {}
                answer = server.ask("POST", path, fields, headers, **form)
                body = answer.json()  # without links, which expire at different times
                return answer.status_code, body.get("output_path") or body.get("video_url") or answer.text

            return {each for each, _ in zip(pool.map(post, [*servers, *servers]), range(4), strict=True)}

        asked: list[tuple[str, Any]] = [
            (SAVE, {"video_url": video, "custom_name": "saved"}),
            (FILTERS, {"video_url": video, "brightness": 7}),
            ("/uploads", None),
            (PRESETS, PRESET),
        ]
        for number, (path, body) in zip(range(12), cycle(asked), strict=False):
            before = len([*results.rglob("*.mp4"), *(tmp_path / "outputs" / "uploads").iterdir()])
            answers = together(number, path, body)
            after = len([*results.rglob("*.mp4"), *(tmp_path / "outputs" / "uploads").iterdir()])
            assert ([status for status, _ in answers], after - before) == ([200], int(path != PRESETS)), answers
        state = tmp_path / "outputs" / "state"
        assert eventually(lambda: not [*state.glob("job_inputs/*"), *state.glob("reserved_names/*")])


def record_of(owner: str, **values: Any) -> JobRecord:
    """A new job with a key."""
    values = {"operation": "loop", "state": State.QUEUED, "request": "digest", **values}
    return JobRecord(id=ID, created=now(), owner=owner, **values)


class Interleaved(LocalStorage):
    """Lets both workers write before either lists, the first time."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._both = threading.Barrier(2)
        self._local = threading.local()
        self.collisions = 0

    def list(self, folder: Key | None = None) -> Iterator[StoredObject]:
        """Wait for the other worker, once."""
        if not hasattr(self._local, "is_later"):
            self._local.is_later = True
            self.collisions += 1
            self._both.wait(60)
        return super().list(folder)


def test_of_two_servers_that_collide_exactly_one_creates_the_job(tmp_path: Path) -> None:
    """When both have reserved the id, neither gets it; both look again, and the loser finds the winner's record."""
    storage = Interleaved(tmp_path)

    def create(owner: str) -> tuple[str, JobRecord]:
        return owner, JobRecords(storage).create(record_of(owner), {"owner": owner}, lambda _server: False)

    with ThreadPoolExecutor(2) as pool:
        created = list(pool.map(create, ("one", "other")))
    assert storage.collisions == 2
    (winner,) = {record.owner for _, record in created}
    assert JobRecords(LocalStorage(tmp_path)).read_input(ID) == {"owner": winner}


def test_a_dead_server_does_not_hold_an_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A living one does: then the client is told to try again."""
    monkeypatch.setattr("framepack.jobs.records._TRIES", 2)
    storage = LocalStorage(tmp_path)
    records = JobRecords(storage)

    class Killed(BaseException):
        """The server ends here."""

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(JobRecords, "_write_new", killed)
        patch.setattr(LocalStorage, "delete", killed)
        with pytest.raises(Killed):
            records.create(record_of("one"), {}, lambda _server: False)
    with pytest.raises(Unavailable, match="Idempotency-Key"):
        records.create(record_of("other"), {}, lambda _server: False)
    assert records.create(record_of("other"), {}, lambda server: server == "one").owner == "other"


@pytest.mark.parametrize(
    ("code", "worker_deaths", "runs_again"),
    [
        ("internal_error", 0, True),
        ("unavailable", 0, True),
        ("storage_unavailable", 0, True),
        ("device_lost", 0, True),
        ("unavailable", 3, False),
        ("source_failed", 0, False),
        ("not_found", 0, False),
    ],
)
def test_only_a_failure_of_the_deployment_runs_again(
    tmp_path: Path, code: str, worker_deaths: int, *, runs_again: bool
) -> None:
    """All others are answered again, and so are jobs that kill their workers."""
    records = JobRecords(LocalStorage(tmp_path))
    records.save(record_of("one", state=State.FAILED, ended=now(), code=code, worker_deaths=worker_deaths))
    stored = records.create(record_of("other"), {}, lambda _server: False)
    assert stored.owner == ("other" if runs_again else "one")


def test_a_failed_job_runs_again_only_after_its_input_was_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server would delete the new input, too."""
    monkeypatch.setattr("framepack.jobs.records._TRIES", 2)
    records = JobRecords(LocalStorage(tmp_path))
    records.save_input(ID, {"try": 1})
    records.save(record_of("one", state=State.FAILED, ended=now(), code="unavailable"))
    with pytest.raises(Unavailable):
        records.create(record_of("other"), {"try": 2}, lambda _server: False)
    records.delete_input(ID)
    assert records.create(record_of("other"), {"try": 2}, lambda _server: False).owner == "other"
    assert records.read_input(ID) == {"try": 2}


def test_a_request_that_failed_on_our_side_runs_again_on_any_server(tmp_path: Path) -> None:
    """All servers then know the new answer."""
    backends = HeldBackend(), HeldBackend()
    headers: dict[str, str | None] = {"Idempotency-Key": "order 2"}
    with server_in_thread(tmp_path, backends[0]) as one, server_in_thread(tmp_path, backends[1]) as other:
        backends[0].answer = {"error": "Something went wrong.", "code": "internal_error", "status": 500}
        first = one.post("/model/unload", headers=headers)
        second = other.post("/model/unload", headers=headers)
        third = one.post("/model/unload", headers=headers)
        assert one.job(first.headers["X-Job-Id"])["state"] == "completed"
    assert [answer.status_code for answer in (first, second, third)] == [500, 200, 200]
    assert [len(backend.asked) for backend in backends] == [1, 1]


def test_a_request_in_a_server_that_died_fails_and_runs_again(tmp_path: Path) -> None:
    """It has no fields in the store that another server could run it with."""
    headers: dict[str, str | None] = {"Idempotency-Key": "order 3"}
    with server_in_thread(tmp_path, HeldBackend()) as server:
        job_id = server.post(PRESETS, PRESET, headers=headers).headers["X-Job-Id"]
    records = JobRecords(LocalStorage(tmp_path / "outputs"))
    ended = records.read(job_id)
    records.save_input(job_id, {})
    records.save(ended.with_changes(state=State.RUNNING, ended=None, owner="dead"))
    with server_in_thread(tmp_path, HeldBackend()) as server:
        result = server.wait_for(job_id, "failed")["result"]
        assert (result["code"], result["status"]) == ("unavailable", 503)
        assert server.post(PRESETS, PRESET, headers=headers).status_code == 200
        assert server.job(job_id)["state"] == "completed"


def test_a_request_to_a_worker_that_was_killed_is_answered_by_the_next_one(tmp_path: Path) -> None:
    """Until it is ready, the answer is 503, never 500, and it is not remembered."""
    headers: dict[str, str | None] = {"Idempotency-Key": "order 4"}
    with RestServer(tmp_path) as server:
        assert server.worker is not None
        os.kill(server.worker.pid, signal.SIGKILL)
        statuses = []

        def asks() -> bool:
            statuses.append(server.post("/model/unload", headers=headers).status_code)
            return statuses[-1] == 200

        assert eventually(asks, 180)
    assert set(statuses) <= {200, 503}
