"""Patience with a store that does not answer: calls are tried again, with growing random pauses, until a deadline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from framepack.cancellation import CHECK_SECONDS, Check, never_cancelled, stoppable
from framepack.errors import FramepackError, StorageUnavailable

T = TypeVar("T")

THE_STORE: Final = "the store"
BRIEF_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long, and how often, a call is tried again.

    Attributes:
        seconds: Time from the first try to the start of the last one.
        least_tries: Tries that are made even if they take longer than that.
        first_pause_seconds: Longest pause after the first try; doubled after each further one.
        longest_pause_seconds: Limit of the doubling.
        clock: Returns the time in seconds.
        sleep: Waits the given number of seconds.
    """

    seconds: float = 600
    least_tries: int = 1
    first_pause_seconds: float = 1
    longest_pause_seconds: float = 15
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep

    def pause_seconds(self, tries: int) -> float:
        """The pause after a number of tries: random, so that many clients do not come back at the same moment."""
        longest: float = min(self.first_pause_seconds * 2.0 ** min(tries - 1, 30), self.longest_pause_seconds)
        return longest * random.uniform(0.5, 1)  # noqa: S311 - spreads load; not for security


RESULT_PATIENCE: Final = Patience()
"""The patience with which results and the documents about them are stored."""


def patiently(
    call: Callable[[], T],
    check: Check = never_cancelled,
    *,
    patience: Patience = RESULT_PATIENCE,
    on_wait: Callable[[str | None], None] = lambda _what: None,
    passing: type[FramepackError] = StorageUnavailable,
) -> T:
    """Call ``call`` until the store answers, and return what it returns.

    By default, only ``StorageUnavailable`` is tried again; every other error, such as a refusal, is raised at once.

    Args:
        call: One or more calls of a store. It may run several times, so it must be harmless to repeat.
        check: Raises to stop at once, in a pause or within a call.
        patience: When to try again.
        on_wait: Called with "the store" when the first try has failed, and with None at the end of the wait.
        passing: The errors after which it is tried again.

    Raises:
        StorageUnavailable: The store did not answer in time.
        Exception: Any other error of ``call``, and what ``check`` raises.
    """
    deadline = patience.clock() + patience.seconds
    tries = 0
    try:
        while True:
            try:
                with stoppable(check):
                    return call()
            except passing:
                tries += 1
                pause = patience.pause_seconds(tries)
                if tries >= patience.least_tries and patience.clock() + pause > deadline:
                    raise
                if tries == 1:
                    on_wait(THE_STORE)
            _wait(pause, check, patience)
    finally:
        if tries:
            on_wait(None)


def briefly(call: Callable[[], T], seconds: float = BRIEF_SECONDS) -> T:
    """Call ``call`` to clean up after a failure or a cancelled job, which a store that is away must not delay.

    Raises:
        StorageUnavailable: The calls of the store took longer than ``seconds``.
    """
    end = time.monotonic() + seconds

    def check() -> None:
        if time.monotonic() > end:
            raise StorageUnavailable("The store took too long to answer.")

    with stoppable(check):
        return call()


def _wait(seconds: float, check: Check, patience: Patience) -> None:
    end = patience.clock() + seconds
    check()
    while (left := end - patience.clock()) > 0:
        patience.sleep(min(left, CHECK_SECONDS))
        check()
