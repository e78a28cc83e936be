"""A watchdog that ends a network exchange at its deadline or when the job is cancelled, even while it blocks."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from framepack.errors import SourceTooSlow

_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a body must arrive, so that a slow server does not hold the job that waits for it.

    Attributes:
        seconds: Time over which it is measured, again and again; the first one begins with the exchange.
        bytes_per_second: How much must arrive on average in each.
    """

    seconds: float
    bytes_per_second: float


class Watchdog:
    """One deadline for a whole exchange: handshake, headers, redirects and body.

    A socket's own timeout restarts with every byte, so a server that sends slowly can block a reader forever. The
    watchdog's thread shuts down the watched socket instead, which wakes up the thread that waits on it.

    Args:
        timeout_seconds: Time limit from entering to leaving the ``with`` block.
        check: Raises to stop the exchange at once; called often, from two threads.
        pace: How fast a body must arrive; None if only the deadline counts.
    """

    def __init__(self, timeout_seconds: float, check: Callable[[], None], pace: Pace | None = None) -> None:
        self._timeout_seconds = timeout_seconds
        self._deadline = time.monotonic() + timeout_seconds
        self._check = check
        self._pace = pace
        self._received = 0
        self._measured_since = (time.monotonic(), 0)  # and what had been received; one value, for two threads
        self._socket: socket.socket | None = None
        self._error: Exception | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="net-watchdog", daemon=True)

    def __enter__(self) -> Self:
        """Start watching."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching and close the duplicate of the socket."""
        self._stopped.set()
        self._thread.join()
        if self._socket is not None:
            self._socket.close()

    @property
    def remaining_seconds(self) -> float:
        """Time left, at least one millisecond."""
        return max(0.001, self._deadline - time.monotonic())

    @property
    def patience_seconds(self) -> float:
        """How long a pause may be until the exchange ends, because of its deadline or its pace."""
        return self.remaining_seconds if self._pace is None else min(self.remaining_seconds, self._pace.seconds)

    def received(self, size_bytes: int) -> None:
        """Count bytes of the body that have arrived."""
        self._received += size_bytes

    def extend(self, seconds: float) -> None:
        """Move the deadline."""
        self._timeout_seconds += seconds
        self._deadline += seconds

    def watch(self, connection: socket.socket) -> None:
        """Watch ``connection`` instead of the previous one; call it before connecting.

        Raises:
            SourceTooSlow: the deadline has passed.
            Exception: any error of ``check``.
        """
        # A duplicate stays valid when TLS takes over the original. (An SSLSocket has no `dup`.)
        copy = socket.fromfd(connection.fileno(), connection.family, connection.type)
        with self._lock:
            previous, self._socket = self._socket, copy
        if previous is not None:
            previous.close()
        self.check()

    def pause(self, seconds: float) -> None:
        """Wait, unless the exchange has to stop before.

        Raises:
            SourceTooSlow: the deadline has passed.
            Exception: any error of ``check``.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _POLL_SECONDS))
            self.check()

    def check(self) -> None:
        """Return if the exchange may go on.

        Raises:
            SourceTooSlow: the deadline has passed, or too little has arrived.
            Exception: any error of ``check``.
        """
        if self._error is not None:
            raise self._error
        self._check_now()

    def _check_now(self) -> None:
        self._check()
        if time.monotonic() >= self._deadline:
            raise SourceTooSlow(f"The server did not finish within {self._timeout_seconds:g} seconds.")
        self._check_pace()

    def _check_pace(self) -> None:
        pace = self._pace
        since, before = self._measured_since
        if pace is None or time.monotonic() < since + pace.seconds:
            return
        received = self._received - before
        if received < pace.seconds * pace.bytes_per_second:
            raise SourceTooSlow(
                f"The server sent {received / 1e3:.4g} kB in {pace.seconds:g} seconds; it must send at least "
                f"{pace.bytes_per_second / 1e3:g} kB per second."
            )
        self._measured_since = (time.monotonic(), before + received)

    def _run(self) -> None:
        while not self._stopped.wait(min(_POLL_SECONDS, self.remaining_seconds)):
            try:
                self._check_now()
            except Exception as error:  # noqa: BLE001 - raised again in the waiting thread
                self._error = error
                break
        if self._error is not None:
            self._shut_down()

    def _shut_down(self) -> None:
        with self._lock:
            if self._socket is not None:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
