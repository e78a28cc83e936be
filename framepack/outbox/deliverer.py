"""Delivers what is due in the outbox, beside everything else that a process does."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from framepack.errors import FramepackError
from framepack.outbox.message import CallbackRecord, CallbackState

if TYPE_CHECKING:
    from framepack.outbox.outbox import Outbox

OnAttempt = Callable[[CallbackRecord], None]
"""Called with the record of a callback after an attempt."""

log = logging.getLogger("framepack.callback")

_AT_ONCE: Final = 64
_RETRIES_AT_ONCE: Final = 48  # the rest is left to first attempts, which receivers that stall must not delay
_PER_RECEIVER: Final = 4  # so that a slow receiver delays only itself
_SHORTEST_WAIT_SECONDS: Final = 0.05
_EXPIRY_SECONDS: Final = 3600.0
_FAILURE_SECONDS: Final = 5.0  # after an unexpected error, or where the store does not allow an attempt
_PAUSE_SECONDS: Final = 1.0  # after an attempt that another process makes


class Deliverer:
    """Delivers due callbacks in threads of its own, with few at once for each receiver.

    The threads do not keep the process from ending: an attempt that is cut off is made again later.

    Args:
        outbox: The outbox.
        interval_seconds: How often the store is asked for callbacks of other processes.
    """

    def __init__(self, outbox: Outbox, interval_seconds: float) -> None:
        self._outbox = outbox
        self._interval_seconds = interval_seconds
        self._lock = threading.Lock()
        self._records: dict[str, CallbackRecord] = {}
        self._changes: dict[str, CallbackRecord] = {}  # by attempts that have ended since the last listing began
        self._running: dict[str, str] = {}
        self._wake = threading.Event()
        self._is_outdated = True
        self._listed = self._expired = -math.inf
        self._failure_seconds = _FAILURE_SECONDS
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="callbacks", daemon=True)

    @property
    def pending(self) -> int:
        """Number of pending callbacks, as far as this process knows."""
        return len(self._records)

    @property
    def oldest_seconds(self) -> float:
        """Age of the oldest pending callback; 0 if there is none."""
        with self._lock:
            created = [record.created for record in self._records.values()]
        return max(0.0, (self._outbox.now() - min(created)).total_seconds()) if created else 0.0

    def start(self) -> None:
        """Start to deliver in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Start no more attempts."""
        self._stopping.set()
        self._wake.set()

    def wake(self) -> None:
        """Look for new callbacks in the store now. Never blocks."""
        self._is_outdated = True
        self._wake.set()

    def deliver_now(self, record: CallbackRecord, seconds: float) -> None:
        """Start the next attempt for one callback, and wait for its end for a while."""
        with self._lock:
            self._records[record.id] = record
            thread = None if record.id in self._running else self._started(record)
        if thread is not None:
            thread.join(seconds)

    def deliver_all(self) -> list[CallbackRecord]:
        """Make one attempt for every callback that is due, and return the records of these callbacks afterwards.

        Callbacks that another process is attempting at the moment are left out.
        """
        waiting = {record.id: record for record in self._outbox.index.pending()}
        attempted: list[CallbackRecord] = []
        while threads := self._start_due(waiting.values(), attempted.append):
            for name, thread in threads.items():
                thread.join()
                del waiting[name]
        return attempted

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._look()
            except Exception:  # nobody else would deliver
                log.exception("the delivery of callbacks failed; it goes on in %g s", self._failure_seconds)
                self._stopping.wait(self._failure_seconds)

    def _look(self) -> None:
        """Do what is due now, and wait until something may be due."""
        self._wake.clear()
        if time.monotonic() - self._expired >= _EXPIRY_SECONDS:
            self._expired = time.monotonic()
            self._expire()
        if self._is_outdated or time.monotonic() - self._listed >= self._interval_seconds:
            self._is_outdated = False
            self._list()
            self._listed = time.monotonic()
        with self._lock:
            records = list(self._records.values())
        self._start_due(records)
        self._wake.wait(self._wait_seconds(records))

    def _expire(self) -> None:
        try:
            self._outbox.expire()
        except FramepackError as error:  # next time
            log.debug("old callbacks could not be deleted: %s", error.message)
        except Exception:
            log.exception("old callbacks could not be deleted")

    def _list(self) -> None:
        with self._lock:
            self._changes.clear()
        try:
            found = {record.id: record for record in self._outbox.index.pending()}
        except FramepackError as error:
            log.warning("the callbacks to deliver could not be listed: %s", error.message, extra={"code": error.code})
        except Exception:
            log.exception("the callbacks to deliver could not be listed")
        else:
            with self._lock:
                self._records = _pending({**found, **self._changes})

    def _wait_seconds(self, records: Iterable[CallbackRecord]) -> float:
        """Until the next attempt is due; callbacks that are due now wait for others to end."""
        now = self._outbox.now()
        moments = [record.next_attempt for record in records if record.next_attempt and record.next_attempt > now]
        soonest = min(((moment - now).total_seconds() for moment in moments), default=self._interval_seconds)
        return max(_SHORTEST_WAIT_SECONDS, min(soonest, self._interval_seconds))

    def _start_due(
        self, records: Iterable[CallbackRecord], on_attempt: OnAttempt = lambda _record: None
    ) -> dict[str, threading.Thread]:
        """Start attempts for due callbacks, as many as may run at once."""
        now, started = self._outbox.now(), {}
        with self._lock:
            busy = Counter(self._running.values())
            for record in records:
                if len(self._running) >= _AT_ONCE or self._stopping.is_set():
                    break
                is_due = record.next_attempt is None or record.next_attempt <= now
                has_slot = not record.attempts or len(self._running) < _RETRIES_AT_ONCE
                is_busy = record.id in self._running or busy[record.receiver] >= _PER_RECEIVER
                if is_due and has_slot and not is_busy:
                    busy[record.receiver] += 1
                    started[record.id] = self._started(record, on_attempt)
        return started

    def _started(self, record: CallbackRecord, on_attempt: OnAttempt = lambda _record: None) -> threading.Thread:
        """Start one attempt; the caller has the lock."""
        thread = threading.Thread(target=self._deliver, args=(record.id, on_attempt), name="callback", daemon=True)
        self._running[record.id] = record.receiver
        try:
            thread.start()
        except RuntimeError:  # too many threads
            del self._running[record.id]
            raise
        return thread

    def _deliver(self, name: str, on_attempt: OnAttempt) -> None:
        record, pause_seconds = None, self._failure_seconds
        try:
            record = self._outbox.deliver(name)
            pause_seconds = _PAUSE_SECONDS
        except FramepackError as error:
            log.warning("a callback could not be attempted: %s", error.message, extra={"code": error.code})
        except Exception:
            log.exception("a callback could not be attempted")
        if record is None:
            self._is_outdated = True
            self._stopping.wait(pause_seconds)
        else:
            on_attempt(record)
        with self._lock:
            del self._running[name]
            if record is not None:
                self._changes[name] = record
                self._records[name] = record
                if record.state is not CallbackState.PENDING:
                    del self._records[name]
        self._wake.set()


def _pending(records: dict[str, CallbackRecord]) -> dict[str, CallbackRecord]:
    return {name: record for name, record in records.items() if record.state is CallbackState.PENDING}
