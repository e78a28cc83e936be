"""A store in memory on a simulated clock, seen by processes that a test runs step by step and kills anywhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from framepack.errors import StorageFailed
from framepack.files.removed import RemovedFiles
from framepack.storage.base import DEFAULT_CONTENT_TYPE, StoredObject, object_not_found
from framepack.storage.keys import Key


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        """The time."""
        return self.time

    def monotonic(self) -> float:
        """The same as seconds."""
        return self.time.timestamp()

    def advance(self, seconds: float) -> None:
        """Move on."""
        self.time += timedelta(seconds=seconds)


class SimulatedStore:
    """The objects of a store, as every process sees them; its writes take no time on the clock.

    Attributes:
        clock: The store's clock.
        objects: Content and time of writing by key.
        is_away: Whether every operation fails.
        reads: Keys that were read, in order.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.objects: dict[Key, tuple[bytes, datetime]] = {}
        self.is_away = False
        self.reads: list[Key] = []

    def put_bytes(
        self, key: Key, data: bytes, *, content_type: str = DEFAULT_CONTENT_TYPE, private: bool = False
    ) -> StoredObject:
        """Store bytes."""
        self._reach()
        self.objects[key] = data, self.clock()
        return self._described(key)

    def put_file(self, key: Key, path: Path, *, content_type: str = DEFAULT_CONTENT_TYPE) -> StoredObject:
        """Store a copy of a file."""
        return self.put_bytes(key, path.read_bytes(), content_type=content_type)

    def read(self, key: Key) -> bytes:
        """The bytes of an object."""
        self._reach()
        self.reads.append(key)
        if key not in self.objects:
            raise object_not_found()
        return self.objects[key][0]

    def fetch(self, key: Key, to: Path) -> None:
        """Copy an object into a file."""
        to.write_bytes(self.read(key))

    def list(self, folder: Key | None = None) -> Iterator[StoredObject]:
        """All objects below a folder."""
        self._reach()
        start = "" if folder is None else f"{folder}/"
        found = [(key, *entry) for key, entry in list(self.objects.items()) if key.text.startswith(start)]
        return iter(
            sorted((StoredObject(key, len(data), time) for key, data, time in found), key=lambda each: each.key)
        )

    def folders(self, folder: Key) -> Iterator[str]:
        """The folders in a folder."""
        depth = len(folder.segments)
        names = {each.key.segments[depth] for each in self.list(folder) if len(each.key.segments) > depth + 1}
        return iter(sorted(names))

    def stat(self, key: Key) -> StoredObject | None:
        """Describe an object."""
        self._reach()
        return self._described(key) if key in self.objects else None

    def delete(self, key: Key) -> bool:
        """Remove an object."""
        self._reach()
        return self.objects.pop(key, None) is not None

    def remove_partial_writes(self) -> RemovedFiles:
        """There are none."""
        return RemovedFiles(0, 0)

    def url(self, key: Key, *, filename: str | None = None) -> str | None:
        """There are no addresses."""
        return None

    def _reach(self) -> None:
        if self.is_away:
            raise StorageFailed("The store is away.")

    def _described(self, key: Key) -> StoredObject:
        data, modified = self.objects[key]
        return StoredObject(key, len(data), modified)


class Killed(BaseException):
    """The process was killed."""


class Process:
    """A process that uses a store; it stops before every operation on it until the test lets it go on.

    Attributes:
        store: The store as it sees it: after its death, nothing it does arrives there.
    """

    def __init__(self, store: SimulatedStore) -> None:
        self.store: Any = _View(self, store)
        self._go = threading.Semaphore(0)
        self._arrived = threading.Semaphore(0)
        self._is_killed = False
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether it is in the middle of something."""
        return self._thread is not None

    def start(self, work: Callable[[], object]) -> None:
        """Begin to do something, up to the first operation."""

        def run() -> None:
            try:
                work()
            except Killed:
                pass
            finally:
                self._thread = None
                self._arrived.release()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        self._arrived.acquire()

    def step(self) -> None:
        """Carry out one operation, and go on up to the next."""
        self._go.release()
        self._arrived.acquire()

    def finish(self) -> None:
        """Go on to the end."""
        while self.is_running:
            self.step()

    def kill(self) -> None:
        """End it before the operation that it has come to."""
        self._is_killed = True
        self.finish()

    def pause(self) -> None:
        """Wait for the test; called in the process's own thread."""
        if not self._is_killed:
            self._arrived.release()
            self._go.acquire()
        if self._is_killed:
            raise Killed


class _View:
    def __init__(self, process: Process, store: SimulatedStore) -> None:
        self._process = process
        self._store = store

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._store, name)

        def paused(*given: Any, **named: Any) -> Any:
            self._process.pause()
            return operation(*given, **named)

        return paused
