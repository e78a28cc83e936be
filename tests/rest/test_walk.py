"""The README's walk through the REST side works line by line, and so does the example in Python."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from framepack.media.read.probe import probe
from tests.support.clips import Spec, make_clip
from tests.support.control_plane import ROOT
from tests.support.http_server import Answer, HttpServer
from tests.support.rest_server import KEY, RestServer, eventually

SECTION = re.compile(r"## From Python\n(.*?)\n## ", re.DOTALL)
EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)
WALK = re.compile(r"<!-- walk -->\n```bash\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestServer]:
    """A server with a worker."""
    with RestServer(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_commands_of_the_readme_work(server: RestServer, tmp_path: Path) -> None:
    """They upload, upscale with a callback, follow, download, save a preset, run it as a pipeline, and cancel."""
    make_clip(tmp_path / "video.mp4", Spec(size=(48, 32), count=12))
    found = WALK.search((ROOT / "README.md").read_text())
    assert found is not None
    with HttpServer(lambda _received: Answer(200)) as receiver:
        lines = found[1].replace("http://localhost:8000", server.url).replace("my-key", KEY)
        lines = lines.replace("https://example.com/hooks/done", f"{receiver.url}/done").replace("curl -s", "curl -sS")
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", lines],
            cwd=tmp_path,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert eventually(lambda: receiver.requests)

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(receiver.requests[0].body)
    assert (told["operation"], told["success"]) == ("upscale", True)
    assert (probe(tmp_path / "upscaled.mp4").width, probe(tmp_path / "upscaled.mp4").height) == (96, 64)
    assert "event: progress" in done.stdout
    assert "event: end" in done.stdout
    assert '"cinematic"' in done.stdout
    assert "Workflow preset 'Small + warm' saved successfully" in done.stdout
    assert "Pipeline completed successfully (2 operations)" in done.stdout
    assert done.stdout.rstrip().endswith("}")
    assert '"state":"cancelled"' in done.stdout.splitlines()[-1]


def test_the_python_examples_of_rest_md_work(server: RestServer, tmp_path: Path) -> None:
    """The test replaces the operation by one that needs no weights, and checks the message of a wrong field."""
    make_clip(tmp_path / "video.mp4", Spec(size=(48, 32), count=12))
    section = SECTION.search((ROOT / "docs" / "rest.md").read_text())
    assert section is not None
    replaced = {"interpolate": "filters", 'fps_mode="2x"': "blur=1", '"fps_mode": "2x"': '"blur": 1', "my-key": KEY}
    for example in EXAMPLE.findall(section[1]):
        good = example.replace("http://localhost:8000", server.url)
        for long, quick in replaced.items():
            good = good.replace(long, quick)
        bad = good.replace("blur=1", "blur=9").replace('"blur": 1', '"blur": 9')
        outcomes = [run_python(code, tmp_path) for code in (good, bad)]

        assert outcomes[0].returncode == 0, outcomes[0].stderr
        assert probe(tmp_path / "smooth.mp4").width == 48
        (tmp_path / "smooth.mp4").unlink()
        assert outcomes[1].returncode == 1
        assert "blur must be between 0 and 5" in outcomes[1].stderr
        assert "Traceback" not in outcomes[1].stderr


def run_python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The finished run of a program that finds the package."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
