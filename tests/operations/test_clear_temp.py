"""``clear_temp``: what nobody needs any more goes, on either store; what a living job owns, or is kept, stays."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from framepack.errors import StorageFailed
from framepack.job import Job
from framepack.storage.autosave import save_autosave
from framepack.storage.keys import Key
from framepack.storage.local import LocalStorage
from framepack.storage.outputs import ResultFolder
from tests.support.clips import Spec, make_clip
from tests.support.http_server import Answer, HttpServer, Received
from tests.support.networks import tiny_compact
from tests.support.runs import Bench, bench
from tests.support.s3_server import S3Server, s3_server
from tests.support.stores import bench_like, bucket_settings, stored

TEMP = ResultFolder.TEMP_PROCESSING.key
KEPT = (
    "postprocessed_output/saved_videos/mine.mp4",
    "postprocessed_output/frames/extracted_frames/clip_1/frame_000000.png",
    "postprocessed_output/frames/reassembled_videos/clip.mp4",
    "state/filter_presets/look.json",
    "elsewhere/notes.txt",
)
DAY = 86_400

# A worker of its own that batches three videos, the last of which never arrives.
BATCH = """
import sys
from pathlib import Path
from tests.support.runs import bench
worker = bench(Path(sys.argv[1]), allowed_hosts=("127.0.0.1",))
url = sys.argv[2]
videos = [{"video_url": f"{url}/a.mp4"}, {"video_url": f"{url}/b.mp4"}, {"video_url": f"{url}/never.mp4"}]
worker.run("batch", videos=videos, operations=[{"type": "export", "params": {}}])
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server."""
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(params=["file", "s3"])
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    """A worker that clears away even the newest results, on each store in turn."""
    (tmp_path / "weights").mkdir()
    save_file(tiny_compact(scale=2), tmp_path / "weights" / "tiny.safetensors")
    place = {} if request.param == "file" else bucket_settings(request.getfixturevalue("server"))
    return bench(tmp_path, allowed_hosts=("127.0.0.1",), temp_grace_seconds=0, **place)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A small video."""
    return make_clip(tmp_path / "clip.mp4", Spec(count=4))


def clear(worker: Bench) -> tuple[int, int]:
    """Clear; how many files were removed and how many results stay."""
    answer = worker.run("clear_temp")
    assert answer["success"] is True, answer
    files, size = answer["files_deleted"], answer["space_freed_mb"]
    assert answer["message"] == f"Cleared {files} temporary file(s), freed {size:.2f} MB"
    return files, answer["files_kept"]


