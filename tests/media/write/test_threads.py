"""The threads of the encoders: by the processors that the process may use, and with bounded memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from framepack.media.write import encoders
from framepack.media.write.encoders import h264_threads
from framepack.media.write.writer import write
from tests.support.clips import Spec, make_clip
from tests.support.control_plane import ROOT

ENCODE = """
import os, resource, sys
from fractions import Fraction
from pathlib import Path
import av, numpy
os.sched_getaffinity = lambda _process: set(range(int(sys.argv[1])))
from framepack.media.clip import Clip
from framepack.media.frames.arrays import planes_of
from framepack.media.clip import HostFrame
from framepack.media.write.writer import write
def frames():
    for number in range(int(sys.argv[2])):
        frame = av.VideoFrame(5120, 2880, "yuv420p")
        for plane in (planes_of(frame).y, planes_of(frame).u, planes_of(frame).v):
            plane[:] = number
        yield HostFrame(frame)
count = write(Clip(frames, Fraction(25), 5120, 2880, int(sys.argv[2])), Path(sys.argv[3]), preset="ultrafast")
assert count == int(sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.parametrize(
    ("processors", "height", "threads"),
    [(1, 720, 1), (2, 720, 3), (4, 720, 6), (8, 1080, 12), (64, 2880, 16), (64, 480, 15), (64, 96, 3), (64, 16, 1)],
)
def test_x264_gets_its_usual_threads_up_to_16(
    monkeypatch: pytest.MonkeyPatch, processors: int, height: int, threads: int
) -> None:
    """One and a half per processor, and two rows of macroblocks for each."""
    monkeypatch.setattr(encoders, "usable_processors", lambda: processors)
    assert h264_threads(height) == threads


@pytest.mark.parametrize("processors", [1, 2, 64])
def test_the_h264_encoder_gets_its_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processors: int) -> None:
    """The settings that x264 writes into its stream show them."""
    monkeypatch.setattr(encoders, "usable_processors", lambda: processors)
    source = make_clip(tmp_path / "clip.mp4", Spec(size=(160, 640), count=3))
    clip = open_clip(source, probe(source), warn=lambda _: None)

    write(clip, tmp_path / "output.mp4")

    found = re.search(rb"threads=(\d+)", (tmp_path / "output.mp4").read_bytes())
    assert found is not None
    assert int(found[1]) == h264_threads(640)


@pytest.mark.slow
def test_memory_of_a_large_encode_does_not_grow_with_the_machine_or_the_length(tmp_path: Path) -> None:
    """On a machine with 64 processors, 5120x2880 takes what it takes with 12, however long the video is."""

    def peak(processors: int, count: int) -> int:
        command = [sys.executable, "-c", ENCODE, str(processors), str(count), str(tmp_path / "output.mp4")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=dict(os.environ))
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    small, large, longer = peak(12, 60), peak(64, 60), peak(64, 120)
    assert large < 1.15 * small, (small, large, longer)
    assert longer < 1.15 * large, (small, large, longer)
    assert longer < 3_000_000_000
