"""The messages of the outbox in the store, by state, so that listing what is pending is cheap.

Below ``state/outbox``, each in a folder of its job:

* ``pending/JOB/DIGEST.json``: a message, written once. This write ends the job.
* ``attempts/JOB/DIGEST.json``: the record of a pending message, small, rewritten after every attempt.
* ``claims/JOB/DIGEST.NUMBER.RANDOM``: an attempt that is being made, see `framepack.outbox.claims`.
* ``exhausted/JOB/DIGEST.json``: a message that could not be delivered, with its record, until somebody deletes it.
* ``delivered/JOB/DIGEST.json``: what is left of a delivered message, without its secrets, for a while.

Pending and exhausted messages hold the receiver's address and token, like the inputs of jobs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import BaseModel, ValidationError

from framepack.errors import NotFound
from framepack.outbox.message import CallbackRecord, CallbackState, Message, job_name, parts_of
from framepack.storage.documents import DAMAGED, STATE

if TYPE_CHECKING:
    from datetime import datetime

    from framepack.storage.base import Storage, StoredObject
    from framepack.storage.keys import Key

log = logging.getLogger("framepack.callback")

M = TypeVar("M", bound=BaseModel)

ROOT: Final = STATE / "outbox"
_ATTEMPTS: Final = ROOT / "attempts"
_FOLDERS: Final = {state: ROOT / state.value for state in CallbackState}
_SUFFIX: Final = ".json"
_CONTENT_TYPE: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Messages:
    """The messages in a store. All methods may raise StorageFailed.

    Attributes:
        storage: The deployment's store.
    """

    storage: Storage

    def save(self, message: Message) -> None:
        """Write a message to the folder of its state."""
        self._write(self._key(_FOLDERS[message.record.state], message.id), message)

    def read(self, state: CallbackState, name: str) -> Message | None:
        """The message of an id, if it is in this state."""
        key = self._key(_FOLDERS[state], name)
        return None if key is None else self._read(key, Message)

    def exists(self, state: CallbackState, name: str) -> bool:
        """Whether the message of an id is in this state."""
        key = self._key(_FOLDERS[state], name)
        return key is not None and self.storage.stat(key) is not None

    def delete(self, state: CallbackState, name: str) -> bool:
        """Delete a message from the folder of a state; return whether it was there."""
        key = self._key(_FOLDERS[state], name)
        return key is not None and self.storage.delete(key)

    def stored(self, state: CallbackState) -> Iterator[tuple[str, StoredObject]]:
        """Id and stored object of every message in a state."""
        return self._listed(_FOLDERS[state])

    def of_job(self, job_id: str) -> list[Message]:
        """All messages about a job, in any state, the newest first."""
        found = []
        for folder in _FOLDERS.values():
            for _, stored in self._listed(folder / job_name(job_id)):
                message = self._read(stored.key, Message)
                if message is not None and message.record.job_id == job_id:
                    found.append(message)
        return sorted(found, key=lambda message: message.record.created, reverse=True)

    def save_attempts(self, record: CallbackRecord) -> None:
        """Write the record of a pending message."""
        self._write(self._key(_ATTEMPTS, record.id), record)

    def read_attempts(self, name: str) -> CallbackRecord | None:
        """The record of a pending message; None before its first attempt."""
        key = self._key(_ATTEMPTS, name)
        return None if key is None else self._read(key, CallbackRecord)

    def delete_attempts(self, name: str) -> None:
        """Delete the record of a message that is no longer pending."""
        if (key := self._key(_ATTEMPTS, name)) is not None:
            self.storage.delete(key)

    def stored_attempts(self) -> dict[str, StoredObject]:
        """The stored records of pending messages, by id."""
        return dict(self._listed(_ATTEMPTS))

    def expire(self, before: datetime) -> None:
        """Delete what is left of messages that were delivered before a time, and what dead processes have left."""
        for name, stored in self.stored(CallbackState.DELIVERED):
            if stored.modified < before:
                self.delete(CallbackState.DELIVERED, name)
        for name, stored in self.stored_attempts().items():
            if stored.modified < before and not self.exists(CallbackState.PENDING, name):
                self.delete_attempts(name)

    def _key(self, folder: Key, name: str) -> Key | None:
        parts = parts_of(name)
        return None if parts is None else folder / parts[0] / f"{parts[1]}{_SUFFIX}"

    def _listed(self, folder: Key) -> Iterator[tuple[str, StoredObject]]:
        for stored in self.storage.list(folder):
            job, digest = stored.key.segments[-2:]
            name = f"msg_{job}_{digest.removesuffix(_SUFFIX)}"
            if digest.endswith(_SUFFIX) and parts_of(name) is not None:
                yield name, stored

    def _write(self, key: Key | None, content: BaseModel) -> None:
        if key is None:
            raise ValueError("not the id of a message")
        self.storage.put_bytes(key, content.model_dump_json().encode(), content_type=_CONTENT_TYPE, private=True)

    def _read(self, key: Key, model: type[M]) -> M | None:
        """The object at a key; None if there is none. A damaged one is set aside: it must not block others."""
        try:
            data = self.storage.read(key)
        except NotFound:
            return None
        try:
            return model.model_validate_json(data)
        except ValidationError as error:
            log.warning("%s is damaged (%d errors) and was set aside", key, error.error_count())
            self.storage.put_bytes(
                DAMAGED / "outbox" / f"{key.segments[-3]}-{key.segments[-2]}-{key.name}", data, private=True
            )
            self.storage.delete(key)
            return None
