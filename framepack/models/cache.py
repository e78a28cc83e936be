"""Loaded models, kept warm and shared: each is loaded once, used under a lease, and leaves when memory is short."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from framepack.errors import Conflict

if TYPE_CHECKING:
    from framepack.models.spec import Group, ModelSpec

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """One line of the cache's status; ``leases`` counts the jobs that use the model right now."""

    name: str
    group: Group
    key: str
    leases: int
    memory_mb: int
    loaded_at: datetime


@dataclass(slots=True)
class _Entry:
    """A model that is loaded or being loaded; whoever waits for it holds a lease already, so it cannot leave."""

    spec: ModelSpec[Any]
    leases: int = 0
    loaded_at: datetime | None = None
    model: Future[Any] = field(default_factory=Future)


class ModelCache:
    """Keeps models loaded; safe from any thread. Loading and closing happen outside its lock.

    Args:
        free_mb: says how much memory a new model may take; while that is less than its estimate, idle models are
            closed, the least recently used first. None: there is always enough.
    """

    def __init__(self, free_mb: Callable[[], int] | None = None) -> None:
        self._free_mb = free_mb
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}  # the least recently used first
        self._loads = 0

    @property
    def loads(self) -> int:
        """How many models have been loaded since the start."""
        return self._loads

    @contextlib.contextmanager
    def lease(self, spec: ModelSpec[T]) -> Iterator[T]:
        """Use a model: ``with cache.lease(spec) as model``. It stays loaded at least until the end of the block.

        Loads it if it is not there. Whoever asks for it in the meantime waits for that one load and shares its
        outcome; a failure is forgotten afterwards, so that the next request tries again.

        Raises:
            Exception: whatever loading raised.
        """
        with self._lock:
            entry = self._entries.get(spec.key)
            is_new = entry is None
            if entry is None:
                entry = self._entries[spec.key] = _Entry(spec)
            entry.leases += 1
        try:
            if is_new:
                self._load(entry)
            yield entry.model.result()
        finally:
            self._release(entry)

    def unload(self, group: Group | None = None) -> list[str]:
        """Close the models of a group, or all of them.

        Returns:
            The names of those that were loaded.

        Raises:
            Conflict: one of them is in use; then all of them stay.
        """
        with self._lock:
            entries = [entry for entry in self._entries.values() if group in {None, entry.spec.group}]
            used = next((entry for entry in entries if entry.leases), None)
            if used is not None:
                raise Conflict(f"{used.spec.name} is in use by a running job: try again when it has ended.")
            self._forget(entries)
        return _close(entries)

    def release_idle(self) -> list[str]:
        """Close every model that no job uses, and return their names."""
        with self._lock:
            entries = [entry for entry in self._entries.values() if not entry.leases]
            self._forget(entries)
        return _close(entries)

    def status(self) -> tuple[LoadedModel, ...]:
        """What is loaded, the least recently used first."""
        with self._lock:
            return tuple(
                LoadedModel(
                    entry.spec.name,
                    entry.spec.group,
                    entry.spec.key,
                    entry.leases,
                    entry.spec.memory_mb,
                    entry.loaded_at,
                )
                for entry in self._entries.values()
                if entry.loaded_at is not None
            )

    def _load(self, entry: _Entry) -> None:
        """Load into ``entry``, whose future carries the outcome to everybody who waits."""
        try:
            self._make_room(entry)
            model = entry.spec.load()
        except BaseException as error:
            with self._lock:
                self._forget([entry])
            entry.model.set_exception(error)
            raise
        with self._lock:
            entry.loaded_at = datetime.now(UTC)
            self._loads += 1
        entry.model.set_result(model)

    def _release(self, entry: _Entry) -> None:
        with self._lock:
            entry.leases -= 1
            if self._entries.get(entry.spec.key) is entry:
                self._entries[entry.spec.key] = self._entries.pop(entry.spec.key)

    def _make_room(self, entry: _Entry) -> None:
        """Close idle models until the new one fits; if it still does not, loading it will tell."""
        while self._free_mb is not None and self._free_mb() - self._promised_mb(entry) < entry.spec.memory_mb:
            with self._lock:
                idle = [other for other in self._entries.values() if not other.leases][:1]
                self._forget(idle)
            if not idle:
                return
            _close(idle)

    def _promised_mb(self, entry: _Entry) -> int:
        """Memory that other models will take as soon as they are loaded."""
        with self._lock:
            others = [other for other in self._entries.values() if other is not entry and other.loaded_at is None]
        return sum(other.spec.memory_mb for other in others)

    def _forget(self, entries: list[_Entry]) -> None:
        for entry in entries:
            del self._entries[entry.spec.key]


def _close(entries: list[_Entry]) -> list[str]:
    """Close models that are no longer listed, give their memory back, and return their names, each once."""
    names = list(dict.fromkeys(entry.spec.name for entry in entries))
    while entries:
        _close_model(entries.pop().model.result())
    gc.collect()
    torch = sys.modules.get("torch")  # if nobody has imported it, there is nothing to give back
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return names


def _close_model(model: object) -> None:
    close = getattr(model, "close", None)
    if callable(close):
        close()
