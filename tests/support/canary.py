"""A listener that must not be called, and a name service that says what a test wants."""

from __future__ import annotations

import select
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Self


class Canary:
    """Context manager: listens on loopback and counts who connected."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._listener = socket.create_server((host, 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._connections = 0

    def __enter__(self) -> Self:
        """Listen."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._listener.close()

    @property
    def connections(self) -> int:
        """Connections so far; one on loopback is in the queue as soon as its client thinks it is connected."""
        while select.select([self._listener], [], [], 0)[0]:
            self._listener.accept()[0].close()
            self._connections += 1
        return self._connections


class Names:
    """A resolver with the signature of ``socket.getaddrinfo`` that looks nothing up.

    Args:
        answers: For each name or literal the addresses of the first lookup, of the second ...; the last stays.
    """

    def __init__(self, answers: Mapping[str, Sequence[Sequence[str]]]) -> None:
        self._answers = {name: list(lookups) for name, lookups in answers.items()}
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        """Answer like ``getaddrinfo``."""
        self.asked.append(host)
        lookups = self._answers.get(host)
        if lookups is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        addresses = lookups.pop(0) if len(lookups) > 1 else lookups[0]
        return [_entry(address, port) for address in addresses]


def _entry(address: str, port: int) -> tuple[Any, ...]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sockaddr = (address, port, 0, 0) if ":" in address else (address, port)
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", sockaddr
