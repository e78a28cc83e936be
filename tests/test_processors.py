"""How many threads libraries may use: the affinity is real, the container's quota is in files like the kernel's."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from framepack.processors import limit_threads, usable_processors, usable_threads
from tests.support.clips import Spec, make_clip
from tests.support.control_plane import ROOT

MACHINE = len(os.sched_getaffinity(0))


def version_2(folder: Path, quota: str) -> Path:
    """A container's folder under cgroup v2."""
    (folder / "cpu.max").write_text(f"{quota}\n")
    return folder


def version_1(folder: Path, quota: str, period: str = "100000") -> Path:
    """A container's folder under cgroup v1."""
    (folder / "cpu").mkdir()
    (folder / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (folder / "cpu" / "cpu.cfs_period_us").write_text(f"{period}\n")
    return folder


@pytest.fixture
def large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 64 processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(64)))


@pytest.fixture
def one_processor() -> Iterator[None]:
    """This process may use only one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.usefixtures("large_machine")
@pytest.mark.parametrize(
    ("quota", "processors", "threads"),
    [
        ("max 100000", 64, 16),
        ("400000 100000", 4, 4),
        ("150000 100000", 2, 2),
        ("50000 100000", 1, 1),
        ("25000 50000", 1, 1),
        ("3200000 100000", 32, 16),
        ("12800000 100000", 64, 16),
        ("", 64, 16),
        ("nonsense 100000", 64, 16),
    ],
)
def test_the_quota_of_cgroup_v2_limits_processors(tmp_path: Path, quota: str, processors: int, threads: int) -> None:
    """Parts are rounded up; no quota, or one that cannot be read, is no limit."""
    assert usable_processors(version_2(tmp_path, quota)) == processors
    assert usable_threads(tmp_path) == threads


@pytest.mark.usefixtures("large_machine")
@pytest.mark.parametrize(
    ("quota", "period", "processors"),
    [("-1", "100000", 64), ("800000", "100000", 8), ("120000", "50000", 3), ("1000", "100000", 1), ("1", "0", 64)],
)
def test_the_quota_of_cgroup_v1_limits_processors(tmp_path: Path, quota: str, period: str, processors: int) -> None:
    """The older interface is understood as well; -1 is no limit."""
    assert usable_processors(version_1(tmp_path, quota, period)) == processors


@pytest.mark.usefixtures("large_machine")
def test_without_cgroups_processors_are_those_of_the_affinity(tmp_path: Path) -> None:
    """There need not be a container."""
    assert usable_processors(tmp_path) == 64


@pytest.mark.usefixtures("one_processor")
def test_the_affinity_of_this_process_limits_processors(tmp_path: Path) -> None:
    """A larger quota does not raise it."""
    assert usable_processors(version_2(tmp_path, "800000 100000")) == 1
    assert usable_threads() == 1


@pytest.mark.usefixtures("large_machine")
@pytest.mark.parametrize(("count", "expected"), [(64, 16), (16, 16), (3, 3)])
def test_a_librarys_threads_are_only_lowered(count: int, expected: int) -> None:
    """A number that is lower was chosen by somebody."""
    counts = [count]
    limit_threads(lambda: counts[-1], counts.append)
    assert counts[-1] == expected


@pytest.mark.skipif(MACHINE < 2, reason="needs two processors")
def test_torch_and_opencv_have_as_many_threads_as_there_are_processors() -> None:
    """Also where a library has counted before the affinity was set: here the process is given one of its two."""
    code = (
        "import os, cv2, torch\n"
        "from framepack.media.filters.strips import filter_threads\n"
        "from framepack.models.memory.device import Device\n"
        "torch.set_num_threads(2), cv2.setNumThreads(2)\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "Device.find('cpu')\n"
        "with filter_threads(): print(torch.get_num_threads(), cv2.getNumThreads())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


@pytest.mark.parametrize(("started", "chosen"), [("command", None), ("worker", None), ("command", "ACTIVE")])
def test_threads_of_networks_sleep_while_they_wait(started: str, chosen: str | None, tmp_path: Path) -> None:
    """OpenMP says so when PyTorch loads it, on the command line and in the worker, unless the user has chosen."""
    clip = make_clip(tmp_path / "in.mp4", Spec(size=(16, 16), count=1))
    if started == "command":
        arguments = ["-m", "framepack", "run", "upscale", str(clip), "--model", "RealESR_AnimeVideo_v3"]
        arguments += ["-o", str(tmp_path / "out.mp4")]
    else:
        fields = {"endpoint": "upscale", "model": "RealESR_AnimeVideo_v3"}
        fields["video_base64"] = base64.b64encode(clip.read_bytes()).decode()
        arguments = ["handler.py", "--test_input", json.dumps({"input": fields})]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_DISPLAY_ENV": "TRUE", "FRAMEPACK_STORAGE": f"file:{tmp_path / 'store'}"}
    environment |= {} if chosen is None else {"OMP_WAIT_POLICY": chosen}

    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )

    assert set(re.findall(r"OMP_WAIT_POLICY = '(\w+)'", done.stderr)) == {chosen or "PASSIVE"}
