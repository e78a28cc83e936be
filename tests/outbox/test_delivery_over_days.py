"""What becomes of a callback whose receiver is away for an hour, for days, or for good. Simulated time."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from framepack.errors import Conflict, NotFound, StorageUnavailable
from framepack.net.delivery import Delivery
from framepack.outbox.message import CallbackState
from framepack.outbox.messages import Messages
from framepack.outbox.schedule import ATTEMPTS
from framepack.storage.keys import Key
from tests.support.outbox import Simulated, message

HOUR = 3600.0


def live(simulated: Simulated, hours: float) -> None:
    """Let a deliverer work for hours, which wakes up whenever an attempt is due."""
    clock = simulated.clock
    end = clock() + timedelta(hours=hours)
    while clock() < end:
        simulated.deliver_due()
        moments = [record.next_attempt for record in simulated.outbox.index.pending() if record.next_attempt]
        clock.advance((min([end, *moments]) - clock()).total_seconds())


def test_a_receiver_that_is_down_for_an_hour_gets_every_callback_once(simulated: Simulated) -> None:
    """A hundred jobs end while it is down; all arrive, each under one id, with the token, none twice."""
    back = simulated.clock.monotonic() + HOUR
    simulated.answer = lambda _: Delivery(200) if simulated.clock.monotonic() >= back else Delivery(503, "HTTP 503")
    messages = [message(f"job-{number}", simulated.clock) for number in range(100)]
    for each in messages:
        assert simulated.outbox.add(each)
    live(simulated, 4)

    assert simulated.states() == {CallbackState.DELIVERED: 100}
    arrived = [(name, body) for time, name, body, _ in simulated.sent if time >= back]
    assert sorted(arrived) == sorted((each.id, each.body.encode()) for each in messages)
    assert {headers["Authorization"] for _, _, _, headers in simulated.sent} == {"Bearer secret-token"}
    assert all(headers["webhook-id"] == name for _, name, _, headers in simulated.sent)
    assert simulated.counted["delivered"] == 100


@pytest.mark.parametrize("status", [302, 400, 401, 404, 408, 429, 500, 503, None])
def test_every_failure_but_410_is_attempted_for_more_than_75_hours(simulated: Simulated, status: int | None) -> None:
    """The last of ten attempts comes more than 75 hours after the first; then the callback is kept as exhausted."""
    simulated.answer = lambda _: Delivery(status, "no")
    sent = message("job", simulated.clock)
    simulated.outbox.add(sent)
    live(simulated, 90)

    times = [time for time, _, _, _ in simulated.sent]
    assert len(times) == ATTEMPTS
    assert times[-1] - times[0] >= 75 * HOUR
    record = simulated.outbox.read(sent.id)
    assert (record.state, record.attempts, record.status, record.reason) == ("exhausted", ATTEMPTS, status, "no")
    assert simulated.counted == {"failed_attempt": ATTEMPTS, "exhausted": 1}


def test_a_receiver_that_is_back_after_three_days_gets_the_callback(simulated: Simulated) -> None:
    """The last attempt delivers it."""
    simulated.answer = lambda number: Delivery(200) if number == ATTEMPTS else Delivery(None, "connection refused")
    sent = message("job", simulated.clock)
    simulated.outbox.add(sent)
    live(simulated, 90)
    assert simulated.counted == {"failed_attempt": ATTEMPTS - 1, "delivered": 1}


def test_410_ends_the_attempts(simulated: Simulated) -> None:
    """The receiver is not asked again, and the callback is kept as exhausted."""
    simulated.answer = lambda _: Delivery(410, "HTTP 410")
    sent = message("job", simulated.clock)
    simulated.outbox.add(sent)
    live(simulated, 90)
    assert (len(simulated.sent), simulated.outbox.read(sent.id).state) == (1, CallbackState.EXHAUSTED)


def test_a_receiver_that_asks_for_a_pause_gets_it(simulated: Simulated) -> None:
    """503 with Retry-After: 1200 is not called again before 20 minutes have passed."""
    simulated.answer = lambda number: Delivery(503, "HTTP 503", 1200.0) if number == 1 else Delivery(200)
    simulated.outbox.add(message("job", simulated.clock))
    live(simulated, 1)
    first, second = [time for time, _, _, _ in simulated.sent]
    assert second - first == 1200


def test_what_is_secret_goes_with_the_delivery(simulated: Simulated) -> None:
    """Token and address are in the store while they are needed, and in no object afterwards."""
    sent = message("job", simulated.clock)
    simulated.outbox.add(sent)

    def secrets() -> list[Key]:
        return [key for key, (data, _) in simulated.store.objects.items() if b"secret" in data]

    assert len(secrets()) == 1
    simulated.deliver_due()
    assert secrets() == []
    assert [key.segments[2] for key in simulated.store.objects] == ["delivered"]


def test_delivered_callbacks_are_forgotten_and_exhausted_ones_are_not(simulated: Simulated) -> None:
    """After the retention time, nothing is left of a delivered one; the other is still there after a month."""
    simulated.outbox.add(message("good", simulated.clock))
    simulated.deliver_due()
    simulated.answer = lambda _: Delivery(410, "HTTP 410")
    simulated.outbox.add(message("bad", simulated.clock))
    simulated.deliver_due()
    simulated.clock.advance(timedelta(days=30).total_seconds())
    simulated.outbox.expire()
    assert simulated.states() == {CallbackState.EXHAUSTED: 1}
    assert {key.segments[2] for key in simulated.store.objects} == {"exhausted"}


def test_the_claim_of_a_process_that_died_after_its_delivery_is_forgotten(simulated: Simulated) -> None:
    """Its message is not pending any more, so nobody else releases it. That on a pending message is kept."""
    owed = message("owed", simulated.clock)
    simulated.outbox.add(owed)
    for name in ("msg_gone_0123456789ab", owed.id):
        assert simulated.outbox.claims.claim(name)
    simulated.outbox.expire()
    assert len(claims(simulated)) == 2
    simulated.clock.advance(timedelta(days=1).total_seconds() + 1)
    simulated.outbox.expire()
    assert [key.segments[-2] for key in claims(simulated)] == [owed.id.split("_")[1]]


@pytest.mark.parametrize("is_stored", [True, False], ids=["the answer is lost", "the list is lost"])
def test_claims_that_a_store_does_not_confirm_are_no_attempts(
    simulated: Simulated, monkeypatch: pytest.MonkeyPatch, *, is_stored: bool
) -> None:
    """After an hour of a store that takes claims and nothing else, the callback is delivered at the first try."""
    sent = message("job", simulated.clock)
    simulated.outbox.add(sent)
    put = simulated.store.put_bytes

    def lost(*given: Any, **named: Any) -> Any:
        put(*given, **named)
        raise StorageUnavailable("The store did not answer.")

    with monkeypatch.context() as ill:
        for name in ("put_bytes",) if is_stored else ("list", "delete"):
            ill.setattr(simulated.store, name, lost if is_stored else fails)
        for _ in range(30):
            with pytest.raises(StorageUnavailable):
                simulated.outbox.deliver(sent.id)
            simulated.clock.advance(120)
    assert len(claims(simulated)) == (0 if is_stored else 30)
    assert simulated.deliver_due() == 1
    record = simulated.outbox.read(sent.id)
    assert (record.state, record.attempts, simulated.sends(sent.id)) == (CallbackState.DELIVERED, 1, 1)
    assert claims(simulated) == []


def test_an_attempt_that_the_store_did_not_let_begin_is_none(
    simulated: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim says "sending", but nothing was sent, 30 times: an attempt is made nevertheless."""
    sent = message("job", simulated.clock)
    simulated.outbox.add(sent)
    put = simulated.store.put_bytes

    def lost(key: Key, data: bytes, **named: Any) -> Any:
        stored = put(key, data, **named)
        if data == b"sending":
            raise StorageUnavailable("The store did not answer.")
        return stored

    with monkeypatch.context() as ill:
        ill.setattr(simulated.store, "put_bytes", lost)
        ill.setattr(simulated.store, "delete", fails)
        for _ in range(30):
            with pytest.raises(StorageUnavailable):
                simulated.outbox.deliver(sent.id)
            simulated.clock.advance(120)
    assert simulated.sent == []
    assert simulated.deliver_due() == 1
    assert simulated.outbox.read(sent.id).state is CallbackState.DELIVERED
    assert claims(simulated) == []


