"""Every command of docs/cli.md is run, in order, in one folder."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from framepack.media.read.probe import probe
from tests.support.clips import AudioSpec, Spec, make_clip
from tests.support.control_plane import ROOT
from tests.support.forked_commands import Ended, run_commands

PAGE = (ROOT / "docs" / "cli.md").read_text()
BLOCK = re.compile(r"(<!-- needs weights -->\n)?```bash\n(.*?)```", re.DOTALL)
FILE = re.compile(r"`(\w+\.json)`:\n\n```json\n(.*?)```", re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the page names."""
    make_clip(tmp_path / "clip.mp4", Spec(size=(64, 48), count=24, audio=AudioSpec(seconds=0.96)))
    make_clip(tmp_path / "other.mp4", Spec(size=(64, 48), count=12))
    Image.new("RGB", (64, 48), "teal").save(tmp_path / "image.png")
    for name, content in FILE.findall(PAGE):
        (tmp_path / name).write_text(content)
    return tmp_path


def run(lines: list[str], folder: Path) -> list[Ended]:
    """Run lines of the page, which must be plain commands; nothing is fetched."""
    environment = {
        **os.environ,
        "FRAMEPACK_WEIGHTS_DIR": str(folder / "weights"),
        "FRAMEPACK_WEIGHTS_DOWNLOAD": "false",
        "FRAMEPACK_TEMP_DIR": str(folder / "temp"),
    }
    words = [shlex.split(line, comments=True) for line in lines]
    assert {program for program, *_ in words} == {"framepack"}
    return run_commands([arguments for _, *arguments in words], folder, environment, 250)


def test_every_command_of_cli_md_works(folder: Path) -> None:
    """Commands that need weights fail with a message that they are missing."""
    lines = [(line, needs) for needs, block in BLOCK.findall(PAGE) for line in filter(None, block.splitlines())]
    printed = {}
    for (line, needs_weights), done in zip(lines, run([line for line, _ in lines], folder), strict=True):
        printed[line.partition("  ")[0]] = done.stdout
        if needs_weights:
            assert (done.returncode, "weights fetch" in done.stdout + done.stderr) == (1, True), (line, done)
        else:
            assert done.returncode == 0, (line, done)

    shown = {path.name: probe(path) for path in folder.iterdir() if path.suffix in {".mp4", ".webm", ".gif"}}
    assert (shown["large.mp4"].width, shown["large.mp4"].frame_count) == (128, 24)
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
