"""Ctrl-C and SIGTERM, in real processes: the finished part is kept, the temporary folder is gone, no traceback."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from framepack.media.read.probe import probe
from tests.support.clips import AudioSpec, Spec, make_clip, number_of, numbered
from tests.support.control_plane import ROOT
from tests.support.readback import audio_of, read_back
from tests.support.rest_server import eventually
from tests.support.stuck_network import StuckNetwork

SECONDS = 120
FRAMES = 1500
NOTHING: Mapping[str, str] = {}
SLOWLY = ["--denoise", "10", "--film-grain", "50"]
STOPPED = re.compile(r"Stopped after (\d+) of (\d+) frames; the finished part is in (\S+)\.")


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that takes long with every operation that decodes it."""
    spec = Spec(size=(192, 108), count=FRAMES, frame=numbered, audio=AudioSpec(seconds=60.0), options={"crf": "30"})
    return make_clip(tmp_path_factory.mktemp("clips") / "long.mp4", spec)


@dataclass
class Running:
    """A command that runs, with what it printed so far on stderr, or on its terminal."""

    process: subprocess.Popen[bytes]
    reading: int
    printed: bytes = b""
    stdout: bytes = field(default=b"")

    def until(self, pattern: str) -> None:
        """Wait until something is printed."""
        deadline = time.monotonic() + SECONDS
        while not re.search(pattern, self.text) and time.monotonic() < deadline and self._read():
            pass
        assert re.search(pattern, self.text), self.text

    def end(self) -> int:
        """Wait for the end; returns the exit status."""
        while self._read():
            pass
        self.stdout = self.process.stdout.read() if self.process.stdout else b""
        return self.process.wait(SECONDS)

    @property
    def text(self) -> str:
        """What was printed, without the control sequences of a terminal."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.printed.decode(errors="replace"))

    def _read(self) -> bool:
        try:
            data = os.read(self.reading, 65_536)
        except OSError:  # the other end of the terminal is closed
            return False
        self.printed += data
        return bool(data)


@contextmanager
def running(
    folder: Path, *arguments: object, terminal: bool = False, more: Mapping[str, str] = NOTHING
) -> Iterator[Running]:
    """Start a command in ``folder``, on a terminal of its own if asked for, with more variables."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm",
        "FRAMEPACK_TEMP_DIR": str(folder / "temp"),
        "FRAMEPACK_WEIGHTS_DIR": str(folder / "weights"),
        "FRAMEPACK_WEIGHTS_DOWNLOAD": "false",
        "FRAMEPACK_DEVICE": "cpu",
        **more,
    }
    reading, writing = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "framepack", "run", *map(str, arguments)],
        cwd=folder,
        env=environment,
        stdin=writing if terminal else subprocess.DEVNULL,
        stdout=writing if terminal else subprocess.PIPE,
        stderr=writing,
        start_new_session=True,
        preexec_fn=_take_terminal if terminal else None,  # noqa: PLW1509 - no threads in between
    )
    os.close(writing)
    try:
        yield Running(process, reading)
    finally:
        process.kill()
        process.wait()
        os.close(reading)
        if process.stdout:
            process.stdout.close()


