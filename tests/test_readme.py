"""Every command of the README is run, here or by what the comment above it names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.clips import Spec, make_clip
from tests.support.control_plane import ROOT
from tests.support.http_server import Answer, HttpServer
from tests.support.rest_server import KEY, RestServer, eventually

README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"(?:<!-- ([^<>]*) -->\n *)?```bash\n(.*?)```", re.DOTALL)
BLOCKS = BLOCK.findall(README)
# What runs the blocks that this file does not.
ELSEWHERE = {
    "tried by: make demo",  # set-up itself; CI's own set-up is the same script
    "tried by: make image-test",  # needs a builder of images
    "tried by: CI",
    "tried by: the next block",
    "tried by: tests/packaging",
    "tried by: tests/worker",
    "needs the internet",
    "walk",  # tests/rest/test_walk.py
}


def blocks(mark: str) -> list[str]:
    """The blocks of the README that carry a mark."""
    return [block for found, block in BLOCKS if found == mark]


def run(lines: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run lines as a shell would, with the command ``framepack`` of this checkout."""
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "FRAMEPACK_STORAGE": f"file:{folder / 'store'}",
    }
    return subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", lines],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with ``video.mp4`` and the command ``framepack``."""
    make_clip(tmp_path / "video.mp4", Spec(size=(96, 64), count=24))
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "framepack"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m framepack "$@"\n')
    command.chmod(0o755)
    return tmp_path


def test_every_block_says_what_runs_it() -> None:
    """A block without a mark, or with an unknown one, would be a command that nobody tries."""
    assert {mark for mark, _ in BLOCKS} == ELSEWHERE | {"run", "served", "local API"}


def test_every_make_target_of_the_readme_exists() -> None:
    """The set-up, the image and the checks are called as written."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for _, block in BLOCKS for name in re.findall(r"^make ([a-z-]+)", block, re.MULTILINE)}
    assert named >= {"demo", "test", "image"}
    assert named <= targets


@pytest.mark.parametrize("lines", blocks("run"))
def test_every_command_block_of_the_readme_runs(lines: str, folder: Path) -> None:
    """Each block, as a whole, in a folder with a video."""
    done = run(lines, folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_first_request_is_answered_with_a_video(folder: Path) -> None:
    """The video comes from an address; loopback stands for example.com."""
    video = (folder / "video.mp4").read_bytes()
    with HttpServer(lambda _received: Answer(200, video)) as source, RestServer(folder) as server:
        (lines,) = blocks("served")
        lines = lines.replace("http://localhost:8000", server.url).replace("my-key", KEY)
        done = run(lines.replace("https://example.com", source.url), folder)

    assert done.returncode == 0, done.stderr
    assert '"message":"Filters applied successfully"' in done.stdout.replace('": ', '":')
    assert '"output_url":"' in done.stdout.replace('": ', '":')


@pytest.fixture
def checkout(folder: Path) -> Path:
    """The test folder with what the SDK's test server needs."""
    (folder / ".venv" / "bin").mkdir(parents=True)
    python = folder / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    for name in ("handler.py", "test_input.json"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


def test_the_test_server_of_the_sdk_runs_jobs(checkout: Path) -> None:
    """The job of test_input.json and a listing, on one server."""
    (lines,) = blocks("local API")
    server, requests = lines.split("&\n", 1)
    port = "8016"
    started = subprocess.Popen(
        ["/bin/bash", "-c", f"exec {server.replace('8008', port)}"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FRAMEPACK_STORAGE": f"file:{checkout / 'store'}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ready = f"curl -sf http://localhost:{port}/docs"
        assert eventually(lambda: run(ready, checkout).returncode == 0, seconds=60)
        done = run(requests.replace("8008", port), checkout)
    finally:
        started.terminate()
        started.wait(30)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"COMPLETED"') == 2, done.stdout[-2000:]
