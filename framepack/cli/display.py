"""What people see on stderr during a job or a download: a progress bar on a terminal, single lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Final, Self, cast

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from framepack.units import MB

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from framepack.job import Progress as JobProgress

_INTERVAL_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.2
_MOMENT, _MINUTE, _HOUR = 10, 60, 3600
_SLOW_RATE: Final = 10


class Display:
    """Shows one job after another; a context manager. The base class shows only notes.

    Attributes:
        latest: The last progress of the job; None before its first frame.
        on_loaded: Called with the name of each model that was loaded.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.latest: JobProgress | None = None
        self.on_loaded: Callable[[str], None] = lambda _model: None
        self._model: str | None = None

    def __enter__(self) -> Self:
        """Start."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""

    def begin(self, label: str) -> None:
        """Show that a job starts."""
        del label
        self.latest = None

    def loading(self, model: str | None) -> None:
        """Show that a model is being loaded; None: it was loaded."""
        if model is None and self._model is not None:
            self.on_loaded(self._model)
        self._model = model

    def waiting(self, what: str | None) -> None:
        """Show that the job waits for something that does not answer; None: it no longer waits."""
        if what is not None:
            self.note(f"Waiting for {what}, which does not answer ...")

    def progress(self, progress: JobProgress) -> None:
        """Show the progress of the job."""
        self.latest = progress

    def note(self, sentence: str) -> None:
        """Print a line of text."""
        self.console.print(sentence, markup=False, highlight=False, soft_wrap=True)


class LineDisplay(Display):
    """For logs and pipes: prints a line at the start and every few seconds."""

    _announced: str = ""
    _shown_at: float = 0.0

    def begin(self, label: str) -> None:
        """Show that a job starts."""
        super().begin(label)
        self._announced, self._shown_at = "", 0.0

    def loading(self, model: str | None) -> None:
        """Show that a model is being loaded, once."""
        super().loading(model)
        if model is not None and model != self._announced:
            self._announced = model
            self.note(f"Loading {model} ...")

    def progress(self, progress: JobProgress) -> None:
        """Show the progress of the job: at its first frame, every few seconds and at its end."""
        super().progress(progress)
        now = time.monotonic()
        if now - self._shown_at >= _INTERVAL_SECONDS or progress.done == progress.total:
            self._shown_at = now
            self.note(progress_line(progress))


class TerminalDisplay(Display):
    """For terminals: a progress bar that is removed at the end."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[counts]}", markup=False),
            console=console,
            transient=True,
            redirect_stdout=False,
        )
        self._task = self._bar.add_task("Starting ...", total=None, counts="")
        self._label = ""

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar."""
        self._bar.stop()

    def begin(self, label: str) -> None:
        """Show that a job starts."""
        super().begin(label)
        self._label = label
        self._bar.update(self._task, description=label, completed=0, total=None, counts="")

    def loading(self, model: str | None) -> None:
        """Show that a model is being loaded, instead of the job's label."""
        super().loading(model)
        self._bar.update(self._task, description=self._label if model is None else f"Loading {model} ...")

    def progress(self, progress: JobProgress) -> None:
        """Update the bar."""
        super().progress(progress)
        percent = progress.percent
        self._bar.update(
            self._task,
            completed=0 if percent is None else percent,
            total=None if percent is None else 100,
            counts=progress_line(progress),
        )

    def note(self, sentence: str) -> None:
        """Print a line of text above the bar."""
        self._bar.console.print(sentence, markup=False, highlight=False, soft_wrap=True)


class _Stderr:
    """Writes to stderr, and ignores errors: a job continues if its output can no longer be read."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self.encoding = getattr(sys.stderr, "encoding", "utf-8")

    def write(self, text: str) -> int:
        """Write if possible."""
        with suppress(OSError):
            if self._stream is not None:
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush if possible."""
        with suppress(OSError):
            if self._stream is not None:
                self._stream.flush()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()


def stderr_console() -> Console:
    """A console on stderr."""
    from rich.console import Console

    return Console(file=cast("IO[str]", _Stderr()))


def display_for(console: Console) -> Display:
    """The display for a console."""
    return TerminalDisplay(console) if console.is_terminal and not console.is_dumb_terminal else LineDisplay(console)


def progress_line(progress: JobProgress) -> str:
    """A job's progress as text: done, total, speed and time left."""
    total = f" of {progress.total}" if progress.total else ""
    unit = progress.unit.removesuffix("s") if (progress.total or progress.done) == 1 else progress.unit
    parts = [f"{progress.done}{total} {unit}"]
    if progress.seconds_per_unit:
        rate = 1 / progress.seconds_per_unit
        parts.append(f"{rate:.{2 if rate < _SLOW_RATE else 0}f} {progress.unit} per second")
    left = progress.remaining_seconds
    if left is not None and progress.done != progress.total:
        parts.append(f"{duration(left)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """A duration as text: "2.5 s", "45 s", "3 min 5 s", "2 h 10 min"."""
    whole = round(seconds)
    if seconds < _MOMENT:
        return f"{seconds:.1f} s"
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


class DownloadDisplay:
    """Shows downloads of weights, by watching the size of the partial file.

    Args:
        console: Where to print.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,
        )
        self._task = self._bar.add_task("", visible=False)
        self._part: Path | None = None

    @contextmanager
    def active(self) -> Iterator[None]:
        """Show the progress bar during the ``with`` block, if the console is a terminal."""
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            yield
            return
        ended = threading.Event()
        thread = threading.Thread(target=self._watch, args=(ended,), name="fetching", daemon=True)
        with self._bar:
            thread.start()
            try:
                yield
            finally:
                ended.set()
                thread.join()

    def begin(self, name: str, size_bytes: int, part: Path) -> None:
        """Show that the download of a file starts. Until it is complete, its content is in ``part``."""
        self._part = part
        self._bar.update(self._task, description=name, total=size_bytes, completed=0, visible=True)
        if not self._console.is_terminal:
            self.say(f"Fetching {name} ({size_bytes / MB:.1f} MB) ...")

    def say(self, line: str) -> None:
        """Print a line of text."""
        self._bar.update(self._task, visible=False)
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(_POLL_SECONDS):
            if self._part is not None and self._part.exists():
                self._bar.update(self._task, completed=_size(self._part))


def _size(part: Path) -> int:
    try:
        return part.stat().st_size
    except OSError:  # the download has just ended
        return 0
