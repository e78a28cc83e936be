"""Every command of docs/cli.md is run, in order, in one folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from framepack.media.read.probe import probe
from tests.support.clips import AudioSpec, Spec, make_clip
from tests.support.control_plane import ROOT

PAGE = (ROOT / "docs" / "cli.md").read_text()
BLOCK = re.compile(r"(<!-- needs weights -->\n)?```bash\n(.*?)```", re.DOTALL)
FILE = re.compile(r"`(\w+\.json)`:\n\n```json\n(.*?)```", re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the page names, and the command ``framepack`` in ``bin``."""
    make_clip(tmp_path / "clip.mp4", Spec(size=(96, 64), count=24, audio=AudioSpec(seconds=0.96)))
    make_clip(tmp_path / "other.mp4", Spec(size=(96, 64), count=12))
    Image.new("RGB", (64, 48), "teal").save(tmp_path / "image.png")
    for name, content in FILE.findall(PAGE):
        (tmp_path / name).write_text(content)
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "framepack"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m framepack "$@"\n')
    command.chmod(0o755)
    return tmp_path


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of the page as a shell would; nothing is fetched."""
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "FRAMEPACK_WEIGHTS_DIR": str(folder / "weights"),
        "FRAMEPACK_WEIGHTS_DOWNLOAD": "false",
        "FRAMEPACK_TEMP_DIR": str(folder / "temp"),
    }
    return subprocess.run(
        ["/bin/sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_every_command_of_cli_md_works(folder: Path) -> None:
    """Commands that need weights fail with a message that they are missing."""
    printed = {}
    for needs_weights, block in BLOCK.findall(PAGE):
        for line in filter(None, block.splitlines()):
            done = run(line, folder)
            printed[line.partition("  ")[0]] = done.stdout
            if needs_weights:
                assert (done.returncode, "weights fetch" in done.stdout + done.stderr) == (1, True), (line, done)
            else:
                assert done.returncode == 0, (line, done)

    shown = {path.name: probe(path) for path in folder.iterdir() if path.suffix in {".mp4", ".webm", ".gif"}}
    assert (shown["large.mp4"].width, shown["large.mp4"].frame_count) == (192, 24)
    assert shown["look.mp4"].frame_count == 6
    assert shown["loop.mp4"].frame_count == 46
    assert shown["joined.mp4"].frame_count == 36
    assert shown["processed.mp4"].frame_count == 48
    assert shown["preset.mp4"].frame_count == 72
    assert shown["small.webm"].codec.startswith("vp9")
    assert shown["warm.gif"].codec == "gif"
    assert shown["again.mp4"].audio is not None
    assert sorted(path.name for path in (folder / "graded").iterdir()) == ["clip.mp4", "other.mp4"]
    assert json.loads(printed["framepack run analyze clip.mp4"])["analysis"]["total_frames"] == 24
    assert len(json.loads(printed["framepack run analyze clip.mp4 other.mp4 --json"])) == 2
    assert [path for path in (folder / "temp").iterdir() if path.is_dir()] == []