def test_attempts_that_cannot_be_recorded_are_not_made_again_and_again(
    simulated: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that takes claims but no records for a day: the receiver, which answers 500, is called once."""
    simulated.answer = lambda _: Delivery(500, "HTTP 500")
    sent = message("job", simulated.clock)
    simulated.outbox.add(sent)
    with monkeypatch.context() as ill:
        ill.setattr(Messages, "save_attempts", fails)
        for _ in range(24):
            with pytest.raises(StorageUnavailable):
                simulated.outbox.deliver(sent.id)
            simulated.clock.advance(HOUR)
    assert simulated.sends(sent.id) == 1
    simulated.answer = lambda _: Delivery(200)
    assert simulated.deliver_due() == 1
    record = simulated.outbox.read(sent.id)
    assert (record.state, record.attempts) == (CallbackState.DELIVERED, 2)


def test_the_claim_of_a_process_that_died_while_it_sent_delays_the_next_attempt_by_two_minutes_at_most(
    simulated: Simulated,
) -> None:
    """Until then, nobody else makes an attempt; it counts as one."""
    sent = message("job", simulated.clock)
    simulated.outbox.add(sent)
    claim = simulated.outbox.claims.claim(sent.id)
    assert claim is not None
    assert simulated.outbox.claims.begin_to_send(claim)
    simulated.clock.advance(30)
    assert simulated.deliver_due() == 0
    simulated.clock.advance(90)
    assert simulated.deliver_due() == 1
    assert simulated.outbox.read(sent.id).attempts == 2


def fails(*_given: Any, **_named: Any) -> Any:
    """A call of a store that is away."""
    raise StorageUnavailable("The store did not answer.")


def claims(simulated: Simulated) -> list[Key]:
    """The claims in the store."""
    return [key for key in simulated.store.objects if "claims" in key.segments]


def test_an_exhausted_callback_is_delivered_again_by_a_new_schedule(simulated: Simulated) -> None:
    """It is due at once, under the same id; if that fails, another 75 hours begin."""
    simulated.answer = lambda _: Delivery(500, "HTTP 500")
    sent = message("job", simulated.clock)
    simulated.outbox.add(sent)
    live(simulated, 90)
    assert simulated.outbox.redeliver(sent.id).state is CallbackState.PENDING
    live(simulated, 90)
    assert simulated.outbox.read(sent.id).attempts == 2 * ATTEMPTS
    simulated.answer = lambda _: Delivery(204)
    simulated.outbox.redeliver(sent.id)
    simulated.deliver_due()
    assert simulated.states() == {CallbackState.DELIVERED: 1}
    assert {name for _, name, _, _ in simulated.sent} == {sent.id}
    with pytest.raises(Conflict, match="was delivered"):
        simulated.outbox.redeliver(sent.id)


def test_a_pending_callback_is_attempted_at_once_when_it_is_asked_for(simulated: Simulated) -> None:
    """Its next attempt, hours away, is made now."""
    simulated.answer = lambda number: Delivery(200) if number > 4 else Delivery(500, "HTTP 500")
    sent = message("job", simulated.clock)
    simulated.outbox.add(sent)
    live(simulated, 1)
    assert (simulated.deliver_due(), simulated.outbox.read(sent.id).attempts) == (0, 4)
    simulated.outbox.redeliver(sent.id)
    assert simulated.deliver_due() == 1
    assert simulated.outbox.read(sent.id).state is CallbackState.DELIVERED


def test_only_exhausted_callbacks_can_be_deleted(simulated: Simulated) -> None:
    """A pending one is still owed."""
    sent = message("job", simulated.clock)
    simulated.outbox.add(sent)
    with pytest.raises(Conflict, match="pending"):
        simulated.outbox.delete(sent.id)
    simulated.answer = lambda _: Delivery(410, "HTTP 410")
    simulated.deliver_due()
    simulated.outbox.delete(sent.id)
    assert simulated.store.objects == {}
    for act in (simulated.outbox.delete, simulated.outbox.read, simulated.outbox.redeliver):
        with pytest.raises(NotFound):
            act(sent.id)


@pytest.mark.parametrize(
    "name", ["", "msg_", "msg_job_123", "../../secret", "msg_../x_0123456789ab", "\ud800", "x" * 999]
)
def test_a_name_that_is_no_id_is_not_found(simulated: Simulated, name: str) -> None:
    """Whatever it looks like, no key is made of it."""
    with pytest.raises(NotFound):
        simulated.outbox.read(name)


def test_a_thousand_pending_callbacks_are_not_read_again_at_every_look(simulated: Simulated) -> None:
    """The second look reads no object: what has not changed is known."""
    simulated.answer = lambda _: Delivery(500, "HTTP 500")
    for number in range(1000):
        simulated.outbox.add(message(f"job-{number}", simulated.clock))
    simulated.deliver_due()
    simulated.outbox.index.pending()
    simulated.store.reads.clear()
    assert len(simulated.outbox.index.pending()) == 1000
    assert simulated.store.reads == []


def test_a_store_that_is_away_for_minutes_gets_the_message(simulated: Simulated) -> None:
    """The write that ends a job is tried for minutes before anything is given up."""
    simulated.store.is_away = True
    waits = replace(simulated.outbox.patience, sleep=lambda seconds: back_after(simulated, seconds, 200))
    simulated.outbox.patience = waits
    assert simulated.outbox.add(message("job", simulated.clock))
    assert simulated.sent == []
    assert simulated.states() == {CallbackState.PENDING: 1}


def test_a_message_that_cannot_be_stored_is_attempted_once(
    simulated: Simulated, caplog: pytest.LogCaptureFixture
) -> None:
    """After minutes without a store, one attempt is all that can be done, and the log says so."""
    simulated.store.is_away = True
    assert not simulated.outbox.add(message("job", simulated.clock))
    assert len(simulated.sent) == 1
    assert sum(simulated.slept) >= 285
    assert "does not accept its callback" in caplog.text
    assert "secret" not in caplog.text


def test_an_outcome_that_cannot_be_stored_for_long_leads_to_the_next_attempt(simulated: Simulated) -> None:
    """The receiver has the message; as nobody could record that, it gets it a second time after the lease."""
    sent = message("job", simulated.clock)
    simulated.outbox.add(sent)

    def answer(_: int) -> Delivery:
        simulated.store.is_away = True
        return Delivery(200)

    simulated.answer = answer
    with pytest.raises(Exception, match="away"):
        simulated.outbox.deliver(sent.id)
    simulated.store.is_away, simulated.answer = False, lambda _: Delivery(200)
    assert simulated.deliver_due() == 0
    simulated.clock.advance(301)
    assert simulated.deliver_due() == 1
    record = simulated.outbox.read(sent.id)
    assert (record.state, record.attempts, simulated.sends(sent.id)) == (CallbackState.DELIVERED, 2, 2)
    assert claims(simulated) == []


def test_a_damaged_object_blocks_no_other_callback(simulated: Simulated) -> None:
    """It is set aside, and the others are delivered."""
    simulated.outbox.add(message("good", simulated.clock))
    simulated.store.put_bytes(Key("state/outbox/pending/bad/0123456789ab.json"), b"{half")
    simulated.store.put_bytes(Key("state/outbox/pending/stray"), b"")
    assert simulated.deliver_due() == 1
    assert simulated.states() == {CallbackState.DELIVERED: 1}
    assert Key("state/damaged/outbox/pending-bad-0123456789ab.json") in simulated.store.objects


def back_after(simulated: Simulated, seconds: float, away: float) -> None:
    """Wait, and let the store come back once it was away for so long."""
    simulated.sleep(seconds)
    simulated.store.is_away = sum(simulated.slept) < away


@pytest.mark.parametrize("has_own_store", [False, True], ids=["deployment's store", "job's own store"])
def test_later_attempts_have_new_links_unless_the_job_has_a_store_of_its_own(
    simulated: Simulated,
    has_own_store: bool,  # noqa: FBT001 - a parameter of pytest
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Links expire after a day, and receivers may be away for three; the rest of the body stays as it is."""
    body = {
        "success": True,
        "output_path": "/outputs/temp/clip.mp4",
        "output_url": "first",
        "metadata": {"a": [None]},
    }
    sent = message("job", simulated.clock)
    sent = sent.model_copy(update={"body": json.dumps(body), "renews_links": not has_own_store})
    made: list[str] = []

    def url(key: Key, *, filename: str) -> str:
        made.append(f"{key} as {filename}, link {len(made)}")
        return made[-1]

    monkeypatch.setattr(simulated.store, "url", url, raising=False)
    simulated.answer = lambda number: Delivery(200) if number == 3 else Delivery(503, "HTTP 503")
    simulated.outbox.add(sent)
    live(simulated, 4)

    bodies = [json.loads(each) for _, _, each, _ in simulated.sent]
    new = ["temp/clip.mp4 as clip.mp4, link 0", "temp/clip.mp4 as clip.mp4, link 1"]
    assert [each["output_url"] for each in bodies] == ["first", *(["first"] * 2 if has_own_store else new)]
    assert [{**each, "output_url": "first"} for each in bodies] == [body] * 3


def test_while_no_new_link_can_be_made_the_first_one_is_sent(
    simulated: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may still be valid, and the attempt is due."""

    def url(_key: Key, *, filename: str) -> str:
        raise StorageUnavailable(filename)

    monkeypatch.setattr(simulated.store, "url", url, raising=False)
    sent = message("job", simulated.clock)
    body = json.dumps({"output_path": "/outputs/clip.mp4", "output_url": "first"})
    simulated.answer = lambda number: Delivery(200) if number == 2 else Delivery(503, "HTTP 503")
    simulated.outbox.add(sent.model_copy(update={"body": body, "renews_links": True}))
    live(simulated, 1)

    assert [each.decode() for _, _, each, _ in simulated.sent] == [body, body]
