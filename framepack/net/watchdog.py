"""Ends a network exchange when its time is up or its job was cancelled, whatever the exchange is waiting for."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from framepack.errors import SourceTooSlow

_POLL_SECONDS = 0.1


class Watchdog:
    """One deadline over all of an exchange: handshake, headers, redirects and body.

    A socket's own timeout starts again with every byte, so a server that drips can hold a reader forever. The
    watchdog's thread shuts the watched socket down instead, which wakes whoever waits on it.

    Args:
        timeout_seconds: Longest time from entering to leaving.
        check: Raises to stop the exchange at once; called often, from two threads.
    """

    def __init__(self, timeout_seconds: float, check: Callable[[], None]) -> None:
        self._timeout_seconds = timeout_seconds
        self._ends = time.monotonic() + timeout_seconds
        self._check = check
        self._socket: socket.socket | None = None
        self._reason: Exception | None = None
        self._lock = threading.Lock()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name="net-watchdog", daemon=True)

    def __enter__(self) -> Self:
        """Start watching."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching and let go of the socket."""
        self._left.set()
        self._thread.join()
        if self._socket is not None:
            self._socket.close()

    @property
    def remaining_seconds(self) -> float:
        """Time left, never below a millisecond."""
        return max(0.001, self._ends - time.monotonic())

    def watch(self, connection: socket.socket) -> None:
        """Watch ``connection`` instead of the one before; call it before connecting.

        Raises:
            SourceTooSlow: the time was up already.
            Exception: whatever the check raised.
        """
        copy = connection.dup()  # stays valid when TLS takes the original over
        with self._lock:
            previous, self._socket = self._socket, copy
        if previous is not None:
            previous.close()
        self.check()

    def check(self) -> None:
        """Return if the exchange may go on.

        Raises:
            SourceTooSlow: the time is up.
            Exception: whatever the check raised.
        """
        if self._reason is not None:
            raise self._reason
        self._judge()

    def _judge(self) -> None:
        self._check()
        if time.monotonic() >= self._ends:
            raise SourceTooSlow(f"The server did not finish within {self._timeout_seconds:g} seconds.")

    def _run(self) -> None:
        while not self._left.wait(min(_POLL_SECONDS, self.remaining_seconds)):
            try:
                self._judge()
            except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
                self._reason = error
                break
        if self._reason is not None:
            self._cut()

    def _cut(self) -> None:
        with self._lock:
            if self._socket is not None:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