def _take_terminal() -> None:
    """Make stdin the controlling terminal, so that Ctrl-C on it is a signal."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def nothing_left(folder: Path) -> bool:
    """Whether no working file of a run is there."""
    temp = folder / "temp"
    return not temp.exists() or list(temp.iterdir()) == []


def test_ctrl_c_on_a_terminal_keeps_the_finished_part(long_clip: Path, tmp_path: Path) -> None:
    """The exit status is 130. The part has the first frames, and its audio ends with them."""
    (tmp_path / "out.part.mp4").write_text("an older part")
    with running(tmp_path, "filters", long_clip, "-o", "out.mp4", *SLOWLY, terminal=True) as run:
        run.until(r"\d\d of 1500 frames")
        os.write(run.reading, b"\x03")
        status = run.end()

    found = STOPPED.search(run.text)
    assert found is not None, run.text
    assert (status, found[3]) == (130, "out.part-2.mp4")
    assert "Traceback" not in run.text
    written = read_back(tmp_path / "out.part-2.mp4")
    samples, rate = audio_of(tmp_path / "out.part-2.mp4")
    assert int(found[1]) == len(written.frames) < FRAMES
    first = written.frames[:20]  # a slow machine may have fewer
    assert [number_of(each) for each in first] == [number % 16 for number in range(len(first))]
    assert len(samples) / rate == pytest.approx(len(written.frames) / 25, abs=0.04)
    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == ["out.part-2.mp4", "out.part.mp4"]
    assert nothing_left(tmp_path)


@pytest.mark.parametrize("suffix", ["mp4", "gif"])
def test_sigterm_keeps_the_finished_part_too(suffix: str, long_clip: Path, tmp_path: Path) -> None:
    """The exit status is 143. With --json the message is JSON."""
    with running(tmp_path, "filters", long_clip, "-o", f"out.{suffix}", *SLOWLY, "--json") as run:
        run.until(r"of 1500 frames")
        run.process.terminate()
        status = run.end()

    answer = json.loads(run.stdout)
    assert (status, answer["code"], answer["output_path"]) == (143, "cancelled", f"out.part.{suffix}")
    assert STOPPED.fullmatch(answer["error"])
    assert probe(tmp_path / f"out.part.{suffix}").frame_count == answer["frames"]
    assert "Traceback" not in run.text
    assert nothing_left(tmp_path)


def test_stopping_before_the_first_frame_writes_nothing(long_clip: Path, tmp_path: Path) -> None:
    """The command is stopped while a model is loaded."""
    with running(tmp_path, "upscale", long_clip, "-o", "out.mp4", "--model", "RealESR_AnimeVideo_v3") as run:
        run.until("Loading RealESR_AnimeVideo_v3 ...")
        run.process.send_signal(signal.SIGINT)
        status = run.end()

    assert status == 130
    assert run.text.splitlines()[-1].startswith("framepack: Stopped before the first frame")
    assert "Traceback" not in run.text
    assert run.stdout == b""
    assert list(tmp_path.glob("out*")) == []
    assert nothing_left(tmp_path)


def test_upscaling_stops_within_a_frame(tmp_path: Path) -> None:
    """The network itself checks for cancellation. The part has the frames that were reported."""
    clip = make_clip(tmp_path / "in.mp4", Spec(size=(64, 48), count=400))
    with running(tmp_path, "upscale", clip, "-o", "out.mp4", "--model", "RealESR_AnimeVideo_v3") as run:
        run.until(r"of 400 frames")
        run.process.send_signal(signal.SIGINT)
        assert run.end() == 130

    found = STOPPED.search(run.text)
    assert found is not None, run.text
    part = probe(tmp_path / "out.part.mp4")
    assert (part.width, part.frame_count) == (128, int(found[1]))


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    """A frame that takes minutes is being computed. No result is kept, and the temporary folder is removed."""
    clip = make_clip(tmp_path / "in.mp4", Spec(size=(32, 32), count=400))
    network = StuckNetwork(tmp_path / "network")
    command = ["upscale", clip, "-o", "out.mp4", "--model", "RealESRGAN_x4plus"]
    with running(tmp_path, *command, more=network.environment) as run:
        run.until(r"of 400 frames")
        network.stick()
        assert eventually(lambda: network.has_struck)
        run.process.send_signal(signal.SIGINT)
        run.until("press Ctrl-C again")
        run.process.send_signal(signal.SIGINT)
        status = run.end()

    assert status == 130
    assert run.text.splitlines()[-1] == "framepack: Stopped immediately; nothing was kept."
    assert (
        "RealESRGAN_x4plus is slow on a CPU; the model RealESR_AnimeVideo_v3 takes a fraction of the time."
        in run.text
    )
    assert "Traceback" not in run.text
    assert list(tmp_path.glob("out*")) == []
    assert nothing_left(tmp_path)


def test_stopping_a_batch_keeps_finished_videos_and_the_current_part(long_clip: Path, tmp_path: Path) -> None:
    """The remaining videos are not started."""
    short = make_clip(tmp_path / "short.mp4", Spec(size=(64, 48), count=5))
    other = make_clip(tmp_path / "other.mp4", Spec(size=(64, 48), count=5))
    with running(tmp_path, "filters", short, long_clip, other, "-o", "results", *SLOWLY) as run:
        run.until(r"of 1500 frames")
        run.process.send_signal(signal.SIGINT)
        assert run.end() == 130

    assert run.stdout.decode().splitlines() == ["results/short.mp4"]
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["long.part.mp4", "short.mp4"]


def test_stopping_an_extraction_writes_nothing_and_says_so(long_clip: Path, tmp_path: Path) -> None:
    """The message has the progress. No working file remains."""
    with running(tmp_path, "extract-frames", long_clip, "-o", "frames") as run:
        run.until(r"of 1500 frames")
        run.process.send_signal(signal.SIGINT)
        status = run.end()

    assert status == 130
    assert re.fullmatch(
        r"framepack: Stopped after \d+ of 1500 frames; nothing was written\.", run.text.splitlines()[-1]
    )
    assert not (tmp_path / "frames").exists()
    assert nothing_left(tmp_path)


INTERRUPTED_IMPORT = """
import signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            signal.raise_signal(signal.SIGINT)

module, sys.argv[1:] = sys.argv[1], ["operations"]
sys.meta_path.insert(0, Finder())
from framepack.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize("module", ["framepack.cli.program", "typer", "framepack.operations.postprocess.loop"])
def test_ctrl_c_while_the_command_starts_prints_one_sentence(module: str) -> None:
    """Loading its modules takes most of a second."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT, module], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "framepack: Interrupted.\n")


def test_the_job_goes_on_when_stderr_is_closed(clip: Path, tmp_path: Path) -> None:
    """Only the progress is lost."""
    with running(tmp_path, "filters", clip, "-o", "out.mp4", "--preset", "warm") as run:
        os.close(run.reading)
        run.reading = os.open(os.devnull, os.O_RDONLY)
        assert run.process.wait(SECONDS) == 0

    assert probe(tmp_path / "out.mp4").frame_count == 12


LEAVING = """
import atexit, sys, threading, time

class Kept:
    def __del__(self):
        print("taken apart")

def last():
    threading.main_thread().join()
    time.sleep(0.2)
    print("thread")

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "framepack.cli.program":
            self.kept = Kept()
            atexit.register(print, "hook")
            threading.Thread(target=last).start()

sys.meta_path.insert(0, Finder())
from framepack.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize(("arguments", "status"), [(["operations"], 0), (["run", "upscale", "none.mp4"], 2)])
def test_a_command_ends_without_taking_the_interpreter_apart(arguments: list[str], status: int) -> None:
    """Threads end and functions for the exit are called, output is complete, and the exit status is the command's."""
    command = [sys.executable, "-c", LEAVING, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert done.stdout.splitlines()[-2:] == ["thread", "hook"]
    assert "taken apart" not in done.stdout
    assert bool(done.stderr) == bool(status)
