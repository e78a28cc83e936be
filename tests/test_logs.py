"""Log lines: one object of JSON per line for machines, readable lines for people, secrets in neither."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from framepack.answer import failure, output_bytes
from framepack.errors import Cancelled, InvalidField, StorageFailed
from framepack.job_log import JobEnd, log_job_end, log_job_start
from framepack.logs import JOB_THREAD, JsonLines, TextLines, adopt
from tests.support.control_plane import ROOT

STARTS = """
import logging, threading, warnings
from framepack.logs import log_start, start_logging
from framepack.settings import load_settings
settings = load_settings()
start_logging(settings)
log_start(settings)
import huggingface_hub
from framepack.logs import adopt
adopt("huggingface_hub")
logging.getLogger("huggingface_hub.file_download").warning("slow")
logging.getLogger("uvicorn.error").error("no socket")
warnings.warn("old", DeprecationWarning)
warnings.warn("odd", UserWarning)
failing = threading.Thread(target=lambda: 1 / 0)
failing.start()
failing.join()
raise RuntimeError("https://user:password@host/?token=secret")
"""


def record(
    message: str, failed: Exception | None = None, thread: str = "MainThread", **extra: Any
) -> logging.LogRecord:
    """A record as a logger makes it."""
    info = None if failed is None else (type(failed), failed, None)
    made = logging.LogRecord("a", logging.INFO, "", 0, message, None, info)
    made.threadName = thread
    vars(made).update(extra)
    return made


def formatted(message: str, error: Exception | None = None, thread: str = "MainThread") -> dict[str, str]:
    """What the log shows."""
    line: dict[str, str] = json.loads(JsonLines().format(record(message, error, thread)))
    return line


def test_queries_and_passwords_of_urls_are_not_logged() -> None:
    """URLs may be in messages and in exceptions. The rest of the line is kept."""
    line = formatted("got http://h/a.mp4?sig=secret&b=1, then 'http://me:secret@h/b?c' in \"ftp://x:secret@y\"")
    assert "secret" not in line["message"]
    assert line["message"].startswith("got http://h/a.mp4?... then 'http://...@h/b?c'")
    assert formatted("what now? a = b")["message"] == "what now? a = b"
    shown = formatted("no", OSError("refused: /a.mp4?X-Amz-Signature=secret"))
    assert "secret" not in json.dumps(shown)
    assert "refused: /a.mp4" in shown["exception"]


def test_a_jobs_thread_names_its_job() -> None:
    """The job's id is a field of the line."""
    assert formatted("hello", thread=f"{JOB_THREAD}abc")["job_id"] == "abc"
    assert "job_id" not in formatted("hello")


def test_text_lines_name_the_job_once() -> None:
    """A line for people has time, level and message, and the job's id if the message does not say it."""
    line = TextLines().format(record("worker lost", job_id="abc"))
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO    worker lost \(job abc\)", line)
    assert TextLines().format(record("job abc: done", job_id="abc")).endswith("job abc: done")


def test_text_lines_cannot_be_forged() -> None:
    """A path with line breaks and escape sequences stays on its line."""
    line = TextLines().format(record("GET /a\n12:00:00 INFO faked\x1b[2J 404"))
    assert line.endswith("GET /a\\x0a12:00:00 INFO faked\\x1b[2J 404")


def test_long_fields_are_shortened() -> None:
    """Messages may quote long input of a client."""
    line = json.loads(JsonLines().format(record("m", error="x" * 10_000)))
    assert len(line["error"]) < 600


@pytest.fixture
def library() -> Iterator[logging.Logger]:
    """The logger of a library."""
    logger = logging.getLogger("some_library")
    yield logger
    logger.handlers.clear()


def test_handlers_of_libraries_are_removed(library: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    """Lines of libraries are written once, by our handler."""
    library.addHandler(logging.StreamHandler())
    library.propagate = False

    adopt(library.name)
    library.warning("hello")

    assert library.handlers == []
    assert [each.getMessage() for each in caplog.records] == ["hello"]


def started(stderr: int, **settings: str) -> subprocess.CompletedProcess[bytes]:
    """A process that logs, warns and dies of an error."""
    environment = {**os.environ, **{f"FRAMEPACK_{name.upper()}": value for name, value in settings.items()}}
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", STARTS],
        cwd=ROOT,
        env=environment,
        stderr=stderr,
        timeout=60,
        check=False,
    )


