"""When callbacks are attempted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepack.outbox.schedule import ATTEMPTS, pause_after


def total(jitter: float) -> timedelta:
    """From the first attempt to the last."""
    pauses = [pause_after(attempts, None, lambda: jitter) for attempts in range(1, ATTEMPTS)]
    return sum((pause for pause in pauses if pause is not None), timedelta())


def test_the_attempts_span_more_than_three_days() -> None:
    """With the least and with the greatest jitter, the last attempt is at least 75 hours after the first."""
    assert timedelta(hours=75) <= total(0.0) < total(1.0) <= timedelta(hours=84)
    assert pause_after(ATTEMPTS, None) is None


@pytest.mark.parametrize(
    ("attempts", "asked", "seconds"),
    [(1, None, 5), (1, 0.0, 5), (1, 60.0, 60), (2, 60.0, 300), (1, 1e9, 86_400), (1, float("inf"), 86_400)],
)
def test_retry_after_lengthens_a_pause_up_to_a_day(attempts: int, asked: float | None, seconds: float) -> None:
    """What the receiver asks for is honored, except to be called more often."""
    assert pause_after(attempts, asked, lambda: 0.0) == timedelta(seconds=seconds)


@given(st.integers(1, ATTEMPTS - 1), st.floats(0, 1), st.none() | st.floats(0))
def test_no_pause_is_shorter_than_planned_or_longer_than_a_day_and_its_jitter(
    attempts: int, jitter: float, asked: float | None
) -> None:
    """Whatever is asked for."""
    planned, pause = pause_after(attempts, None, lambda: 0.0), pause_after(attempts, asked, lambda: jitter)
    assert planned is not None
    assert pause is not None
    assert planned <= pause <= timedelta(hours=26.4)
