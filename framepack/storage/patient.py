"""A store as a job uses it: patient while the store is away, and stopped when the job is cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from framepack.errors import StorageUnavailable
from framepack.storage.base import DEFAULT_CONTENT_TYPE, StoredObject
from framepack.storage.patience import RESULT_PATIENCE, Patience, briefly, patiently

if TYPE_CHECKING:
    from pathlib import Path

    from framepack.files.removed import RemovedFiles
    from framepack.job import Job
    from framepack.storage.base import Storage
    from framepack.storage.keys import Key

T = TypeVar("T")


@dataclass(slots=True)
class PatientStorage:
    """A store whose every call is repeated while the store does not answer; see `Storage` for the methods.

    Once the job is cancelled, calls only clean up behind it: each may take a second and is not repeated. (A job
    that keeps partial results still stores its result then.)

    Attributes:
        storage: The store.
        job: The job, which reports that it waits.
        patience: When to try again.
    """

    storage: Storage
    job: Job
    patience: Patience = RESULT_PATIENCE
    _waiting: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put_file(self, key: Key, path: Path, *, content_type: str = DEFAULT_CONTENT_TYPE) -> StoredObject:
        """Store a copy of the file."""
        return self._patiently(lambda: self.storage.put_file(key, path, content_type=content_type))

    def put_bytes(
        self, key: Key, data: bytes, *, content_type: str = DEFAULT_CONTENT_TYPE, private: bool = False
    ) -> StoredObject:
        """Store the bytes."""
        return self._patiently(lambda: self.storage.put_bytes(key, data, content_type=content_type, private=private))

    def read(self, key: Key) -> bytes:
        """Return the object's bytes."""
        return self._patiently(lambda: self.storage.read(key))

    def fetch(self, key: Key, to: Path) -> None:
        """Copy the object into a file."""
        self._patiently(lambda: self.storage.fetch(key, to))

    def read_part(self, stored: StoredObject, start: int, size_bytes: int) -> bytes:
        """Return bytes of an object."""
        return self._patiently(lambda: self.storage.read_part(stored, start, size_bytes))

    def list(self, folder: Key | None = None) -> Iterator[StoredObject]:
        """Yield all objects below the folder; a listing that breaks goes on after the last object."""
        return self._resumed(lambda: self.storage.list(folder), lambda stored: stored.key.text)

    def folders(self, folder: Key) -> Iterator[str]:
        """Yield the names of the folders in this one."""
        return self._resumed(lambda: self.storage.folders(folder), lambda name: f"{name}/")

    def stat(self, key: Key) -> StoredObject | None:
        """Describe the object."""
        return self._patiently(lambda: self.storage.stat(key))

    def delete(self, key: Key) -> bool:
        """Remove the object."""
        return self._patiently(lambda: self.storage.delete(key))

    def remove_partial_writes(self) -> RemovedFiles:
        """Remove partial writes of crashed processes."""
        return self._patiently(self.storage.remove_partial_writes)

    def url(self, key: Key, *, filename: str | None = None) -> str | None:
        """Return an address that anybody can download the object from."""
        return self._patiently(lambda: self.storage.url(key, filename=filename))

    def _patiently(self, call: Callable[[], T]) -> T:
        if not self.job.is_cancelled:
            return patiently(call, self.job.check, patience=self.patience, on_wait=self._on_wait)
        if self.job.keeps_partial:
            return call()
        try:
            return briefly(call)
        except StorageUnavailable:
            self.job.check()
            raise

    def _on_wait(self, what: str | None) -> None:
        """Report that the job waits while at least one of its calls does."""
        with self._lock:
            self._waiting += 1 if what else -1
            is_news = self._waiting == (1 if what else 0)
        if is_news:
            self.job.on_waiting(what)

    def _resumed(self, begin: Callable[[], Iterator[T]], order: Callable[[T], str]) -> Iterator[T]:
        """The items of a listing, which is begun again if it breaks."""
        items, last, known = begin(), "", ""

        def following() -> T | None:
            nonlocal items, known
            try:
                return next((item for item in items if order(item) > known), None)
            except StorageUnavailable:
                items, known = begin(), last
                raise

        while (item := self._patiently(following)) is not None:
            last = order(item)
            yield item
