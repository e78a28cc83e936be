"""When a callback is attempted: right away, then after growing pauses for more than three days."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Final

_MINUTE: Final = 60.0
_HOUR: Final = 3600.0

PAUSES_SECONDS: Final = (
    0.0,
    5.0,
    5 * _MINUTE,
    30 * _MINUTE,
    2 * _HOUR,
    5 * _HOUR,
    10 * _HOUR,
    14 * _HOUR,
    20 * _HOUR,
    24 * _HOUR,
)
"""The pause before each attempt."""

ATTEMPTS: Final = len(PAUSES_SECONDS)
_JITTER: Final = 0.1  # only upwards: the whole schedule takes at least the sum of its pauses

Jitter = Callable[[], float]
"""Returns a number from 0 to 1, which spreads attempts that would fall on one moment."""


def pause_after(attempts: int, asked_seconds: float | None, jitter: Jitter = random.random) -> timedelta | None:
    """The pause after so many failed attempts; None if there is no further attempt.

    Args:
        attempts: Failed attempts so far, at least 1.
        asked_seconds: The pause that the receiver asked for with ``Retry-After``; it may lengthen a pause up to the
            longest one of the schedule, not shorten it.
        jitter: Spreads the attempts.
    """
    if attempts >= ATTEMPTS:
        return None
    planned = PAUSES_SECONDS[attempts] * (1 + _JITTER * jitter())
    asked = 0.0 if asked_seconds is None else min(asked_seconds, PAUSES_SECONDS[-1])
    return timedelta(seconds=max(planned, asked))
