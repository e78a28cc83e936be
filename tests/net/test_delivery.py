"""One attempt to deliver a webhook: what counts as a delivery, and only to where it may go."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepack.net import delivery
from framepack.net.addresses import Policy
from framepack.net.delivery import Courier, Delivery
from tests.support.canary import Canary, Names
from tests.support.http_server import Answer, HttpServer

BODY = json.dumps({"success": True, "text": "Grüße"}).encode()
HEADERS = {"Content-Type": "application/json"}
SECONDS = 20.0


@pytest.fixture
def courier(loopback: Policy) -> Courier:
    """A courier that may reach loopback."""
    return Courier(loopback)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_2xx_answer_is_a_delivery(courier: Courier, status: int) -> None:
    """Any 2xx is a success; body and headers arrive as given."""
    with HttpServer({"/hook": Answer(status)}) as server:
        outcome = courier.post(f"{server.url}/hook?id=7", BODY, HEADERS, SECONDS)
    assert (outcome, outcome.is_delivered) == (Delivery(status), True)
    (request,) = server.requests
    assert (request.method, request.query, request.body) == ("POST", "id=7", BODY)
    assert request.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 408, 410, 422, 429, 500, 502, 503])
def test_every_other_answer_is_a_failure_with_its_status(courier: Courier, status: int) -> None:
    """Nothing but 2xx is a delivery; only 410 asks for no further attempts."""
    with HttpServer({"/": Answer(status, headers={"Location": "/elsewhere"})}) as server:
        outcome = courier.post(f"{server.url}/", BODY, {}, SECONDS)
    assert (outcome.status, outcome.reason, outcome.is_delivered) == (status, f"HTTP {status}", False)
    assert outcome.is_refused == (status == 410)
    assert [request.path for request in server.requests] == ["/"]


def test_redirects_are_not_followed(courier: Courier) -> None:
    """Where a redirect points to hears nothing."""
    with Canary() as canary:
        location = f"http://127.0.0.1:{canary.port}/"
        with HttpServer({"/": Answer(307, headers={"Location": location})}) as server:
            assert not courier.post(f"{server.url}/", BODY, {}, SECONDS).is_delivered
        assert canary.connections == 0


def test_an_unreachable_receiver_is_a_failure_with_its_reason(courier: Courier) -> None:
    """Nobody listening is no error of ours; the reason is in the system's words."""
    with Canary() as canary:
        port = canary.port
    assert courier.post(f"http://127.0.0.1:{port}/", BODY, {}, SECONDS) == Delivery(None, "connection refused")


@pytest.mark.parametrize("raw", [b"", b"noise\r\n"])
def test_a_broken_connection_is_a_failure(courier: Courier, raw: bytes) -> None:
    """So is an answer that is not HTTP."""
    with HttpServer({"/": Answer(raw=raw)}) as server:
        outcome = courier.post(f"{server.url}/", BODY, {}, SECONDS)
    assert (outcome.status, outcome.is_delivered) == (None, False)
    assert outcome.reason


def test_a_name_that_does_not_resolve_is_a_failure(courier: Courier) -> None:
    """A receiver may have no address for a while."""
    courier = replace(courier, policy=replace(courier.policy, resolve=Names({"hook.example": [[]]})))
    outcome = courier.post("http://hook.example/", BODY, {}, SECONDS)
    assert (outcome.status, outcome.is_delivered) == (None, False)


def test_a_receiver_that_never_answers_is_left_at_the_deadline(courier: Courier) -> None:
    """The time limit ends the attempt while the receiver still holds the connection."""
    with HttpServer({}) as server:
        server.answers = {"/": lambda _: Answer(500 if server.closing.wait(60) else 200)}
        started = time.monotonic()
        outcome = courier.post(f"{server.url}/", BODY, {}, 0.3)
        assert time.monotonic() - started < 30
    assert outcome == Delivery(None, "timed out")


def test_the_body_of_the_answer_is_ignored(courier: Courier) -> None:
    """A receiver that answers 200 and then talks forever has the message."""

    def body() -> Iterator[bytes]:
        while not server.closing.is_set():
            yield b"x" * 65536

    with HttpServer({"/": Answer(200, body())}) as server:
        assert courier.post(f"{server.url}/", BODY, {}, SECONDS).is_delivered


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("9" * 5000, 1e300, float("inf")),
        ("tomorrow", 86_000, 86_400),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
    ],
    ids=["seconds", "zero", "many digits", "date", "past date"],
)
def test_retry_after_is_understood(courier: Courier, retry_after: str, least: float, most: float) -> None:
    """Seconds and dates are understood; how long a pause may be is for the outbox to say."""
    if retry_after == "tomorrow":
        retry_after = format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(days=1))
    with HttpServer({"/": Answer(503, headers={"Retry-After": retry_after})}) as server:
        asked = courier.post(f"{server.url}/", BODY, {}, SECONDS).retry_after_seconds
    assert asked is not None
    assert least <= asked <= most


@pytest.mark.parametrize("retry_after", ["soon", "-5", "٣", ""])
def test_nonsense_in_retry_after_is_ignored(courier: Courier, retry_after: str) -> None:
    """What is neither a number nor a date asks for nothing."""
    header = {"Retry-After": retry_after.encode().decode("latin-1")}
    with HttpServer({"/": Answer(503, headers=header)}) as server:
        assert courier.post(f"{server.url}/", BODY, {}, SECONDS).retry_after_seconds is None


@given(st.text(st.characters(codec="latin-1")) | st.from_regex(r"[A-Z][a-z]{2}, \d+ Oct \d+ \d+:\d+:\d+ [+-]?\d*"))
def test_no_retry_after_breaks_the_delivery(retry_after: str) -> None:
    """Whatever a receiver asks for, it is nothing or a pause."""
    asked = delivery._asked_seconds(retry_after)
    assert asked is None or asked >= 0


def test_addresses_that_may_not_be_called_hear_nothing(courier: Courier) -> None:
    """A private receiver is a failure before anything is sent, also if its name became private."""
    with Canary() as canary:
        ports = frozenset({canary.port})
        names = Names({"rebind.example": [["127.0.0.2"]]})
        courier = replace(courier, policy=Policy(ports=ports, resolve=names))
        for host in ("127.0.0.1", "localhost", "[::1]", "rebind.example"):
            outcome = courier.post(f"http://{host}:{canary.port}/", BODY, {}, SECONDS)
            assert outcome == Delivery(None, "address not allowed")
        assert canary.connections == 0
