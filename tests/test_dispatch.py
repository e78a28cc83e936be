"""From input to answer, whatever happens in between."""

import errno
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from framepack.api.schemas import CallbackRequest, Response
from framepack.callback import Callbacks
from framepack.dispatch import Dispatcher
from framepack.errors import Busy, Cancelled, Conflict, FramepackError, OutOfMemory, SourceNotAllowed, TooLarge
from framepack.job import Job, JobInput
from framepack.outbox.message import Message
from framepack.processing.context import Context
from framepack.processing.operation import operation
from framepack.registry import Registry


class Sample(CallbackRequest):
    """A request with one number."""

    strength: float = 0.5


class Output(Response):
    """An answer with an output."""

    success: bool = True
    message: str = "Done"
    output_path: str = "/outputs/a.mp4"
    output_filename: str = "a.mp4"
    output_file_size: int = 3
    output_video_base64: str | None = "AAAA"


class Desk:
    """A dispatcher around one operation whose behavior a test chooses; it keeps the messages about ended jobs."""

    def __init__(self, behavior: Callable[[Sample], Output]) -> None:
        @operation("POST", "/sample")
        def sample(request: Sample, ctx: Context) -> Output:
            """Do what the test wants."""
            return behavior(request)

        self.sent: list[Message] = []
        self.before: dict[str, Any] | None = None
        self.open = 0
        now = datetime(2024, 12, 4, 14, 30, 22, 123456, UTC)
        callbacks = Callbacks(self._check_address, lambda url: url.rpartition("/")[0], lambda: now)
        self.dispatcher = Dispatcher(Registry([sample]), self._job_context, callbacks, self)

    def run(self, fields: object) -> dict[str, Any]:
        """Run one call."""
        return self.dispatcher.run(JobInput(fields), Job("job-1"))

    @contextmanager
    def _job_context(self, job: Job, call: JobInput) -> Iterator[Context]:
        self.open += 1
        try:
            yield cast("Context", SimpleNamespace(job=job))
        finally:
            self.open -= 1

    def answer(self, job_input: JobInput, job: Job) -> dict[str, Any] | None:
        """The answer of the job, if the test says that it has ended before."""
        return self.before

    def end(self, message: Message, answer: dict[str, Any], job_input: JobInput, job: Job) -> dict[str, Any]:
        """Keep the message."""
        self.sent.append(message)
        return answer

    def _check_address(self, address: str) -> None:
        if "private" in address:
            raise SourceNotAllowed("This URL is not allowed.")


def fails(error: Exception) -> Callable[[Sample], Output]:
    """A behavior that raises ``error``."""

    def behave(_: Sample) -> Output:
        raise error

    return behave


def works(_: Sample) -> Output:
    """A behavior that succeeds."""
    return Output()


@pytest.mark.parametrize(
    ("fields", "code", "status"),
    [
        (None, "invalid_field", 400),
        ([], "invalid_field", 400),
        ("text", "invalid_field", 400),
        ({}, "invalid_field", 400),
        ({"endpoint": 5}, "invalid_field", 400),
        ({"endpoint": ["sample"]}, "invalid_field", 400),
        ({"endpoint": "sample", "method": 1}, "invalid_field", 400),
        ({"endpoint": "nowhere"}, "unknown_endpoint", 404),
        ({"endpoint": "nowhere \ud800"}, "unknown_endpoint", 404),
        ({"endpoint": "sample", "strenght": 1}, "invalid_field", 400),
        ({"endpoint": "sample", "\ud800": 1}, "invalid_field", 400),
        ({"endpoint": "sample", 5: 1}, "invalid_field", 400),
    ],
)
def test_invalid_input_is_answered_with_an_error(fields: object, code: str, status: int) -> None:
    """The answer has one sentence, a code and a status, and can be encoded as JSON."""
    answer = Desk(works).run(fields)

    assert (answer["code"], answer["status"]) == (code, status)
    assert set(answer) == {"error", "code", "status"}
    assert json.dumps(answer, ensure_ascii=False).encode()


@pytest.mark.parametrize("error", [TooLarge("Too large."), Conflict("In use."), Busy("Busy."), OutOfMemory("Full.")])
def test_public_errors_keep_their_message(error: FramepackError) -> None:
    """The client gets the message unchanged."""
    answer = Desk(fails(error)).run({"endpoint": "sample"})

    assert answer == {"error": error.message, "code": error.code, "status": error.status}


def test_an_unexpected_error_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """The client gets a general message. The exception is only logged."""
    with caplog.at_level(logging.ERROR):
        answer = Desk(fails(RuntimeError("/secret/path"))).run({"endpoint": "sample"})

    assert (answer["code"], answer["status"]) == ("internal_error", 500)
    assert "/secret/path" not in json.dumps(answer)
    assert "/secret/path" in caplog.text


def test_a_full_disk_is_answered_with_507() -> None:
    """ENOSPC may be raised anywhere."""
    answer = Desk(fails(OSError(errno.ENOSPC, "No space left"))).run({"endpoint": "sample"})

    assert (answer["code"], answer["status"]) == ("disk_full", 507)


