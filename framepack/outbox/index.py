"""What a process knows of the messages in the outbox, so that nothing is read from the store twice."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from framepack.files.parallel import in_parallel
from framepack.outbox.message import CallbackRecord, CallbackState

if TYPE_CHECKING:
    from framepack.outbox.messages import Messages
    from framepack.storage.base import StoredObject


@dataclass
class Index:
    """Records of messages by id and time of writing.

    Attributes:
        messages: The messages in the store.
    """

    messages: Messages
    _known: dict[tuple[str, str], tuple[datetime, CallbackRecord]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def pending(self) -> list[CallbackRecord]:
        """The current records of all pending messages, the oldest first."""
        attempts = self.messages.stored_attempts()
        wanted = []
        for name, stored in self.messages.stored(CallbackState.PENDING):
            tried = attempts.get(name)
            wanted.append(("message", name, stored) if tried is None else ("attempts", name, tried))
        self._forget({"message", "attempts"}, {(kind, name) for kind, name, _ in wanted})
        return sorted(self._records(wanted), key=lambda record: record.created)

    def ended(self, state: CallbackState, limit: int) -> tuple[list[CallbackRecord], int]:
        """The records of the last messages that were delivered, or are exhausted, and the number of all of them."""
        stored = sorted(self.messages.stored(state), key=lambda each: each[1].modified, reverse=True)
        self._forget({str(state)}, {(str(state), name) for name, _ in stored})
        return list(self._records((str(state), name, each) for name, each in stored[:limit])), len(stored)

    def forget(self, name: str) -> None:
        """Forget a message: it has changed, perhaps twice within the resolution of the store's clock."""
        with self._lock:
            self._known.pop(("message", name), None)
            self._known.pop(("attempts", name), None)

    def _records(self, wanted: Iterable[tuple[str, str, StoredObject]]) -> Iterator[CallbackRecord]:
        for record in in_parallel(lambda each: self._record(each[0], each[1], each[2].modified), wanted):
            if record is not None:
                yield record

    def _record(self, kind: str, name: str, modified: datetime) -> CallbackRecord | None:
        known = self._known.get((kind, name))
        if known is not None and known[0] == modified:
            return known[1]
        if kind == "attempts":
            record = self.messages.read_attempts(name)
        else:
            state = CallbackState.PENDING if kind == "message" else CallbackState(kind)
            message = self.messages.read(state, name)
            record = None if message is None else message.record
        if record is not None:
            with self._lock:
                self._known[kind, name] = modified, record
        return record

    def _forget(self, kinds: set[str], keep: set[tuple[str, str]]) -> None:
        """Forget the messages of these kinds that are no longer listed."""
        with self._lock:
            for key in [key for key in self._known if key[0] in kinds and key not in keep]:
                del self._known[key]
