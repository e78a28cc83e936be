"""What a person sees on stderr while a job runs: a moving line on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Final, Self, cast

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

if TYPE_CHECKING:
    from rich.console import Console

    from framepack.job import Progress as JobProgress

_INTERVAL_SECONDS: Final = 5.0
_MOMENT, _MINUTE, _HOUR = 10, 60, 3600
_SLOW_RATE: Final = 10


class Display:
    """Shows one job after another; a context manager. This one shows nothing but notes.

    Attributes:
        latest: How far the job is, or None before its first frame.
        on_loaded: Called when a model has been loaded, with its name.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.latest: JobProgress | None = None
        self.on_loaded: Callable[[str], None] = lambda _model: None
        self._model: str | None = None

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End."""

    def begin(self, label: str) -> None:
        """Show that the job ``label`` begins."""
        del label
        self.latest = None

    def loading(self, model: str | None) -> None:
        """Show that a model is being loaded; None: it is loaded."""
        if model is None and self._model is not None:
            self.on_loaded(self._model)
        self._model = model

    def progress(self, progress: JobProgress) -> None:
        """Show how far the job is."""
        self.latest = progress

    def note(self, sentence: str) -> None:
        """Show a sentence that stays."""
        self.console.print(sentence, markup=False, highlight=False, soft_wrap=True)


class Lines(Display):
    """For logs and pipes: a line when something begins, and every few seconds."""

    _announced: str = ""
    _shown_at: float = 0.0

    def begin(self, label: str) -> None:
        """Show that a job begins."""
        super().begin(label)
        self._announced, self._shown_at = "", 0.0

    def loading(self, model: str | None) -> None:
        """Show that a model is being loaded, once."""
        super().loading(model)
        if model is not None and model != self._announced:
            self._announced = model
            self.note(f"Loading {model} ...")

    def progress(self, progress: JobProgress) -> None:
        """Show how far the job is, at the first frame, every few seconds and at the end."""
        super().progress(progress)
        now = time.monotonic()
        if now - self._shown_at >= _INTERVAL_SECONDS or progress.done == progress.total:
            self._shown_at = now
            self.note(described(progress))


class Terminal(Display):
    """For people: one line with a bar that is always up to date, and gone at the end."""

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
        """Begin to draw."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the line."""
        self._bar.stop()

    def begin(self, label: str) -> None:
        """Show that a job begins."""
        super().begin(label)
        self._label = label
        self._bar.update(self._task, description=label, completed=0, total=None, counts="")

    def loading(self, model: str | None) -> None:
        """Show that a model is being loaded, in place of the job's label."""
        super().loading(model)
        self._bar.update(self._task, description=self._label if model is None else f"Loading {model} ...")

    def progress(self, progress: JobProgress) -> None:
        """Draw how far the job is."""
        super().progress(progress)
        percent = progress.percent
        self._bar.update(
            self._task,
            completed=0 if percent is None else percent,
            total=None if percent is None else 100,
            counts=described(progress),
        )

    def note(self, sentence: str) -> None:
        """Print a sentence above the line."""
        self._bar.console.print(sentence, markup=False, highlight=False, soft_wrap=True)


class _Stderr:
    """Stderr, until nobody reads it any more: then the work goes on unseen."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self.encoding = getattr(sys.stderr, "encoding", "utf-8")

    def write(self, text: str) -> int:
        """Write, if that is possible."""
        with suppress(OSError):
            if self._stream is not None:
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that is possible."""
        with suppress(OSError):
            if self._stream is not None:
                self._stream.flush()

    def isatty(self) -> bool:
        """Whether a person is looking."""
        return self._stream is not None and self._stream.isatty()


def stderr_console() -> Console:
    """The console that people look at."""
    from rich.console import Console

    return Console(file=cast("IO[str]", _Stderr()))


def display(console: Console) -> Display:
    """What fits the console."""
    return Terminal(console) if console.is_terminal and not console.is_dumb_terminal else Lines(console)


def described(progress: JobProgress) -> str:
    """A job's progress as a line: how much of how much, how fast, and the time left."""
    total = f" of {progress.total}" if progress.total else ""
    unit = progress.unit.removesuffix("s") if (progress.total or progress.done) == 1 else progress.unit
    parts = [f"{progress.done}{total} {unit}"]
    if progress.done and progress.elapsed_seconds > 0:
        rate = progress.done / progress.elapsed_seconds
        parts.append(f"{rate:.{2 if rate < _SLOW_RATE else 0}f} {progress.unit} per second")
    left = progress.remaining_seconds
    if left is not None and progress.done != progress.total:
        parts.append(f"{duration(left)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """A time for people: "2.5 s", "45 s", "3 min 5 s", "2 h 10 min"."""
    whole = round(seconds)
    if seconds < _MOMENT:
        return f"{seconds:.1f} s"
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
