"""The files of a job: private, removed with the job, cleaned up after a kill, never taken from a running job."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from framepack.errors import DiskFull
from framepack.files.removed import RemovedFiles
from framepack.files.workspace import Workspace, count_running, remove_stale

HOLDER = """
import sys, time
from pathlib import Path
from framepack.files.workspace import Workspace
with Workspace(Path(sys.argv[1])) as workspace:
    workspace.path("big.bin").write_bytes(b"x" * 1000)
    print(workspace.folder, flush=True)
    time.sleep(600)
"""


def files(root: Path) -> list[Path]:
    """Everything below a folder."""
    return sorted(root.rglob("*"))


def test_the_folder_is_private_and_removed_with_the_job(tmp_path: Path) -> None:
    """Only its owner may read it."""
    root = tmp_path / "deep" / "root"
    with Workspace(root) as workspace:
        folder = workspace.folder
        assert folder.parent == root
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("x")
    assert files(root) == []


def test_a_job_without_files_makes_no_folder_but_counts_as_running(tmp_path: Path) -> None:
    """Most requests of the REST server have no files; removing a folder would be most of their work."""
    with Workspace(tmp_path):
        assert [each.suffix for each in files(tmp_path)] == [".lock"]
        assert count_running(tmp_path) == 1
    assert files(tmp_path) == []


def test_the_folder_is_removed_after_an_error(tmp_path: Path) -> None:
    """A failed job leaves no files."""

    def fail() -> None:
        with Workspace(tmp_path) as workspace:
            workspace.path("a").write_text("x")
            raise RuntimeError("job")

    with pytest.raises(RuntimeError, match="job"):
        fail()
    assert files(tmp_path) == []


def test_path_never_returns_a_path_twice(tmp_path: Path) -> None:
    """The same name requested twice gives two paths, even before the first is written."""
    with Workspace(tmp_path) as workspace:
        paths = [workspace.path("output.mp4") for _ in range(3)]
        assert [path.name for path in paths] == ["output.mp4", "output-2.mp4", "output-3.mp4"]
        assert {path.parent for path in paths} == {workspace.folder}


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "../x"])
def test_path_accepts_plain_names_only(tmp_path: Path, name: str) -> None:
    """Names with folders are rejected."""
    with Workspace(tmp_path) as workspace, pytest.raises(ValueError, match="not the name"):
        workspace.path(name)


def test_folder_outside_the_with_block_raises(tmp_path: Path) -> None:
    """Neither before nor after."""
    workspace = Workspace(tmp_path)
    with pytest.raises(RuntimeError):
        workspace.path("a")
    with workspace:
        pass
    with pytest.raises(RuntimeError):
        _ = workspace.folder


def test_remove_stale_removes_killed_jobs_but_not_running_ones(tmp_path: Path) -> None:
    """After ``kill -9`` the next start removes what was left; other jobs, of any process, keep theirs."""
    run = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with (
        subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as killed,
        subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as spared,
        Workspace(tmp_path) as own,
    ):
        assert killed.stdout
        assert spared.stdout
        dead, alive = Path(killed.stdout.readline().strip()), Path(spared.stdout.readline().strip())
        assert count_running(tmp_path) == 3
        assert remove_stale(tmp_path) == RemovedFiles()
        killed.kill()
        killed.wait()
        assert (dead / "big.bin").exists()
        left = RemovedFiles(1, (dead / "big.bin").stat().st_size)
        assert count_running(tmp_path) == 2
        assert remove_stale(tmp_path) == left
        assert not dead.exists()
        assert (alive / "big.bin").exists()
        assert own.folder.exists()
        assert remove_stale(tmp_path) == RemovedFiles()
        spared.kill()
    assert remove_stale(tmp_path) == left
    assert count_running(tmp_path) == 0
    assert files(tmp_path) == []


def test_remove_stale_touches_nothing_else(tmp_path: Path) -> None:
    """Other folders are kept, and a link is not followed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("keep")
    root = tmp_path / "root"
    (root / "job-of-somebody").mkdir(parents=True)
    (root / "notes.lock").write_text("")
    (root / "job-link").symlink_to(outside)
    (root / "job-link.lock").symlink_to(outside / "file")
    assert remove_stale(root) == RemovedFiles()
    assert (outside / "file").read_text() == "keep"
    assert (root / "job-of-somebody").is_dir()
    assert remove_stale(tmp_path / "nowhere") == RemovedFiles()


def test_remove_stale_while_jobs_begin_and_end(tmp_path: Path) -> None:
    """Hundreds of jobs run beside a constant clean-up; none loses its folder and nothing remains."""
    stop = threading.Event()
    lost = []

    def clean() -> None:
        while not stop.is_set():
            remove_stale(tmp_path)

    sweeper = threading.Thread(target=clean)
    sweeper.start()

    def work() -> None:
        for _ in range(60):
            with Workspace(tmp_path) as workspace:
                workspace.path("a").write_text("x")
                lost.append(not (workspace.folder / "a").exists())

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    stop.set()
    sweeper.join()
    assert lost == [False] * 180
    assert files(tmp_path) == []


def test_require_free_rejects_a_job_that_does_not_fit(tmp_path: Path) -> None:
    """It is rejected before the disk is full."""
    with Workspace(tmp_path) as workspace:
        workspace.require_free(1)
        with pytest.raises(DiskFull, match=r"needs \d+ MB of disk; the worker has \d+ MB left"):
            workspace.require_free(10**18)


def test_workspaces_leave_no_descriptor(tmp_path: Path) -> None:
    """A thousand jobs do not run out of file descriptors."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(20):
        with Workspace(tmp_path):
            pass
        remove_stale(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
