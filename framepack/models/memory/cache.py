"""A cache of loaded models: each is loaded once, shared through leases, and evicted when memory is short."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from framepack.errors import Conflict, DeviceLost, OutOfMemory
from framepack.models.memory.device import is_device_lost, is_out_of_memory, release_memory
from framepack.models.memory.model_memory import ModelMemory
from framepack.models.memory.oom import retry_after_oom
from framepack.units import MB

if TYPE_CHECKING:
    from framepack.models.memory.device import Device
    from framepack.models.spec import Group, ModelSpec

log = logging.getLogger("framepack.models")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A loaded model, as the cache's status lists it.

    Attributes:
        name: Public name.
        group: Group of models it belongs to.
        memory_bytes: Measured size of its tensors on the device; the estimate if it has none there.
    """

    name: str
    group: Group
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class UnloadedModel:
    """A model that was unloaded, and how much of its tensors' memory was really freed."""

    name: str
    group: Group
    freed_bytes: int


@dataclass(slots=True)
class _Entry:
    """A model that is loaded or being loaded.

    A job that waits for the model holds a lease already, so the model cannot be evicted in between. ``memory_bytes``
    is an estimate until the model is loaded.
    """

    spec: ModelSpec[Any]
    name: str
    memory_bytes: int
    leases: int = 0
    is_loaded: bool = False
    memory: ModelMemory = field(default_factory=lambda: ModelMemory(None))
    model: Future[Any] = field(default_factory=Future)