def age(path: Path, seconds: float) -> None:
    """Make a file look old."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_only_unclaimed_temporary_results_are_removed(worker: Bench, clip: Path) -> None:
    """Saved videos, frames and state are none of its business; the answer counts files and megabytes."""
    storage = worker.runtime.storage
    for text in KEPT:
        storage.put_bytes(Key(text), b"keep")
    for index in range(14):
        storage.put_bytes(TEMP / f"result_{index}.mp4", bytes(100_000))
    made = worker.run("export", clip)

    answer = worker.run("clear_temp")

    size = 14 * 100_000 + made["output_file_size"]
    assert answer == {
        "success": True,
        "message": f"Cleared 15 temporary file(s), freed {size / 1e6:.2f} MB",
        "files_deleted": 15,
        "space_freed_mb": round(size / 1e6, 2),
        "files_kept": 0,
    }
    assert stored(worker) == dict.fromkeys(KEPT, b"keep")
    assert clear(worker) == (0, 0)


def test_the_newest_results_stay(clip: Path, tmp_path: Path) -> None:
    """By default a result stays some minutes, so that its job can answer and its client can fetch it."""
    worker = bench(tmp_path)
    young, old = (worker.output(worker.run("export", clip)) for _ in range(2))
    age(old, 301)

    assert clear(worker) == (1, 1)
    assert (young.exists(), old.exists()) == (True, False)


def test_with_autosave_nothing_is_temporary(worker: Bench, clip: Path) -> None:
    """Results among the saved videos stay."""
    save_autosave(worker.runtime.storage, enabled=True)
    worker.run("export", clip)

    assert clear(worker) == (0, 0)
    assert [text for text in stored(worker) if "saved_videos" in text]


def test_a_running_batch_keeps_its_results(worker: Bench, clip: Path, tmp_path: Path) -> None:
    """Cleared by another worker while the third video arrives: the first two stay until the batch has answered."""
    other = bench_like(worker, tmp_path / "other")
    idle = worker.run("export", clip)["output_filename"]
    seen: list[tuple[int, int]] = []
    with HttpServer(_with_clearing(clip, lambda: seen.append(clear(other)))) as server:
        answer = worker.run("batch", videos=_videos(server), operations=[{"type": "export", "params": {}}])

    assert seen == [(1, 2)], "the idle result goes, the two of the batch stay"
    assert answer["successful"] == 3
    names = {result["output_filename"] for result in answer["results"]}
    assert {text.rpartition("/")[2] for text in stored(worker) if text.startswith(f"{TEMP}/")} == names
    assert idle not in names
    assert clear(other) == (3, 0)
    assert stored(worker) == {}, "not even its claim is left"


def test_a_batch_that_has_ended_keeps_its_results_a_moment(clip: Path, tmp_path: Path) -> None:
    """However old the first of them is: the answer is still on its way."""
    worker = bench(tmp_path, allowed_hosts=("127.0.0.1",))
    with HttpServer({"/a.mp4": Answer(body=clip.read_bytes())}) as server:
        videos = [{"video_url": f"{server.url}/a.mp4"}] * 2
        answer = worker.run("batch", videos=videos, operations=[{"type": "export", "params": {}}])
    results = [worker.output(result) for result in answer["results"]]
    age(results[0], DAY)

    assert clear(worker) == (0, 2)
    for claim in (tmp_path / "outputs/state/claims").iterdir():
        age(claim, 301)
    assert clear(worker) == (1, 1)


def test_files_of_a_running_job_are_kept(worker: Bench, clip: Path, tmp_path: Path) -> None:
    """Cleared by another worker of the same machine after every frame, it ends as if nothing had been."""
    other = bench_like(worker, tmp_path / "other")
    same_machine = bench_like(worker, worker.folder)
    seen: list[tuple[int, int]] = []
    job = Job("upscale", report=lambda _: seen.extend(clear(each) for each in (other, same_machine)))

    answer = worker.run("upscale", clip, model="tiny", job=job)

    assert seen == [(0, 0)] * 8
    assert answer["success"] is True
    assert [text.rpartition("/")[2] for text in stored(worker)] == [answer["output_filename"]]


def test_files_of_killed_jobs_are_removed(clip: Path, tmp_path: Path) -> None:
    """Its working files at once; its results when its claim has given no sign of life for long."""
    worker = bench(tmp_path, allowed_hosts=("127.0.0.1",), temp_grace_seconds=0, claim_lifetime_seconds=120)
    waiting: list[int] = []
    release: list[int] = []

    def never(_received: Received) -> Answer:
        waiting.append(1)
        return Answer(body=_until(release), headers={"Content-Length": "1000000"})

    good = Answer(body=clip.read_bytes())
    answers: dict[str, Any] = {"/a.mp4": good, "/b.mp4": good, "/never.mp4": never}
    with HttpServer(answers) as server:
        command = [sys.executable, "-c", BATCH, str(tmp_path), server.url]
        with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as child:
            _wait_for(lambda: bool(waiting) and _partial(worker))
            assert clear(worker) == (0, 2)
            child.kill()
            child.wait()
        release.append(1)
        left = worker.leftovers()
        files, kept = clear(worker)

    assert len(left) >= 2, "a lock and what had arrived"
    assert (files, kept) == (len(left) - 1, 2), "the lock is no file of the job's"
    assert worker.leftovers() == []
    for claim in (tmp_path / "outputs/state/claims").iterdir():
        age(claim, 121)
    assert clear(worker) == (2, 0)
    assert [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()] == []


def test_partial_writes_are_removed(tmp_path: Path) -> None:
    """Files that a killed writer never finished are removed once they are old, and counted."""
    worker = bench(tmp_path, temp_grace_seconds=0)
    worker.runtime.storage.put_bytes(Key("a"), b"1")
    incoming = tmp_path / "outputs/.incoming"
    (incoming / "young").write_bytes(bytes(10))
    (incoming / "old").write_bytes(bytes(50_000))
    age(incoming / "old", 901)

    answer = worker.run("clear_temp")

    assert (answer["files_deleted"], answer["space_freed_mb"]) == (1, 0.05)
    assert [path.name for path in incoming.iterdir()] == ["young"]


def test_concurrent_clearing_removes_each_file_once(worker: Bench) -> None:
    """Two workers that clear together leave nothing, and neither fails at a file that the other took."""
    for index in range(20):
        worker.runtime.storage.put_bytes(TEMP / f"{index}.mp4", b"1")

    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(lambda _: clear(worker)[0], range(2)))

    assert 20 <= sum(counts) <= 40
    assert clear(worker) == (0, 0)


def test_a_damaged_claim_is_ignored(worker: Bench) -> None:
    """One that cannot be read is set aside."""
    storage = worker.runtime.storage
    storage.put_bytes(Key("state/claims/abc.json"), b'{"results": 5}')
    storage.put_bytes(TEMP / "a.mp4", b"1")

    assert clear(worker) == (1, 0)
    assert list(stored(worker)) == ["state/damaged/claims/abc.json"]


def test_a_claim_that_cannot_be_written_costs_no_result(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that fails at the wrong moment loses protection, not work."""
    worker = bench(tmp_path, allowed_hosts=("127.0.0.1",))
    put = LocalStorage.put_bytes

    def failing(storage: LocalStorage, key: Key, data: bytes, **options: Any) -> Any:
        if "claims" in key.segments:
            raise StorageFailed("The file store failed (EIO).")
        return put(storage, key, data, **options)

    monkeypatch.setattr(LocalStorage, "put_bytes", failing)
    with HttpServer({"/a.mp4": Answer(body=clip.read_bytes())}) as server:
        videos = [{"video_url": f"{server.url}/a.mp4"}]
        answer = worker.run("batch", videos=videos, operations=[{"type": "export", "params": {}}])

    assert answer["successful"] == 1
    assert worker.output(answer["results"][0]).exists()


def _videos(server: HttpServer) -> list[dict[str, str]]:
    return [{"video_url": f"{server.url}/{name}.mp4"} for name in ("a", "b", "c")]


def _with_clearing(clip: Path, act: Callable[[], None]) -> Callable[[Received], Answer]:
    """Serve the video everywhere; before the third goes out, act."""

    def answer(received: Received) -> Answer:
        if received.path == "/c.mp4":
            act()
        return Answer(body=clip.read_bytes())

    return answer


def _until(release: list[int]) -> Iterator[bytes]:
    """A few bytes, and then nothing until told."""
    yield bytes(5000)
    while not release:
        time.sleep(0.01)


def _partial(worker: Bench) -> bool:
    """Whether part of a download is in the working folder."""
    sizes = [Path(path).stat().st_size for path in worker.leftovers() if not re.search(r"\.lock$", path)]
    return bool(sizes)


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)
