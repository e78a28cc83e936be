"""Log lines as JSON, one per event, with the job's id and without secrets; the same in the server and its worker."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Final

JOB_THREAD: Final = "job "
"""A thread whose name begins so works for the job that the rest of its name tells."""

_FIELDS: Final = ("job_id", "method", "path", "status", "milliseconds")
_NOISY: Final = ("httpx", "urllib3", "uvicorn.access", "botocore", "runpod")
_QUERY: Final = re.compile(r"\?[^\s'\"<>)]*=[^\s'\"<>)]*")
_USER: Final = re.compile(r"(\w://)[^\s/@'\"]+@")


class JsonLines(logging.Formatter):
    """A log record as one line of JSON. Queries and passwords of addresses are left out, wherever they stand."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _clean(record.getMessage()),
            **{name: getattr(record, name) for name in _FIELDS if hasattr(record, name)},
        }
        if (record.threadName or "").startswith(JOB_THREAD):
            line.setdefault("job_id", (record.threadName or "").removeprefix(JOB_THREAD))
        if record.exc_info:
            line["exception"] = _clean(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def log_json(level: str) -> None:
    """Let this process write its log as JSON to stderr, from ``level`` on."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.root.handlers = [handler]
    logging.root.setLevel(level)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)  # they show addresses with their queries


def _clean(text: str) -> str:
    return _USER.sub(r"\1...@", _QUERY.sub("?...", text))