@pytest.mark.parametrize(
    "behavior", [works, fails(TooLarge("No.")), fails(RuntimeError("x")), fails(Cancelled("No."))]
)
def test_the_job_context_is_always_closed(behavior: Callable[[Sample], Output]) -> None:
    """This holds after success, an error of the client, an unexpected error and cancellation."""
    desk = Desk(behavior)
    desk.run({"endpoint": "sample"})

    assert desk.open == 0


def test_a_success_sends_the_documented_callback() -> None:
    """It is sent before the answer is returned."""
    desk = Desk(works)
    answer = desk.run({"endpoint": "sample", "strength": 0.25, "callback_url": "https://example.com/cb"})

    assert answer["success"]
    [message] = desk.sent
    assert message.url == "https://example.com/cb"
    assert re.fullmatch(r"msg_job-1_[0-9a-f]{12}", message.id)
    assert message.headers == {"Content-Type": "application/json", "X-Operation-Type": "sample"}
    body = json.loads(message.body)
    assert body == {
        "type": "postprocess",
        "operation": "sample",
        "job_id": "job-1",
        "success": True,
        "timestamp": "2024-12-04T14:30:22.123456",
        "output_path": "/outputs/a.mp4",
        "output_filename": "a.mp4",
        "output_file_size": 3,
        "output_base64": "AAAA",
        "metadata": {"strength": 0.25},
    }


@pytest.mark.parametrize(
    ("fields", "behavior", "sentence", "code"),
    [
        (
            {},
            fails(OutOfMemory("Model failed to load: insufficient VRAM")),
            "Model failed to load: insufficient VRAM",
            "out_of_memory",
        ),
        ({"strength": "x"}, works, "strength must be a valid number, not 'x'.", "invalid_field"),
        (
            {},
            fails(RuntimeError("secret")),
            "Something went wrong on our side; the worker's log has the details.",
            "internal_error",
        ),
    ],
)
def test_a_failure_sends_a_callback(
    fields: dict[str, Any], behavior: Callable[[Sample], Output], sentence: str, code: str
) -> None:
    """This includes requests that cannot be parsed."""
    desk = Desk(behavior)
    desk.run({"endpoint": "sample", "callback_url": "https://example.com/cb", **fields})

    [message] = desk.sent
    assert json.loads(message.body) == {
        "type": "postprocess",
        "operation": "sample",
        "job_id": "job-1",
        "success": False,
        "timestamp": "2024-12-04T14:30:22.123456",
        "error": sentence,
        "code": code,
        "metadata": None,
    }
    assert message.answer["code"] == code


def test_a_private_callback_address_is_refused_before_work() -> None:
    """The operation does not run."""
    ran = []

    def behave(request: Sample) -> Output:
        ran.append(request)
        return Output()

    answer = Desk(behave).run({"endpoint": "sample", "callback_url": "https://private.example/cb"})

    assert answer["code"] == "source_not_allowed"
    assert ran == []


@pytest.mark.parametrize("before", [{"success": True, "message": "Done before"}, {"error": "x", "status": 500}])
def test_a_job_that_has_ended_before_is_not_run_again(before: dict[str, Any]) -> None:
    """Its answer is returned as it was, and there is no second message about it."""
    ran = []
    desk = Desk(lambda request: ran.append(request) or Output())  # type: ignore[func-returns-value]
    desk.before = before
    assert desk.run({"endpoint": "sample", "callback_url": "https://example.com/cb"}) == before
    assert (ran, desk.sent) == ([], [])


def test_only_jobs_with_a_callback_are_looked_up() -> None:
    """A job without a callback does not ask the store whether it has ended before."""
    desk = Desk(works)
    desk.before = {"success": True, "message": "of another job"}
    assert desk.run({"endpoint": "sample"})["message"] == "Done"


def test_a_token_is_sent_and_not_shown() -> None:
    """The receiver's token is part of the message, and neither of its body nor of any text about it."""
    desk = Desk(works)
    fields = {"callback_url": "https://example.com/cb?key=canary", "callback_token": "canary-token"}
    answer = desk.run({"endpoint": "sample", **fields})
    [message] = desk.sent
    assert message.token == "canary-token"
    shown = [message.body, repr(message), repr(message.record), message.record.model_dump_json(), str(answer)]
    assert not [text for text in shown if "canary" in text]


@pytest.mark.parametrize("token", ["two words", "line\r\nX-Header: 1", "t\u00f6ken", "x" * 4097, 5, ["canary"]])
def test_a_token_that_is_no_header_is_refused(token: object) -> None:
    """It is refused before work, with a sentence that does not repeat it; nobody is called with half a receiver."""
    desk = Desk(works)
    answer = desk.run({"endpoint": "sample", "callback_url": "https://example.com/cb", "callback_token": token})
    sentence = "callback_token must have 1 to 4096 ASCII characters and no spaces."
    assert answer == {"error": sentence, "code": "invalid_field", "status": 400}
    assert desk.sent == []


def test_without_a_callback_url_no_callback_is_sent() -> None:
    """This holds for success and failure."""
    for behavior in (works, fails(TooLarge("No."))):
        desk = Desk(behavior)
        desk.run({"endpoint": "sample"})
        assert desk.sent == []
