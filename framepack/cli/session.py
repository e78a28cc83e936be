"""Runs jobs in this process, stops them on signals, and captures the log."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from framepack.cli.output import print_json
from framepack.errors import Cancelled
from framepack.job import Job, JobInput

if TYPE_CHECKING:
    from types import FrameType

    from framepack.answer import Answer
    from framepack.cli.display import Display
    from framepack.cli.local import FileRuntime, LocalRequest
    from framepack.job import Progress

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_POLL_SECONDS: Final = 0.1
_PATIENCE_SECONDS: Final = 1.0  # for a job without finished frames
_EXIT_BASE: Final = 128  # the shell's convention: plus the number of the signal
_SHOW_CURSOR: Final = "\x1b[?25h"
_ATTEMPTS: Final = 5


@dataclass(slots=True)
class StopSignal:
    """Handles SIGINT and SIGTERM.

    Attributes:
        folder: Working folder, which is removed if the process exits immediately.
        number: Number of the signal that was received, or 0.
        job: The running job.
        wants_json: Whether the last message is printed as JSON, too.
    """

    folder: Path
    number: int = 0
    job: Job | None = None
    wants_json: bool = False

    @property
    def status(self) -> int:
        """The exit status after a signal."""
        return _EXIT_BASE + self.number

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle signals during the ``with`` block: the first stops the job, the second exits immediately."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._handle_signal) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.number:
            self.exit_now("Stopped immediately; nothing was kept.")
        self.number = number
        if self.job is not None:
            self.job.cancel()

    def exit_now(self, sentence: str) -> None:
        """Remove the working files and exit the process, without waiting for its threads."""
        _remove(self.folder)
        cursor = _SHOW_CURSOR if sys.stderr is not None and sys.stderr.isatty() else ""
        with suppress(OSError):
            if self.wants_json:
                print_json({"error": sentence, "code": Cancelled.code})
            if sys.stdout is not None:
                sys.stdout.flush()
            os.write(2, f"{cursor}{chr(13) + chr(10) if cursor else ''}framepack: {sentence}\n".encode())
        os._exit(self.status)


@dataclass(slots=True)
class Session:
    """Runs jobs one after another on one runtime, so that models stay loaded.

    Attributes:
        runtime: Runs the jobs.
        display: Shows their progress.
        stop: Handles signals.
    """

    runtime: FileRuntime
    display: Display
    stop: StopSignal

    def run(self, fields: Mapping[str, Any], request: LocalRequest) -> Answer:
        """Run a job in a thread, because only the main thread can handle signals."""
        job = Job(
            "run",
            self.display.progress,
            on_model_loading=self.display.loading,
            on_waiting=self.display.waiting,
            keeps_partial=True,
        )
        answers: list[Answer] = []
        self.runtime.request = request
        self.stop.job = job
        if self.stop.number:
            job.cancel()
        thread = threading.Thread(
            target=lambda: answers.append(self.runtime.run(JobInput(dict(fields)), job)), name="job", daemon=True
        )
        thread.start()
        self._wait(thread)
        return answers[0]

    def _wait(self, thread: threading.Thread) -> None:
        since = None
        while thread.is_alive():
            thread.join(_POLL_SECONDS)
            if not self.stop.number:
                continue
            if since is None:
                since = time.monotonic()
                if self.display.latest is not None:
                    self.display.note("Stopping after this frame; press Ctrl-C again to stop immediately.")
            if self.display.latest is None and time.monotonic() - since > _PATIENCE_SECONDS:
                self.display.__exit__()
                self.stop.exit_now(nothing_kept(None))
        thread.join()


def nothing_kept(latest: Progress | None) -> str:
    """The message for a job that was stopped and has no partial result."""
    if latest is None:
        return "Stopped before the first frame was finished; nothing was written."
    return f"Stopped after {latest.done} of {latest.total or 'all'} {latest.unit}; nothing was written."


def _remove(folder: Path) -> None:
    """Remove the working files of this process. Threads may still be writing to them.

    If some remain, the lock file remains too, so that the next run finds and removes them.
    """
    for _ in range(_ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            folder.with_suffix(".lock").unlink(missing_ok=True)
            return


@dataclass(slots=True)
class CommandLog:
    """Captures the log: shows warnings, and keeps the traceback of an unexpected error.

    Attributes:
        show: Prints a line.
        folder: Folder for tracebacks.
        debug: Whether all records are shown, including tracebacks.
    """

    show: Callable[[str], None]
    folder: Path
    debug: bool = False
    _error: BaseException | None = field(default=None, init=False)

    @contextmanager
    def captured(self) -> Iterator[None]:
        """Handle the log of the package during the ``with`` block."""
        logger = logging.getLogger("framepack")
        handler = _Handler(self)
        before = logger.level, logger.propagate
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG if self.debug else logging.WARNING)
        logger.propagate = False
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.level, logger.propagate = before

    def handle(self, record: logging.LogRecord) -> None:
        """Show a record, or keep its exception."""
        if record.exc_info and record.exc_info[1] is not None:
            self._error = record.exc_info[1]
        elif self.debug or record.levelno >= logging.WARNING:
            self.show(record.getMessage())

    def defect(self, sentence: str) -> str:
        """The message for an unexpected error, with the place of its traceback; ``sentence`` if none was logged."""
        return (
            sentence if self._error is None else defect(self._error, self.folder, self.show if self.debug else None)
        )


class _Handler(logging.Handler):
    def __init__(self, log: CommandLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.handle(record)


def defect(error: BaseException, folder: Path, show: Callable[[str], None] | None) -> str:
    """The message for an unexpected error, whose traceback is shown or written to a file."""
    text = "".join(traceback.format_exception(error))
    what = f"Unexpected error in framepack ({type(error).__name__}: {str(error)[:200]})"
    if show is not None:
        show(text.rstrip())
        return f"{what}; the traceback is above."
    path = folder / f"error-{time.strftime('%y%m%d-%H%M%S')}-{os.getpid()}.log"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError:
        return f"{what}; --debug shows the traceback."
    return f"{what}; the traceback is in {path}, and --debug shows it."
