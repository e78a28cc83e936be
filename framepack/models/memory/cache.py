"""Loaded models, kept warm and shared: each is loaded once, used under a lease, and leaves when memory is short."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from framepack.errors import Conflict, OutOfMemory
from framepack.models.memory.allocated import Holdings
from framepack.models.memory.device import MB, is_out_of_memory, release_memory
from framepack.models.memory.oom import retry_after_oom

if TYPE_CHECKING:
    from framepack.models.memory.device import Device
    from framepack.models.spec import Group, ModelSpec

log = logging.getLogger("framepack.models")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """One line of the cache's status.

    Attributes:
        name: public name.
        group: what it is for.
        key: identity in the cache.
        leases: how many jobs use it right now.
        memory_bytes: what its tensors hold on the device, measured; the estimate for a model that has none there.
        loaded_at: when, with time zone.
    """

    name: str
    group: Group
    key: str
    leases: int
    memory_bytes: int
    loaded_at: datetime


@dataclass(frozen=True, slots=True)
class UnloadedModel:
    """A model that has left, and the memory that its tensors really gave back."""

    name: str
    group: Group
    freed_bytes: int


@dataclass(slots=True)
class _Entry:
    """A model that is loaded or being loaded; whoever waits for it holds a lease already, so it cannot leave.

    ``memory_bytes`` is an estimate until it is loaded.
    """

    spec: ModelSpec[Any]
    name: str
    memory_bytes: int
    leases: int = 0
    loaded_at: datetime | None = None
    holdings: Holdings = field(default_factory=lambda: Holdings(None))
    model: Future[Any] = field(default_factory=Future)


class ModelCache:
    """Keeps models loaded; safe from any thread. Loading and closing happen outside its lock.

    These are the `ResidentModels` of a device: before a model is loaded, idle ones are evicted, least recently used
    first, until it fits by its estimate, or by what it held the last time.

    Args:
        device: where models live; asked for when the first one is loaded. None: there is always enough memory.
    """

    def __init__(self, device: Callable[[], Device] | None = None) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._closing = threading.RLock()  # nobody looks for room while another is giving it back
        self._entries: dict[str, _Entry] = {}  # the least recently used first
        self._measured: dict[str, int] = {}  # bytes by key, of every model that was ever loaded
        self._leaving_bytes = 0
        self._loads = 0

    @property
    def loads(self) -> int:
        """How many models have been loaded since the start."""
        return self._loads

    @contextlib.contextmanager
    def lease(self, spec: ModelSpec[T]) -> Iterator[T]:
        """Use a model: ``with cache.lease(spec) as model``. It stays loaded at least until the end of the block.

        Loads it if it is not there. Whoever asks for it in the meantime waits for that one load and shares its
        outcome; a failure is forgotten afterwards, so that the next request tries again. When memory runs out while
        it is loaded, idle models leave and it is loaded once more.

        Raises:
            OutOfMemory: memory ran out, twice while it was loaded or once in the block.
            Exception: whatever else loading raised.
        """
        entry, is_new = self._enter(spec)
        try:
            if is_new:
                self._load(entry)
            yield entry.model.result()
        except Exception as error:
            if is_out_of_memory(error):
                raise OutOfMemory(f"The worker's memory is too small for this job with {entry.name}.") from error
            raise
        finally:
            self._release(entry)

    def unload(self, *groups: Group) -> tuple[UnloadedModel, ...]:
        """Close the models of some groups, or all of them, and give their memory back.

        Returns:
            Those that were loaded.

        Raises:
            Conflict: one of them is in use; then all of them stay.
        """
        with self._closing:
            with self._lock:
                entries = [entry for entry in self._entries.values() if not groups or entry.spec.group in groups]
                used = next((entry.name for entry in entries if entry.leases), None)
                if used is not None:
                    raise Conflict(f"{used} is in use by a running job: try again when it has ended.")
                self._take_off(entries)
            return self._close(entries) if entries else ()

    def release_idle(self, until: Callable[[], bool] | None = None) -> tuple[UnloadedModel, ...]:
        """Close models that no job uses, the least recently used first.

        Args:
            until: asked before each whether it is enough; None: close all of them.

        Returns:
            Those that left.
        """
        left: list[UnloadedModel] = []
        with self._closing:
            while until is None or not until():
                with self._lock:
                    entries = [entry for entry in self._entries.values() if not entry.leases]
                    entries = entries if until is None else entries[:1]
                    self._take_off(entries)
                if not entries:
                    break
                left += self._close(entries)
        return tuple(left)

    def resident_bytes(self) -> int:
        """What the loaded models hold, those included that are just being closed."""
        with self._lock:
            loaded = [entry.memory_bytes for entry in self._entries.values() if entry.loaded_at is not None]
            return sum(loaded) + self._leaving_bytes

    def reserved_bytes(self) -> int:
        """What models that are being loaded are about to take, by their estimates."""
        with self._lock:
            return sum(entry.memory_bytes for entry in self._entries.values() if entry.loaded_at is None)

    def status(self, *groups: Group) -> tuple[LoadedModel, ...]:
        """What is loaded, of some groups or of all, the least recently used first."""
        with self._lock:
            return tuple(
                LoadedModel(
                    entry.name,
                    entry.spec.group,
                    entry.spec.key,
                    entry.leases,
                    entry.memory_bytes,
                    entry.loaded_at,
                )
                for entry in self._entries.values()
                if entry.loaded_at is not None and (not groups or entry.spec.group in groups)
            )

    def _enter(self, spec: ModelSpec[Any]) -> tuple[_Entry, bool]:
        """Take a lease; say whether the model has yet to be loaded."""
        with self._lock:
            entry = self._entries.get(spec.key)
            is_new = entry is None
            if entry is None:
                estimate = self._measured.get(spec.key, spec.memory_mb * MB)
                entry = self._entries[spec.key] = _Entry(spec, spec.name or spec.key, estimate)
            entry.leases += 1
            return entry, is_new

    def _load(self, entry: _Entry) -> None:
        """Load into ``entry``, whose future carries the outcome to everybody who waits."""
        started = time.monotonic()
        try:
            self._make_room()
            refusal = f"The worker's memory is too small to load {entry.name} beside the models in use."
            model = retry_after_oom(entry.spec.load, self._relieve, refusal)
            holdings = Holdings(model, None if self._device is None else self._device().place)
        except BaseException as error:
            with self._lock:
                del self._entries[entry.spec.key]
            entry.model.set_exception(error)
            raise
        with self._lock:
            entry.name = entry.spec.name or type(model).__name__
            entry.holdings = holdings
            entry.memory_bytes = self._measured[entry.spec.key] = holdings.size_bytes or entry.memory_bytes
            entry.loaded_at = datetime.now(UTC)
            self._loads += 1
        entry.model.set_result(model)
        log.info("loaded %s in %.1f s: %d MB", entry.name, time.monotonic() - started, entry.memory_bytes // MB)
        self._make_room()  # it may hold more than was estimated

    def _release(self, entry: _Entry) -> None:
        with self._lock:
            entry.leases -= 1
            if self._entries.get(entry.spec.key) is entry:
                self._entries[entry.spec.key] = self._entries.pop(entry.spec.key)

    def _make_room(self) -> None:
        """Let idle models leave until all that is held and promised fits; if it still does not, loading will tell."""
        if self._device is not None:
            self._device().evict_until(0)

    def _relieve(self) -> None:
        self.release_idle()
        release_memory()

    def _take_off(self, entries: list[_Entry]) -> None:
        """Take models off the list, under the lock; what they hold counts until they are closed."""
        for entry in entries:
            del self._entries[entry.spec.key]
            self._leaving_bytes += entry.memory_bytes

    def _close(self, entries: list[_Entry]) -> tuple[UnloadedModel, ...]:
        """Close models that are off the list, give their memory back and say what it was; empties ``entries``."""
        held = sum(entry.memory_bytes for entry in entries)
        leaving = [(entry.name, entry.spec.group, entry.holdings) for entry in entries]
        try:
            while entries:
                _close_model(entries.pop().model.result())
            release_memory(collect=any(holdings.freed_bytes() < holdings.size_bytes for *_, holdings in leaving))
        finally:
            with self._lock:
                self._leaving_bytes -= held
        left = tuple(UnloadedModel(name, group, holdings.freed_bytes()) for name, group, holdings in leaving)
        for each in left:
            log.info("unloaded %s: %d MB freed", each.name, each.freed_bytes // MB)
        return left


def _close_model(model: object) -> None:
    close = getattr(model, "close", None)
    if callable(close):
        close()