def test_without_a_terminal_every_line_is_json() -> None:
    """This includes Python warnings, lines of libraries and uncaught exceptions."""
    ended = started(subprocess.PIPE, storage="file:/somewhere", api_key="misspelled")

    assert ended.returncode == 1
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [(each["level"], each["logger"]) for each in lines] == [
        ("WARNING", "framepack"),
        ("INFO", "framepack"),
        ("WARNING", "huggingface_hub.file_download"),
        ("ERROR", "uvicorn.error"),
        ("WARNING", "py.warnings"),
        ("WARNING", "py.warnings"),
        ("CRITICAL", "framepack"),
        ("CRITICAL", "framepack"),
    ]
    assert lines[0]["message"].endswith("did you mean FRAMEPACK_API_KEYS?")
    assert "store file:/somewhere" in lines[1]["message"]
    assert "ZeroDivisionError" in lines[6]["exception"]
    assert "RuntimeError: https://...@host/?..." in lines[7]["exception"]
    assert b"misspelled" not in ended.stderr


@pytest.mark.parametrize(("form", "start"), [("auto", "12:"), ("text", "12:"), ("json", "{")])
def test_on_a_terminal_lines_are_plain_text(form: str, start: str) -> None:
    """The format can also be set explicitly."""
    parent, child = pty.openpty()
    try:
        started(child, log_format=form)
        written = os.read(parent, 100_000).decode()
    finally:
        os.close(parent)
        os.close(child)

    errors = [line for line in written.splitlines() if "no socket" in line]
    assert [re.sub(r"^\d\d:\d\d:\d\d ", "12:00:00 ", line)[: len(start)] for line in errors] == [start]


def test_a_job_has_a_line_at_its_start_and_one_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """They are sentences, with all figures as fields."""
    answer = {"success": True, "output_file_size": 1_500_000}
    with caplog.at_level(logging.INFO):
        log_job_start("abc", "upscale", 2)
        log_job_end(JobEnd("abc", "upscale", answer, 12.3456, 0.2, 48, 2, "cuda:0"))

    first, last = caplog.records
    assert first.getMessage() == "job abc: upscale started (attempt 2)"
    assert last.getMessage() == (
        "job abc: upscale completed (12.3 s, queued 0.2 s, 48 frames, 1.50 MB, 2 attempts, cuda:0)"
    )
    line = json.loads(JsonLines().format(last))
    assert {name: line[name] for name in line if name not in {"time", "message"}} == {
        "level": "INFO",
        "logger": "framepack.jobs",
        "job_id": "abc",
        "operation": "upscale",
        "state": "completed",
        "queued_seconds": 0.2,
        "run_seconds": 12.346,
        "frames": 48,
        "output_bytes": 1_500_000,
        "attempts": 2,
        "device": "cuda:0",
    }


@pytest.mark.parametrize(
    ("error", "level", "line"),
    [
        (InvalidField("No."), logging.INFO, "job abc: loop failed: No. (invalid_field)"),
        (Cancelled("Stopped."), logging.INFO, "job abc: loop cancelled: Stopped. (cancelled)"),
        (StorageFailed("Away."), logging.WARNING, "job abc: loop failed: Away. (storage_failed)"),
    ],
)
def test_a_failed_job_is_a_warning_unless_the_client_erred(
    error: Any, level: int, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Errors of clients are no reason for an alert."""
    with caplog.at_level(logging.INFO):
        log_job_end(JobEnd("abc", "loop", failure(error)))

    [shown] = caplog.records
    assert (shown.levelno, shown.getMessage()) == (level, line)


def test_bytes_of_a_batch_are_added_up() -> None:
    """Outputs in nested results count, too."""
    results = [{"output_file_size": 10}, {"error": "none"}, {"output_file_size": 5}]
    assert output_bytes({"success": True, "results": results}) == 15
    assert output_bytes({"error": "x", "status": 500}) == 0
