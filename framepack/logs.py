"""Logs of every process: readable lines on a terminal, one JSON object per line otherwise, and never a secret."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TextIO

from framepack import __version__
from framepack.settings import unknown_variables

if TYPE_CHECKING:
    from framepack.settings import Settings

JOB_THREAD: Final = "job "
"""Prefix of the names of threads that work for one job; the rest of the name is the job's id."""

log = logging.getLogger("framepack")

_FIELDS: Final = (
    "job_id",
    "operation",
    "state",
    "code",
    "error",
    "queued_seconds",
    "run_seconds",
    "frames",
    "output_bytes",
    "attempts",
    "device",
    "method",
    "path",
    "status",
    "milliseconds",
)
_LONGEST_FIELD: Final = 500
_LEVELS: Final = {
    **dict.fromkeys(("httpx", "urllib3", "uvicorn.access", "botocore", "runpod"), logging.ERROR),
    "uvicorn.error": logging.WARNING,  # below that, how it starts and stops
}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")  # a path may hold line breaks and escape sequences
_QUERY: Final = re.compile(r"\?[^\s'\"<>)]*=[^\s'\"<>)]*")
_USER: Final = re.compile(r"(\w://)[^\s/@'\"]+@")


class _Lines(logging.Formatter):
    """What both forms have in common: the job of a line, and no queries or passwords of addresses anywhere."""

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        given = {name: getattr(record, name) for name in _FIELDS if getattr(record, name, None) is not None}
        if (record.threadName or "").startswith(JOB_THREAD):
            given.setdefault("job_id", (record.threadName or "").removeprefix(JOB_THREAD))
        return {name: _short(value) if isinstance(value, str) else value for name, value in given.items()}

    def _exception(self, record: logging.LogRecord) -> str | None:
        return _clean(self.formatException(record.exc_info)) if record.exc_info else None


class JsonLines(_Lines):
    """A log record as one line of JSON: time, level, logger, message, and fields such as ``job_id``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _clean(record.getMessage()),
            **self._fields(record),
        }
        if (exception := self._exception(record)) is not None:
            line["exception"] = exception
        return json.dumps(line, ensure_ascii=False)


class TextLines(_Lines):
    """A log record as a line for people: time of day, level, message; an exception's traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        message = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", _clean(record.getMessage()))
        job_id = self._fields(record).get("job_id")
        about = f" (job {job_id})" if job_id and job_id not in message else ""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        lines = [f"{time} {record.levelname:7} {message}{about}", self._exception(record)]
        return "\n".join(line for line in lines if line is not None)


class _ToStderr(logging.StreamHandler[TextIO]):
    """Writes to whatever stderr is at the moment: a progress display takes its place for a while."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _stream: TextIO) -> None:
        """Stay with stderr."""


def start_logging(settings: Settings, *, is_command: bool = False, is_first: bool = True) -> None:
    """Set up this process's log, which goes to stderr, and warn of unknown variables.

    Args:
        settings: The level and the form; by default, the form depends on whether stderr is a terminal.
        is_command: Whether a person runs a single command: lines are text unless JSON was asked for, and only
            warnings and errors are shown unless a level was asked for.
        is_first: Whether nobody has warned of unknown variables yet.
    """
    chosen = settings.log_format
    is_text = chosen == "text" or (chosen == "auto" and (is_command or is_terminal()))
    handler = _ToStderr()
    handler.setFormatter(TextLines() if is_text else JsonLines())
    logging.root.handlers = [handler]
    is_quiet = is_command and "log_level" not in settings.model_fields_set
    logging.root.setLevel(logging.WARNING if is_quiet else settings.log_level)
    logging.captureWarnings(capture=True)
    for name, level in _LEVELS.items():
        logging.getLogger(name).setLevel(level)
    if not is_command:
        sys.excepthook = _uncaught
        threading.excepthook = lambda failed: _uncaught(failed.exc_type, failed.exc_value, failed.exc_traceback)
    for sentence in unknown_variables() if is_first else ():
        log.warning(sentence)


def log_start(settings: Settings) -> None:
    """Write what a long-running process works with, so that its log says where to look."""
    log.info("FramePack worker %s: store %s, weights %s", __version__, settings.storage, settings.weights_dir)


def is_terminal() -> bool:
    """Whether a person is looking at stderr."""
    return sys.stderr.isatty()


def adopt(library: str) -> None:
    """Send a library's log lines through ours; call it after importing one that brings a handler of its own."""
    logger = logging.getLogger(library)
    logger.handlers.clear()
    logger.propagate = True


def _uncaught(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    if error is None or issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    log.critical("unexpected error", exc_info=(kind, error, traceback))


def _short(text: str) -> str:
    cleaned = _clean(text)
    return cleaned if len(cleaned) <= _LONGEST_FIELD else f"{cleaned[:_LONGEST_FIELD]}..."


def _clean(text: str) -> str:
    return _USER.sub(r"\1...@", _QUERY.sub("?...", text))
