"""An extraction whose process is killed: no partial folder is ever visible, and clean-up removes all of it."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from framepack.files.removed import RemovedFiles
from framepack.storage.frames.folders import remove_unfinished_folders
from tests.operations.conftest import StoreSettings
from tests.support.clips import AudioSpec, Spec, make_clip, numbered
from tests.support.runs import bench

ROOT = Path(__file__).parents[2]
CHILD = """
import json, sys
from pathlib import Path
from tests.support.runs import bench
settings = json.loads(sys.argv[1])
worker = bench(Path(sys.argv[2]), **settings)
print("ready", flush=True)
answer = worker.run("extract_frames", Path(sys.argv[3]))
print(answer["folder_name"], flush=True)
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that takes a second or two to extract."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    return make_clip(path, Spec(size=(480, 360), count=150, frame=numbered, audio=AudioSpec(seconds=6)))


@pytest.mark.parametrize("moment", range(2))
def test_a_killed_extraction_shows_nothing(new_store: StoreSettings, clip: Path, tmp_path: Path, moment: int) -> None:
    """Killed while frames arrive: other workers see no folder before, nor after the kill, and all can be removed."""
    settings = new_store()
    worker = bench(tmp_path, **settings)
    storage = worker.runtime.storage
    seen = random.Random(moment).randint(2, 20)  # noqa: S311 - no secret
    command = [sys.executable, "-c", CHILD, json.dumps(settings), str(tmp_path), str(clip)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        while sum(found.key.name.endswith(".png") for found in storage.list()) < seen:
            assert worker.run("list_frame_folders")["folders"] == []
            assert child.poll() is None
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        assert child.stdout.read() == ""
    left = [found for found in storage.list() if "state/unfinished" not in str(found.key)]
    assert worker.run("list_frame_folders")["folders"] == []
    assert worker.run("list_frames", folder=left[0].key.segments[-2])["status"] == 404
    assert remove_unfinished_folders(storage, 600) == RemovedFiles()  # it might be alive
    assert remove_unfinished_folders(storage, 0) == RemovedFiles(len(left), sum(found.size_bytes for found in left))
    assert list(storage.list()) == []
    answer = worker.run("extract_frames", clip, extraction_rate=100)
    assert worker.run("list_frame_folders")["folders"] == [answer["folder_name"]]
    assert worker.leftovers() == []  # the next job of the machine has removed the dead one's files
