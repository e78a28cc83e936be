"""Patience: what is tried again, for how long, with which pauses, and how it is stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from framepack.cancellation import current_check, never_cancelled
from framepack.errors import Cancelled, DiskFull, FramepackError, NotFound, StorageFailed, StorageUnavailable
from framepack.storage.patience import Patience, patiently


@dataclass
class Clock:
    """Time that passes only while somebody sleeps."""

    now: float = 0.0
    sleeps: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.sleeps.append(seconds)
        self.now += seconds

    def patience(self, seconds: float = 600) -> Patience:
        """Patience by this clock."""
        return Patience(seconds, clock=lambda: self.now, sleep=self.sleep)


def away_until(clock: Clock, moment: float) -> Callable[[], float]:
    """A call that fails until a time, and returns when it succeeded."""

    def call() -> float:
        if clock.now < moment:
            raise StorageUnavailable("The store does not answer.")
        return clock.now

    return call


@pytest.mark.parametrize("outage", [0, 1, 5, 60, 300, 580])
def test_a_call_succeeds_soon_after_the_store_is_back(outage: float) -> None:
    """Whatever the outage, at most one of the longest pauses is lost after its end."""
    clock = Clock()
    assert (
        patiently(away_until(clock, outage), patience=clock.patience()) - outage <= Patience().longest_pause_seconds
    )


def test_the_last_error_is_raised_when_the_patience_is_at_its_end() -> None:
    """Ten minutes, then the sentence of the store."""
    clock = Clock()
    with pytest.raises(StorageUnavailable, match="does not answer"):
        patiently(away_until(clock, 10_000), patience=clock.patience())
    assert 600 - Patience().longest_pause_seconds <= clock.now <= 600


@pytest.mark.parametrize(
    "error", [StorageFailed("Refused."), DiskFull("Full."), NotFound("Missing."), ValueError("x")]
)
def test_a_final_error_is_raised_at_once(error: Exception) -> None:
    """No pause, no second try."""
    clock = Clock()
    calls: list[int] = []

    def call() -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error)):
        patiently(call, patience=clock.patience())
    assert (len(calls), clock.sleeps) == (1, [])


def test_the_pauses_grow_to_their_limit_and_differ_between_clients() -> None:
    """From below a second to the limit; two clients do not come back together."""
    pauses = [Patience().pause_seconds(tries) for tries in (1, 2, 3, 50, 5000)]
    assert all(
        low <= pause <= high
        for pause, low, high in zip(pauses, (0.5, 1, 2, 7.5, 7.5), (1, 2, 4, 15, 15), strict=True)
    )
    assert len({Patience().pause_seconds(1) for _ in range(20)}) > 1


def test_a_cancelled_job_stops_waiting_within_a_check() -> None:
    """A pause of many seconds does not delay the end of the job."""
    clock = Clock()

    def check() -> None:
        if clock.now >= 30:
            raise Cancelled("The job was cancelled.")

    with pytest.raises(Cancelled):
        patiently(away_until(clock, 10_000), check, patience=clock.patience())
    assert clock.now < 30.2


def test_a_wait_is_announced_once_and_ended() -> None:
    """A watcher sees that the job waits for the store, and that it no longer does."""
    clock = Clock()
    seen: list[str | None] = []
    patiently(away_until(clock, 100), patience=clock.patience(), on_wait=seen.append)
    assert seen == ["the store", None]


def test_a_call_that_succeeds_at_once_announces_nothing() -> None:
    """No flicker in the display of a healthy store."""
    seen: list[str | None] = []
    patiently(lambda: None, on_wait=seen.append)
    assert seen == []


def test_the_end_of_a_failed_wait_is_announced() -> None:
    """The job does not seem to wait for ever."""
    clock = Clock()
    seen: list[str | None] = []
    with pytest.raises(FramepackError):
        patiently(away_until(clock, 10_000), patience=clock.patience(), on_wait=seen.append)
    assert seen == ["the store", None]


def test_the_call_knows_what_stops_it_only_while_it_runs() -> None:
    """A store that blocks can look itself."""

    def check() -> None:
        """Never raises."""

    assert patiently(current_check, check) is check
    assert current_check() is never_cancelled
