"""A worker that is not fit is refused however it is started, before it computes anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.control_plane import ROOT
from tests.support.locked_out import as_ordinary_user
from tests.support.rest_server import free_port

JOB = json.loads((ROOT / "test_input.json").read_text())
SHORT = {"input": {"endpoint": "list_models"}}


def start(folder: Path, *arguments: str, locked: bool = True, **settings: str) -> subprocess.CompletedProcess[str]:
    """Start the handler as a person would, with a store that it may not write, and wait for its end."""
    store = folder / "store"
    store.mkdir(parents=True)
    store.chmod(0o555 if locked else 0o755)
    command = [*(as_ordinary_user() if locked else []), sys.executable, str(ROOT / "handler.py"), *arguments]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")},
        "FRAMEPACK_STORAGE": f"file:{store}",
        "FRAMEPACK_TEMP_DIR": str(folder / "temp"),
        "FRAMEPACK_WEIGHTS_DOWNLOAD": "false",
        **settings,
    }
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("way", ["test_input.json", "--test_input", "--rp_serve_api"])
def test_a_store_that_cannot_be_written_stops_the_start(tmp_path: Path, way: str) -> None:
    """The exit status is 1, the message has folder, user and remedy, and no job has started."""
    (tmp_path / "test_input.json").write_text(json.dumps(JOB))
    arguments = {
        "test_input.json": [],
        "--test_input": ["--test_input", json.dumps(SHORT)],
        "--rp_serve_api": ["--rp_serve_api", "--rp_api_port", str(free_port())],
    }

    result = start(tmp_path, *arguments[way])

    assert result.returncode == 1
    assert (
        f"The store file:{tmp_path}/store (FRAMEPACK_STORAGE) cannot be written: uid {os.geteuid()} " in result.stderr
    )
    assert "Set FRAMEPACK_STORAGE to a folder that" in result.stderr
    assert "Traceback" not in result.stderr
    assert "frames" not in result.stderr
    assert "success" not in result.stdout
    assert list((tmp_path / "temp").iterdir()) == []


def test_a_gpu_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    """The CPU is not used instead."""
    job = ["--test_input", json.dumps(SHORT)]

    result = start(tmp_path, *job, locked=False, FRAMEPACK_DEVICE="cuda:97")

    assert result.returncode == 1
    assert "FRAMEPACK_DEVICE=cuda:97 names a GPU that is not there" in result.stderr


def test_an_encoder_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    """Also if only NVENC is missing; `auto` says which encoder takes its place, in one line."""
    job, settings = ["--test_input", json.dumps(SHORT)], {"FRAMEPACK_DEVICE": "cpu", "CUDA_VISIBLE_DEVICES": ""}

    result = start(tmp_path / "nvenc", *job, locked=False, FRAMEPACK_ENCODER="nvenc", **settings)
    other = start(tmp_path / "auto", *job, locked=False, FRAMEPACK_ENCODER="auto", **settings)

    assert (result.returncode, other.returncode) == (1, 0)
    assert "FRAMEPACK_ENCODER is nvenc, but NVENC cannot be used: " in result.stderr
    assert "Set FRAMEPACK_ENCODER=auto to use x264 where NVENC does not work, or x264." in result.stderr
    assert other.stderr.count("H.264 is encoded by x264: FRAMEPACK_DEVICE is cpu.") == 1


def test_a_started_worker_logs_its_device_and_runs_a_job(tmp_path: Path) -> None:
    """The job is given on the command line."""
    result = start(tmp_path, "--test_input", json.dumps(SHORT), locked=False)

    assert result.returncode == 0
    assert result.stderr.count("Networks run on ") == 1
    assert "cannot be downloaded" not in result.stderr
    assert '"success": true' in result.stdout
