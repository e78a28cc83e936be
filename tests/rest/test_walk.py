"""The README's walk through the REST side works line by line, and so does the example in Python."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from framepack.media.read.probe import probe
from tests.support.clips import Spec, make_clip
from tests.support.control_plane import ROOT
from tests.support.http_server import Answer, HttpServer
from tests.support.rest_server import KEY, RestServer, eventually

EXAMPLE = re.compile(r"## From Python\n\n```python\n(.*?)```", re.DOTALL)
WALK = re.compile(r"<!-- walk -->\n```bash\n(.*?)```", re.DOTALL)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_commands_of_the_readme_work(tmp_path: Path) -> None:
    """They upload, upscale with a callback, follow, download, save a preset, run it as a pipeline, and cancel."""
    make_clip(tmp_path / "video.mp4", Spec(size=(96, 64), count=12))
    found = WALK.search((ROOT / "README.md").read_text())
    assert found is not None
    with HttpServer(lambda _received: Answer(200)) as receiver, RestServer(tmp_path) as server:
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
    assert (probe(tmp_path / "upscaled.mp4").width, probe(tmp_path / "upscaled.mp4").height) == (192, 128)
    assert "event: progress" in done.stdout
    assert "event: end" in done.stdout
    assert '"cinematic"' in done.stdout
    assert "Workflow preset 'Small + warm' saved successfully" in done.stdout
    assert "Pipeline completed successfully (2 operations)" in done.stdout
    assert done.stdout.rstrip().endswith("}")
    assert '"state":"cancelled"' in done.stdout.splitlines()[-1]


def test_the_python_example_of_rest_md_works(tmp_path: Path) -> None:
    """The test replaces the operation by one that needs no weights, and checks the message of a failed job."""
    make_clip(tmp_path / "video.mp4", Spec(size=(96, 64), count=12))
    found = EXAMPLE.search((ROOT / "docs" / "rest.md").read_text())
    assert found is not None
    with RestServer(tmp_path) as server:
        lines = found[1].replace("http://localhost:8000", server.url).replace("my-key", KEY)
        good = lines.replace("postprocess/interpolate", "postprocess/filters").replace(
            '"fps_mode": "2x"', '"blur": 1'
        )
        assert good != lines
        bad = good.replace("json={", 'json={"preset": "unknown", ')
        outcomes = [
            subprocess.run(
                [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
            )
            for code in (good, bad)
        ]

    assert outcomes[0].returncode == 0, outcomes[0].stderr
    assert outcomes[0].stdout.splitlines()[-1].startswith("completed")
    assert probe(tmp_path / "smooth.mp4").width == 96
    assert outcomes[1].returncode == 1
    assert "unknown" in outcomes[1].stderr
    assert "Traceback" not in outcomes[1].stderr
