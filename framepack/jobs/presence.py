"""Which servers of a deployment are alive: each renews a sign of life in the store that they share."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from framepack.errors import NotFound
from framepack.storage.documents import STATE

if TYPE_CHECKING:
    from framepack.storage.base import Storage
    from framepack.storage.keys import Key

BEAT_SECONDS: Final = 20.0

_DEAD_AFTER: Final = timedelta(seconds=90)
_FORGOTTEN_AFTER: Final = timedelta(days=1)
_FOLDER: Final = STATE / "servers"


@dataclass
class Presence:
    """This server's sign of life, and how it judges those of others.

    Attributes:
        storage: The store that the deployment's servers share.
        name: Names this server in records; no two are ever the same.
    """

    storage: Storage
    name: str = field(default_factory=lambda: uuid4().hex)
    _now: datetime | None = None

    def beat(self) -> None:
        """Renew the sign of life."""
        sign = {"process": _process(os.getpid()), "pid": os.getpid()}
        self._now = self.storage.put_bytes(_key(self.name), json.dumps(sign).encode()).modified

    def leave(self) -> None:
        """Take the sign away: whatever this server looked after is free for others at once."""
        self.storage.delete(_key(self.name))

    def is_gone(self, server: str | None) -> bool:
        """Whether a server is no more: it left, its process has ended, or it has been silent for too long."""
        if server is None:
            return True
        stored = self.storage.stat(_key(server))
        if (
            stored is None or (self._now or stored.modified) - stored.modified > _DEAD_AFTER
        ):  # both by the store's clock
            return True
        with suppress(NotFound, ValueError, AttributeError):
            sign = json.loads(self.storage.read(_key(server)))
            return _has_ended(sign.get("process"), sign.get("pid"))
        return False

    def is_alone(self) -> bool:
        """Whether no other server has shown itself lately."""
        others = {stored.key.name.removesuffix(".json") for stored in self.storage.list(_FOLDER)} - {self.name}
        return all(self.is_gone(other) for other in others)

    def sweep(self) -> None:
        """Remove the signs of servers that ended long ago."""
        for stored in self.storage.list(_FOLDER):
            if self._now is not None and self._now - stored.modified > _FORGOTTEN_AFTER:
                self.storage.delete(stored.key)


def _key(server: str) -> Key:
    return _FOLDER / f"{server}.json"


def _process(pid: int) -> str | None:
    """One process and no other: its host, the host's table of processes, its number, its start; None if it ended."""
    import psutil

    try:
        started = psutil.Process(pid).create_time()
    except psutil.Error:
        return None
    return f"{_place()} {pid} {started:.2f}"


def _place() -> str:
    """Within which process numbers mean something: containers have tables of their own, perhaps under one name."""
    table = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()} {table.readlink() if table.is_symlink() else ''}"


def _has_ended(process: Any, pid: Any) -> bool:
    """Whether a process of this host has ended; of others, nothing is known."""
    if not isinstance(process, str) or not isinstance(pid, int) or not process.startswith(f"{_place()} {pid} "):
        return False
    return _process(pid) != process
