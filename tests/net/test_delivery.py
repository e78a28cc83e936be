"""Webhooks are delivered if there is any way, and only to where they may go."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import replace
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from framepack.errors import SourceNotAllowed
from framepack.net import delivery
from framepack.net.addresses import Policy
from framepack.net.delivery import Courier, Delivery
from framepack.net.signing import Signer
from tests.support.canary import Canary, Names
from tests.support.http_server import Answer, Handler, HttpServer

BODY = json.dumps({"success": True, "text": "Grüße"}).encode()
HEADERS = {"Content-Type": "application/json"}


class Waits(list[float]):
    """Stands in for ``sleep``: remembers how long was to be waited."""

    def __call__(self, seconds: float) -> None:
        """Wait, in name."""
        self.append(seconds)


@pytest.fixture
def waits() -> Waits:
    """What the courier waited."""
    return Waits()


@pytest.fixture
def courier(loopback: Policy, waits: Waits) -> Courier:
    """A courier that may reach loopback and never sleeps."""
    return Courier(loopback, attempts=4, timeout_seconds=20, sleep=waits)


def in_turn(*answers: Answer) -> Handler:
    """Give one answer after the other."""
    left = iter(answers)
    return lambda _: next(left)


def failing(status: int, times: int = 4, **headers: str) -> Handler:
    """Fail that many times."""
    return in_turn(
        *[Answer(status, headers={name.replace("_", "-"): value for name, value in headers.items()})] * times
    )


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_2xx_answer_is_a_delivery(courier: Courier, waits: Waits, status: int) -> None:
    """Any 2xx is a success at the first try; body and headers arrive as given."""
    with HttpServer({"/hook": Answer(status)}) as server:
        result = courier.deliver(f"{server.url}/hook?id=7", BODY, HEADERS)
    assert result == Delivery(delivered=True, attempts=1, status=status)
    (request,) = server.requests
    assert (request.method, request.query, request.body) == ("POST", "id=7", BODY)
    assert request.headers["Content-Type"] == "application/json"
    assert waits == []


@pytest.mark.parametrize("status", [301, 302, 307, 308, 408, 425, 429, 500, 502, 503, 504])
def test_a_temporary_failure_is_retried(courier: Courier, waits: Waits, status: int) -> None:
    """Failures that may pass are tried again after growing waits."""
    failure = Answer(status, headers={"Location": "/elsewhere"})
    with HttpServer({"/": in_turn(failure, failure, Answer(200))}) as server:
        assert courier.deliver(f"{server.url}/", BODY, {}) == Delivery(delivered=True, attempts=3, status=200)
    assert [request.path for request in server.requests] == ["/", "/", "/"]
    assert len(waits) == 2
    assert 0.8 <= waits[0] <= 1.2
    assert 1.6 <= waits[1] <= 2.4


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
def test_a_permanent_failure_is_not_retried(courier: Courier, waits: Waits, status: int) -> None:
    """A receiver that will not take the message is not asked again."""
    with HttpServer({"/": Answer(status)}) as server:
        assert courier.deliver(f"{server.url}/", BODY, {}) == Delivery(delivered=False, attempts=1, status=status)
    assert len(server.requests) == 1
    assert waits == []


def test_delivery_fails_after_all_attempts(courier: Courier, waits: Waits) -> None:
    """After the last try nobody waits."""
    with HttpServer({"/": failing(503)}) as server:
        assert courier.deliver(f"{server.url}/", BODY, {}) == Delivery(delivered=False, attempts=4, status=503)
    assert (len(server.requests), len(waits)) == (4, 3)


def test_redirects_are_not_followed(courier: Courier) -> None:
    """A redirect is a failure; where it points to hears nothing."""
    with Canary() as canary:
        location = f"http://127.0.0.1:{canary.port}/"
        with HttpServer({"/": failing(307, Location=location)}) as server:
            assert not courier.deliver(f"{server.url}/", BODY, {}).delivered
        assert canary.connections == 0


def test_an_unreachable_receiver_is_a_failure(courier: Courier, waits: Waits) -> None:
    """Nobody listening is no error of ours: all tries are made and told."""
    with Canary() as canary:
        port = canary.port
    result = courier.deliver(f"http://127.0.0.1:{port}/", BODY, {})
    assert result == Delivery(delivered=False, attempts=4, status=None)
    assert len(waits) == 3


def test_a_receiver_that_recovers_gets_the_message(courier: Courier) -> None:
    """Broken connections are tried again like bad answers, also when the name does not resolve for a while."""
    names = Names({"hook.example": [[], ["127.0.0.1"]]})
    courier = replace(courier, policy=replace(courier.policy, resolve=names))
    with HttpServer({"/": in_turn(Answer(raw=b""), Answer(raw=b"noise\r\n"), Answer(204))}) as server:
        result = courier.deliver(f"http://hook.example:{server.port}/", BODY, {})
    assert result == Delivery(delivered=True, attempts=4, status=204)


def test_a_receiver_that_never_answers_is_a_failure(courier: Courier) -> None:
    """Each try has its own deadline."""
    courier = replace(courier, attempts=2, timeout_seconds=0.3)
    with HttpServer({}) as server:
        server.answers = {"/": lambda _: Answer(500 if server.closing.wait(20) else 200)}
        result = courier.deliver(f"{server.url}/", BODY, {})
    assert result == Delivery(delivered=False, attempts=2, status=None)
    assert len(server.requests) == 2


def test_the_body_of_the_answer_is_ignored(courier: Courier) -> None:
    """A receiver that answers 200 and then talks forever has the message."""

    def body() -> Iterator[bytes]:
        while not server.closing.is_set():
            yield b"x" * 65536

    with HttpServer({"/": Answer(200, body())}) as server:
        assert courier.deliver(f"{server.url}/", BODY, {}) == Delivery(delivered=True, attempts=1, status=200)


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("86400", 60, 60),
        ("9" * 5000, 60, 60),
        (format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(days=1)), 60, 60),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("soon", 0.8, 1.2),
        ("-5", 0.8, 1.2),
        ("٣", 0.8, 1.2),
    ],
)
def test_retry_after_is_honoured_up_to_a_minute(
    courier: Courier, waits: Waits, retry_after: str, least: float, most: float
) -> None:
    """Seconds and dates are understood, long waits are cut, and nonsense is ignored."""
    header = {"Retry-After": retry_after.encode().decode("latin-1")}
    with HttpServer({"/": in_turn(Answer(503, headers=header), Answer(200))}) as server:
        assert courier.deliver(f"{server.url}/", BODY, {}).delivered
    assert len(waits) == 1
    assert least <= waits[0] <= most


@given(st.text(st.characters(codec="latin-1")) | st.from_regex(r"[A-Z][a-z]{2}, \d+ Oct \d+ \d+:\d+:\d+ [+-]?\d*"))
def test_the_wait_is_0_to_60_seconds_for_any_retry_after(retry_after: str) -> None:
    """Whatever a receiver asks for, the wait is between nothing and a minute."""
    assert 0 <= delivery._wait_seconds(1, delivery._Answer(503, retry_after)) <= 60


def test_waits_between_attempts_are_limited(waits: Waits, loopback: Policy) -> None:
    """The longest wait is half a minute, give or take a fifth."""
    courier = Courier(loopback, attempts=10, sleep=waits)
    with HttpServer({"/": failing(500, times=10)}) as server:
        courier.deliver(f"{server.url}/", BODY, {})
    assert waits == sorted(waits[:5]) + waits[5:]
    assert all(24 <= wait <= 36 for wait in waits[5:])


def test_addresses_that_may_not_be_called_are_refused(courier: Courier, waits: Waits) -> None:
    """A private receiver is refused before anything is sent, and not tried again."""
    with Canary() as canary:
        ports = frozenset({canary.port})
        names = Names({"rebind.example": [["127.0.0.2"]]})
        courier = replace(courier, policy=Policy(ports=ports, resolve=names))
        for host in ("127.0.0.1", "localhost", "[::1]", "rebind.example"):
            with pytest.raises(SourceNotAllowed, match="not allowed"):
                courier.deliver(f"http://{host}:{canary.port}/", BODY, {})
        assert canary.connections == 0
    assert waits == []


@pytest.mark.parametrize("secret", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "just some words, größer"])
def test_every_attempt_has_its_own_signature(courier: Courier, secret: str) -> None:
    """An independent verifier accepts each try; the id stays, the time is that of the try."""
    times = iter([1_700_000_000.9, 1_700_000_060.0])
    signer = Signer(secret, clock=lambda: next(times))
    with HttpServer({"/": in_turn(Answer(500), Answer(200))}) as server:
        result = courier.deliver(f"{server.url}/", BODY, HEADERS, lambda body: signer.sign("msg_1", body))
    assert result.delivered
    assert [request.headers["webhook-id"] for request in server.requests] == ["msg_1", "msg_1"]
    assert [request.headers["webhook-timestamp"] for request in server.requests] == ["1700000000", "1700000060"]
    verifier = Webhook(secret if secret.startswith("whsec_") else secret.encode())
    for request in server.requests:
        moment = dt.datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), dt.UTC)
        assert verifier.sign("msg_1", moment, request.body.decode()) == request.headers["webhook-signature"]
