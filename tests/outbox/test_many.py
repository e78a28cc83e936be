"""Many callbacks over real HTTP, and receivers that are slow or break connections."""

from __future__ import annotations

import json
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from standardwebhooks import Webhook

from framepack.net.addresses import Policy
from framepack.net.delivery import Courier, Delivery
from framepack.net.signing import Signer
from framepack.outbox.deliverer import Deliverer
from framepack.outbox.message import CallbackState, Message
from framepack.outbox.messages import ROOT
from framepack.outbox.outbox import Outbox
from framepack.settings import Settings
from framepack.storage.base import Storage
from framepack.storage.local import LocalStorage
from framepack.storage.open import open_storage
from tests.support.http_server import Answer, HttpServer, Received
from tests.support.outbox import Simulated, message
from tests.support.rest_server import eventually
from tests.support.s3_server import s3_server
from tests.support.simulated_store import Clock
from tests.support.stores import bucket_settings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOOPBACK = Policy(allowed_hosts=("127.0.0.1",))


def to(server: HttpServer, job_id: str, clock: Clock) -> Message:
    """A message to a real receiver."""
    sent = message(job_id, clock)
    record = sent.record.with_changes(receiver=server.url)
    return sent.model_copy(update={"url": f"{server.url}/hook", "record": record})


def post(url: str, name: str, body: bytes, headers: dict[str, str], limit: float) -> Delivery:
    """Attempt a delivery over HTTP, signed."""
    return Courier(LOOPBACK).post(url, body, {**headers, **Signer(SECRET).sign(name, body)}, limit)


def test_a_thousand_callbacks_reach_a_receiver_that_resets_every_other_connection(simulated: Simulated) -> None:
    """All arrive, each under one id; every attempt passes an independent verifier."""
    lock = threading.Lock()
    heard: Counter[str] = Counter()
    accepted: Counter[str] = Counter()

    def receive(received: Received) -> Answer:
        Webhook(SECRET).verify(received.body, {name.lower(): value for name, value in received.headers.items()})
        name = received.headers["webhook-id"]
        number = int(json.loads(received.body)["job_id"].removeprefix("job-"))
        with lock:
            heard[name] += 1
            if (heard[name] + number) % 2:  # of two attempts, one; of the first attempts, half
                return Answer(raw=b"")
            accepted[name] += 1
        return Answer(200)

    simulated.outbox.send = post  # type: ignore[assignment]
    with HttpServer(receive) as server:
        messages = [to(server, f"job-{number}", simulated.clock) for number in range(1000)]
        for each in messages:
            simulated.outbox.add(each)
        deliverer = Deliverer(simulated.outbox, 3600)
        while deliverer.deliver_all():
            simulated.clock.advance(100_000)
    assert accepted == {each.id: 1 for each in messages}
    assert sum(heard.values()) == 1500
    assert simulated.states() == {CallbackState.DELIVERED: 1000}


def test_a_slow_receiver_delays_no_other(tmp_path: Path) -> None:
    """Twenty callbacks wait for a receiver that does not answer; one to another receiver, added last, arrives."""
    outbox = Outbox(lambda: storage, post)  # type: ignore[arg-type]
    storage, clock = LocalStorage(tmp_path), Clock()
    with HttpServer({}) as slow, HttpServer({"/hook": Answer(200)}) as quick:
        slow.answers = {"/hook": lambda _: Answer(200 if slow.closing.wait(60) else 500)}
        for number in range(20):
            outbox.add(to(slow, f"slow-{number}", clock))
        deliverer = Deliverer(outbox, 3600)
        deliverer.start()
        assert eventually(lambda: len(slow.requests) == 4)
        outbox.add(to(quick, "quick", clock))
        deliverer.wake()
        assert eventually(lambda: len(quick.requests) == 1)
        assert len(slow.requests) == 4
        deliverer.stop()


