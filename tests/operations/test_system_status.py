"""``system_status``: the documented shape, with the machine's own figures."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import pytest

from framepack import __version__
from framepack.files.workspace import Workspace
from framepack.models.memory import device as memory
from framepack.models.memory import gpu_status as gpu
from framepack.models.memory.gpu_status import Gpu
from tests.support.runs import bench

GB = 1 << 30


def test_without_a_gpu(tmp_path: Path) -> None:
    """Memory is the machine's, there is no video memory, and the GPU's name says that there is none."""
    answer = bench(tmp_path, device="cpu").run("system_status")

    ram = answer["ram"]
    total = psutil.virtual_memory().total / GB
    assert answer["success"] is True
    assert answer["message"] == "System status retrieved successfully"
    assert 0 < ram["used_gb"] < ram["total_gb"] <= total + 0.01
    assert ram["percent"] == pytest.approx(100 * ram["used_gb"] / ram["total_gb"], abs=0.5)
    assert answer["vram"] == {"used_gb": 0, "total_gb": 0, "percent": 0}
    assert answer["gpu"] == {"name": "No GPU: networks run on the CPU", "utilization": 0, "temperature": 0}
    assert answer["disk_total_gb"] == pytest.approx(shutil.disk_usage(tmp_path).total / GB, abs=0.01)
    assert 0 < answer["disk_free_gb"] < answer["disk_total_gb"]
    assert (answer["device"], answer["version"], answer["running_jobs"]) == ("cpu", __version__, 0)


def test_with_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU's figures in the documented fields; what its driver does not say is null."""
    worker = bench(tmp_path, device="cpu")
    monkeypatch.setattr(gpu, "read_gpu", lambda _device: Gpu("NVIDIA H100", 20 * GB, 80 * GB, 15))

    answer = worker.run("system_status")

    assert answer["vram"] == {"used_gb": 20, "total_gb": 80, "percent": 25}
    assert answer["gpu"] == {"name": "NVIDIA H100", "utilization": 15, "temperature": None}


def test_other_jobs_are_counted(tmp_path: Path) -> None:
    """Those of this machine, without the one that asks."""
    worker = bench(tmp_path)
    with Workspace(tmp_path / "temp"), Workspace(tmp_path / "temp"):
        assert worker.run("system_status")["running_jobs"] == 2
    assert worker.run("system_status")["running_jobs"] == 0


def test_a_container_has_the_memory_it_may_take(tmp_path: Path) -> None:
    """Its limit is the total, and what it uses, less files that can be dropped, is not free."""
    megabyte = 1 << 20
    (tmp_path / "memory.max").write_text(f"{100 * megabyte}\n")
    (tmp_path / "memory.current").write_text(f"{70 * megabyte}\n")
    (tmp_path / "memory.stat").write_text(f"inactive_file {20 * megabyte}\n")

    assert memory.host_memory(tmp_path) == (100 * megabyte, 50 * megabyte)
    assert memory.host_memory(tmp_path / "none")[0] == psutil.virtual_memory().total
