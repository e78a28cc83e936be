"""Which servers of a deployment are running. Each one renews a heartbeat object in the store that they share."""

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

HEARTBEAT_SECONDS: Final = 20.0

_DEAD_AFTER: Final = timedelta(seconds=90)
_REMOVED_AFTER: Final = timedelta(days=1)
_FOLDER: Final = STATE / "servers"


@dataclass
class Heartbeat:
    """This server's heartbeat, and its view of other servers.

    Ages are computed with the store's clock only: a heartbeat's age is the time between its last change and the last
    change of this server's own heartbeat. Clocks of servers may differ.

    Attributes:
        storage: The store that all servers of the deployment share.
        server_id: Identifies this server in job records; unique for each process.
    """

    storage: Storage
    server_id: str = field(default_factory=lambda: uuid4().hex)
    _now: datetime | None = None

    def renew(self) -> None:
        """Write the heartbeat."""
        content = {"process": _process_identity(os.getpid()), "pid": os.getpid()}
        self._now = self.storage.put_bytes(_key(self.server_id), json.dumps(content).encode()).modified

    def remove(self) -> None:
        """Delete the heartbeat, so that other servers may resume this server's jobs immediately."""
        self.storage.delete(_key(self.server_id))

    def is_dead(self, server_id: str | None) -> bool:
        """Whether a server no longer runs: it has no heartbeat, an old one, or one of a process that has ended."""
        if server_id is None:
            return True
        stored = self.storage.stat(_key(server_id))
        if stored is None or (self._now or stored.modified) - stored.modified > _DEAD_AFTER:
            return True
        with suppress(NotFound, ValueError, AttributeError):
            content = json.loads(self.storage.read(_key(server_id)))
            return _has_ended(content.get("process"), content.get("pid"))
        return False

    def is_only_server(self) -> bool:
        """Whether no other server of the deployment runs."""
        found = {stored.key.name.removesuffix(".json") for stored in self.storage.list(_FOLDER)}
        return all(self.is_dead(server_id) for server_id in found - {self.server_id})

    def remove_expired(self) -> None:
        """Delete the heartbeats of servers that ended long ago."""
        for stored in self.storage.list(_FOLDER):
            if self._now is not None and self._now - stored.modified > _REMOVED_AFTER:
                self.storage.delete(stored.key)


def _key(server_id: str) -> Key:
    return _FOLDER / f"{server_id}.json"


def _process_identity(pid: int) -> str | None:
    """Identifies a process across restarts and hosts; None if it has ended.

    A process id alone is not enough: ids are reused, and every host and container counts its own.
    """
    import psutil

    try:
        started = psutil.Process(pid).create_time()
    except psutil.Error:
        return None
    return f"{_pid_namespace()} {pid} {started:.2f}"


def _pid_namespace() -> str:
    """The scope in which process ids are unique. Containers have their own, sometimes under the same host name."""
    namespace = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()} {namespace.readlink() if namespace.is_symlink() else ''}"


def _has_ended(identity: Any, pid: Any) -> bool:
    """Whether a process of this host has ended; False for processes of other hosts, whose state is unknown."""
    if not isinstance(identity, str) or not isinstance(pid, int):
        return False
    return identity.startswith(f"{_pid_namespace()} {pid} ") and _process_identity(pid) != identity
