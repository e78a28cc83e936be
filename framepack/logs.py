"""Logs of every process: readable lines on a terminal, otherwise one JSON object per line; never a secret."""

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
"""Prefix of the names of threads that work for one job; the job's id follows."""

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
    "uvicorn.error": logging.WARNING,  # below that, it logs its start and stop
}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")  # a path may contain line breaks and escape sequences
_QUERY: Final = re.compile(r"\?[^\s'\"<>)]*=[^\s'\"<>)]*")
_USER: Final = re.compile(r"(\w://)[^\s/@'\"]+@")


class _Lines(logging.Formatter):
    """Common to both formats: the job of a line, and the removal of queries and passwords from URLs."""

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
    """A log record as readable text: time of day, level and message; a traceback on the lines below."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        message = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", _clean(record.getMessage()))
        job_id = self._fields(record).get("job_id")
        about = f" (job {job_id})" if job_id and job_id not in message else ""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        lines = [f"{time} {record.levelname:7} {message}{about}", self._exception(record)]
        return "\n".join(line for line in lines if line is not None)


class _ToStderr(logging.StreamHandler[TextIO]):
    """Writes to the current ``sys.stderr``, which a progress display replaces for a while."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _stream: TextIO) -> None:
        """Ignored: the stream is always stderr."""


def start_logging(settings: Settings, *, is_command: bool = False, is_first: bool = True) -> None:
    """Set up logging to stderr, and warn about unknown variables.

    Args:
        settings: Level and format; by default, the format depends on whether stderr is a terminal.
        is_command: Whether a person runs a single command: unless the settings say otherwise, lines are text, and
            only warnings and errors are shown.
        is_first: Whether this is the first process, which warns about unknown variables.
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
    """Log the version and the locations that a long-running process uses."""
    log.info("FramePack worker %s: store %s, weights %s", __version__, settings.storage, settings.weights_dir)


def is_terminal() -> bool:
    """Whether stderr is a terminal."""
    return sys.stderr.isatty()


def adopt(library: str) -> None:
    """Replace the log handlers of a library by ours; call it after importing a library that adds its own."""
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