class ModelCache:
    """Keeps models loaded. Thread-safe; models are loaded and closed outside its lock.

    The cache is the `ResidentModels` of its device. Before a model is loaded, idle models are evicted, least recently
    used first, until the new one fits by its estimate or by its measured size from the last time.

    Args:
        device: Returns the device of the models; called when the first one is loaded. None: memory is unlimited.
    """

    def __init__(self, device: Callable[[], Device] | None = None) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._closing = threading.RLock()  # nobody evicts models while another thread is closing some
        self._entries: dict[str, _Entry] = {}  # least recently used first
        self._measured: dict[str, int] = {}  # bytes by key, of every model loaded so far
        self._closing_bytes = 0
        self._loads = 0

    @property
    def loads(self) -> int:
        """Number of models loaded since the start."""
        return self._loads

    @contextlib.contextmanager
    def lease(self, spec: ModelSpec[T]) -> Iterator[T]:
        """Use a model: ``with cache.lease(spec) as model``. It stays loaded until the end of the block or longer.

        Loads the model if necessary. Other threads that want the same model wait for this load and share its outcome.
        A failure is not remembered: the next request tries again. When memory runs out while the model is loaded,
        idle models are evicted and it is loaded once more.

        Raises:
            OutOfMemory: Memory ran out twice while loading, or once in the block.
            DeviceLost: The GPU failed; this process cannot use it any more.
            Exception: Any other error of ``spec.load``.
        """
        entry, is_new = self._acquire(spec)
        try:
            if is_new:
                self._load(entry)
            yield entry.model.result()
        except Exception as error:
            if is_out_of_memory(error):
                raise OutOfMemory(f"The worker's memory is too small for this job with {entry.name}.") from error
            if is_device_lost(error):
                raise DeviceLost from error
            raise
        finally:
            self._release(entry)

    def unload(self, *groups: Group) -> tuple[UnloadedModel, ...]:
        """Unload the models of the given groups, or all models, and free their memory.

        Returns:
            The models that were unloaded.

        Raises:
            Conflict: One of them is in use; in that case none is unloaded.
        """
        with self._closing:
            with self._lock:
                entries = [entry for entry in self._entries.values() if not groups or entry.spec.group in groups]
                used = next((entry.name for entry in entries if entry.leases), None)
                if used is not None:
                    raise Conflict(f"{used} is in use by a running job: try again when it has ended.")
                self._detach(entries)
            return self._close(entries) if entries else ()

    def evict_idle(self, until: Callable[[], bool] | None = None) -> tuple[UnloadedModel, ...]:
        """Unload models that no job uses, least recently used first.

        Args:
            until: Called before each; eviction stops when it returns True. None: evict all idle models.

        Returns:
            The models that were unloaded.
        """
        evicted: list[UnloadedModel] = []
        with self._closing:
            while until is None or not until():
                with self._lock:
                    entries = [entry for entry in self._entries.values() if not entry.leases]
                    entries = entries if until is None else entries[:1]
                    self._detach(entries)
                if not entries:
                    break
                evicted += self._close(entries)
        return tuple(evicted)

    def resident_bytes(self) -> int:
        """Memory of the loaded models, including those that are being closed."""
        with self._lock:
            loaded = [entry.memory_bytes for entry in self._entries.values() if entry.is_loaded]
            return sum(loaded) + self._closing_bytes

    def reserved_bytes(self) -> int:
        """Estimated memory of the models that are being loaded."""
        with self._lock:
            return sum(entry.memory_bytes for entry in self._entries.values() if not entry.is_loaded)

    def status(self, *groups: Group) -> tuple[LoadedModel, ...]:
        """The loaded models of the given groups, or all, least recently used first."""
        with self._lock:
            return tuple(
                LoadedModel(entry.name, entry.spec.group, entry.memory_bytes)
                for entry in self._entries.values()
                if entry.is_loaded and (not groups or entry.spec.group in groups)
            )

    def _acquire(self, spec: ModelSpec[Any]) -> tuple[_Entry, bool]:
        """Take a lease; return the entry and whether the caller must load it."""
        with self._lock:
            entry = self._entries.get(spec.key)
            is_new = entry is None
            if entry is None:
                estimate = self._measured.get(spec.key, spec.memory_mb * MB)
                entry = self._entries[spec.key] = _Entry(spec, spec.name or spec.key, estimate)
            entry.leases += 1
            return entry, is_new

    def _load(self, entry: _Entry) -> None:
        """Load the model; the entry's future carries the outcome to all waiting threads."""
        started = time.monotonic()
        try:
            self._evict_to_fit()
            message = f"The worker's memory is too small to load {entry.name} beside the models in use."
            model = retry_after_oom(entry.spec.load, self._free_memory, message)
            memory = ModelMemory(model, None if self._device is None else self._device().torch_device)
        except BaseException as error:
            with self._lock:
                del self._entries[entry.spec.key]
            entry.model.set_exception(error)
            raise
        with self._lock:
            entry.name = entry.spec.name or type(model).__name__
            entry.memory = memory
            entry.memory_bytes = self._measured[entry.spec.key] = memory.size_bytes or entry.memory_bytes
            entry.is_loaded = True
            self._loads += 1
        entry.model.set_result(model)
        log.info("loaded %s in %.1f s: %d MB", entry.name, time.monotonic() - started, entry.memory_bytes // MB)
        self._evict_to_fit()  # it may be larger than estimated

    def _release(self, entry: _Entry) -> None:
        with self._lock:
            entry.leases -= 1
            if self._entries.get(entry.spec.key) is entry:
                self._entries[entry.spec.key] = self._entries.pop(entry.spec.key)

    def _evict_to_fit(self) -> None:
        """Evict idle models until resident and reserved memory fit; if they still do not, loading raises an error."""
        if self._device is not None:
            self._device().evict_until(0)

    def _free_memory(self) -> None:
        self.evict_idle()
        release_memory()

    def _detach(self, entries: list[_Entry]) -> None:
        """Remove entries under the lock; their memory counts as resident until they are closed."""
        for entry in entries:
            del self._entries[entry.spec.key]
            self._closing_bytes += entry.memory_bytes

    def _close(self, entries: list[_Entry]) -> tuple[UnloadedModel, ...]:
        """Close detached models, free their memory and measure it. Empties ``entries``, to keep none alive."""
        size_bytes = sum(entry.memory_bytes for entry in entries)
        closing = [(entry.name, entry.spec.group, entry.memory) for entry in entries]
        try:
            while entries:
                _close_model(entries.pop().model.result())
            release_memory(collect=any(memory.freed_bytes() < memory.size_bytes for *_, memory in closing))
        finally:
            with self._lock:
                self._closing_bytes -= size_bytes
        unloaded = tuple(UnloadedModel(name, group, memory.freed_bytes()) for name, group, memory in closing)
        for each in unloaded:
            log.info("unloaded %s: %d MB freed", each.name, each.freed_bytes // MB)
        return unloaded


def _close_model(model: object) -> None:
    close = getattr(model, "close", None)
    if callable(close):
        close()
