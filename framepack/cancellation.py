"""What stops the work of a thread: a check that raises once it is to stop, such as `Job.check`.

Whatever waits, or reads one packet after another, calls the check of its thread in between. So a cancelled job stops
where it is, even before the frame that it waits for is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

Check = Callable[[], None]

CHECK_SECONDS: Final = 0.1
"""How often a wait calls the check."""


def never_cancelled() -> None:
    """The check of work that cannot be cancelled."""


_current_check: ContextVar[Check] = ContextVar("current_check", default=never_cancelled)


@contextmanager
def stoppable(check: Check) -> Iterator[None]:
    """Let ``check`` stop what this thread does in a ``with`` block. A generator must not yield in there."""
    token = _current_check.set(check)
    try:
        yield
    finally:
        _current_check.reset(token)


def current_check() -> Check:
    """What stops this thread; see `stoppable`."""
    return _current_check.get()


def with_current(check: Check) -> Check:
    """A check that calls ``check``, and then the one that stops this thread now."""
    outside = current_check()

    def both() -> None:
        check()
        outside()

    return both