def test_many_slow_receivers_delay_no_first_attempt(tmp_path: Path) -> None:
    """Forty callbacks wait for twenty receivers that do not answer; one to another receiver, added last, arrives."""
    outbox = Outbox(lambda: storage, post)  # type: ignore[arg-type]
    storage, clock = LocalStorage(tmp_path), Clock()
    with ExitStack() as stack:
        slow = [stack.enter_context(HttpServer({})) for _ in range(20)]
        quick = stack.enter_context(HttpServer({"/hook": Answer(200)}))
        stop = threading.Event()
        stack.callback(stop.set)
        for number, each in enumerate([*slow, *slow]):
            each.answers = {"/hook": lambda _: Answer(200 if stop.wait(60) else 500)}
            outbox.add(to(each, f"slow-{number}", clock))
        deliverer = Deliverer(outbox, 3600)
        stack.callback(deliverer.stop)
        deliverer.start()
        assert eventually(lambda: sum(len(each.requests) for each in slow) == 40)
        outbox.add(to(quick, "quick", clock))
        deliverer.wake()
        assert eventually(lambda: len(quick.requests) == 1)


def test_retries_leave_slots_for_first_attempts(simulated: Simulated) -> None:
    """A hundred retries to a hundred receivers that stall fill 48 slots; first attempts still start."""
    stop = threading.Event()

    def stall(_number: int) -> Delivery:
        stop.wait(60)
        return Delivery(500, "HTTP 500")

    for number in range(100):
        sent = message(f"job-{number}", simulated.clock)
        record = sent.record.with_changes(receiver=f"https://{number}.example", attempts=1)
        simulated.outbox.add(sent.model_copy(update={"record": record}))
    simulated.answer = stall
    deliverer = Deliverer(simulated.outbox, 3600)
    try:
        deliverer.start()
        assert eventually(lambda: len(simulated.sent) == 48)
        first = message("first", simulated.clock)
        simulated.outbox.add(first)
        deliverer.wake()
        assert eventually(lambda: simulated.sends(first.id) == 1)
        assert len(simulated.sent) == 49
    finally:
        deliverer.stop()
        stop.set()


@pytest.mark.parametrize("place", ["expire", "index", "now"])
def test_the_delivery_survives_every_exception(
    simulated: Simulated, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    """An unexpected error, once, in whatever it does: it is logged, and the callback is delivered."""
    failed = threading.Event()
    works = getattr(simulated.outbox, place)

    def once(*given: object) -> object:
        if threading.current_thread().name == "callbacks" and not failed.is_set():
            failed.set()
            raise OverflowError("date value out of range")
        return works(*given) if place != "index" else works.pending()

    planted = once if place != "index" else SimpleNamespace(pending=once, forget=works.forget)
    sent = message("job", simulated.clock)
    simulated.outbox.add(sent)
    monkeypatch.setattr(simulated.outbox, place, planted)
    deliverer = Deliverer(simulated.outbox, 0.1)
    deliverer._failure_seconds = 0.1
    deliverer.start()
    assert eventually(lambda: simulated.sends(sent.id) == 1)
    deliverer.stop()
    assert failed.is_set()
    assert "date value out of range" in caplog.text


@pytest.mark.parametrize("is_bucket", [False, True], ids=["folder", "bucket"])
def test_a_deliverer_finds_what_others_have_left(tmp_path: Path, is_bucket: bool) -> None:  # noqa: FBT001 - a parameter
    """What was in the store before it started, and what comes in without a word to it, is delivered once."""
    with ExitStack() as stack:
        settings = bucket_settings(stack.enter_context(s3_server(tmp_path))) if is_bucket else {}
        deliver_from(open_storage(Settings(**{"storage": f"file:{tmp_path / 'store'}", **settings})))


def deliver_from(storage: Storage) -> None:
    """Deliver two messages with two deliverers."""
    clock = Clock()
    outbox = Outbox(lambda: storage, post)  # type: ignore[arg-type]
    with HttpServer({"/hook": Answer(204)}) as server:
        outbox.add(to(server, "before", clock))
        deliverers = [Deliverer(Outbox(lambda: storage, post), 0.2) for _ in range(2)]  # type: ignore[arg-type]
        for each in deliverers:
            each.start()
        outbox.add(to(server, "after", clock))
        assert eventually(lambda: outbox.list(CallbackState.DELIVERED, 10)[1] == 2)
        assert eventually(lambda: all(each.pending == 0 for each in deliverers))
        for each in deliverers:
            each.stop()
    assert sorted(json.loads(request.body)["job_id"] for request in server.requests) == ["after", "before"]
    assert {stored.key.segments[2] for stored in storage.list(ROOT)} == {"delivered"}
