"""What is known of a job, kept in the store so that it outlives the process: its input, its state, its result.

Three objects per job, below ``state``: ``jobs/ID.json`` is small and stays until the job is forgotten,
``job_results/ID.json`` likewise, once there is a result, and ``job_inputs/ID.json`` is there as long as the job needs
looking after. The input is what the client sent, with whatever secrets its addresses hold; the others hold none but
links that expire, and whoever looks gets new ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_json

from framepack.answer import without_inline
from framepack.errors import InvalidField, NotFound
from framepack.files.parallel import in_parallel
from framepack.storage.documents import STATE, Documents
from framepack.storage.keys import Key
from framepack.storage.outputs import PUBLIC_ROOT

if TYPE_CHECKING:
    from framepack.answer import Answer
    from framepack.storage.base import Storage

_RECORDS: Final = "jobs"
_INPUTS: Final = STATE / "job_inputs"
_RESULTS: Final = STATE / "job_results"


class State(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to the job."""
        return self not in {State.QUEUED, State.RUNNING}


class JobRecord(BaseModel):
    """One job; a value, replaced whenever something happens to it.

    Attributes:
        id: Its name in addresses.
        operation: Name of its operation.
        state: Where it is in its life.
        created: When it was accepted.
        started: When a worker last began it.
        ended: When it reached its final state.
        attempts: How often a worker has begun it and not been told to stop.
        owner: The server that looks after it; None if the next one is to take it up.
        remote_id: Its id at the platform that it was sent to.
        request: Digest of what was asked, of a job with an idempotency key.
        callback_pending: Whether the client's receiver has yet to hear from the server how the job ended.
        progress: Frames done and in all, percent, seconds left; as far as known.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    operation: str
    state: State
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    attempts: int = 0
    owner: str | None = None
    remote_id: str | None = None
    request: str | None = None
    callback_pending: bool = False
    progress: dict[str, Any] | None = None

    def but(self, **changes: Any) -> JobRecord:
        """The record with some values changed."""
        return self.model_copy(update=changes)

    def moved(self, state: State, **changes: Any) -> JobRecord:
        """The record after the job has come into ``state`` now."""
        started = now() if state is State.RUNNING else self.started
        return self.but(state=state, started=started, ended=now() if state.is_final else None, **changes)


@dataclass
class JobRecords:
    """The jobs of a deployment, in its store.

    Attributes:
        storage: Where they lie.
    """

    storage: Storage

    def save(self, record: JobRecord) -> None:
        """Write the record as it is now."""
        self._records.save(record.id, record.model_dump(mode="json"))

    def read(self, job_id: str) -> JobRecord:
        """The record of a job.

        Raises:
            NotFound: there is none.
        """
        with suppress(NotFound, InvalidField):
            record = self._records.read(job_id)
            if record.id == job_id:
                return record
        raise NotFound(f"Job '{job_id[:80]}' not found")

    def newest(self, limit: int) -> tuple[list[JobRecord], int]:
        """The records written last, the newest job first, and how many there are in all."""
        stored = sorted(self._records.stored(), key=lambda each: each[1].modified, reverse=True)
        found = self._found(job_id for job_id, _ in stored[:limit])
        return sorted(found, key=lambda record: record.created, reverse=True), len(stored)

    def unfinished(self) -> list[JobRecord]:
        """The records of all jobs that still need looking after, the oldest first."""
        found = self._found(_job_id(stored.key) for stored in self.storage.list(_INPUTS))
        return sorted(found, key=lambda record: record.created)

    def save_input(self, job_id: str, fields: dict[str, Any]) -> None:
        """Keep what a job was given; it may be as large as a video."""
        self.storage.put_bytes(_at(_INPUTS, job_id), to_json(fields))

    def read_input(self, job_id: str) -> dict[str, Any]:
        """What a job was given.

        Raises:
            NotFound: it has ended, or the object was damaged.
        """
        return self._read(_at(_INPUTS, job_id))

    def forget_input(self, job_id: str) -> None:
        """Drop what a job was given: nothing will ask for it again."""
        self.storage.delete(_at(_INPUTS, job_id))

    def save_result(self, job_id: str, answer: Answer) -> None:
        """Keep a job's answer or error envelope, without inline files: those are in the store."""
        self.storage.put_bytes(_at(_RESULTS, job_id), json.dumps(without_inline(answer)).encode())

    def read_result(self, job_id: str) -> Answer:
        """A job's answer or error envelope, with links that work from now on for as long as new ones do.

        Raises:
            NotFound: there is none.
        """
        answer: Answer = self._with_new_links(self._read(_at(_RESULTS, job_id)))
        return answer

    def delete(self, job_id: str) -> None:
        """Forget everything about a job."""
        for key in (_at(_INPUTS, job_id), _at(_RESULTS, job_id), self._records.key(job_id)):
            self.storage.delete(key)

    def expire(self, before: datetime) -> None:
        """Forget jobs that ended before that time, and inputs of that age that belong to none."""
        for folder, is_old in ((STATE / _RECORDS, _ended_before(before)), (_INPUTS, lambda record: record is None)):
            for stored in self.storage.list(folder):
                if stored.modified < before and is_old(self._known(_job_id(stored.key))):
                    self.delete(_job_id(stored.key))

    def _with_new_links(self, value: Any) -> Any:
        """``value`` with a new ``..._url`` beside every ``..._path`` of the store, at any depth."""
        if isinstance(value, list):
            return [self._with_new_links(each) for each in value]
        if not isinstance(value, dict):
            return value
        found = {name: self._with_new_links(each) for name, each in value.items()}
        for name, path in value.items():
            address = f"{name.removesuffix('_path')}_url"
            if name.endswith("_path") and found.get(address) and str(path).startswith(PUBLIC_ROOT):
                key = Key(path.removeprefix(PUBLIC_ROOT))
                found[address] = self.storage.url(key, filename=key.name) or found[address]
        return found

    def _known(self, job_id: str) -> JobRecord | None:
        try:
            return self.read(job_id)
        except NotFound:
            return None

    def _found(self, job_ids: Iterator[str]) -> list[JobRecord]:
        return [record for record in in_parallel(self._known, job_ids) if record is not None]

    def _read(self, key: Key) -> dict[str, Any]:
        try:
            content = json.loads(self.storage.read(key))
        except ValueError as error:
            raise NotFound("What was stored of this job is damaged.") from error
        if not isinstance(content, dict):
            raise NotFound("What was stored of this job is damaged.")
        return content

    @cached_property
    def _records(self) -> Documents[JobRecord]:
        return Documents(self.storage, _RECORDS, _record)


def now() -> datetime:
    """The time, as records carry it."""
    return datetime.now(UTC)


def _at(folder: Key, job_id: str) -> Key:
    return folder / f"{job_id}.json"


def _job_id(key: Key) -> str:
    return key.name.removesuffix(".json")


def _ended_before(before: datetime) -> Callable[[JobRecord | None], bool]:
    return lambda record: record is not None and record.ended is not None and record.ended < before


def _record(content: dict[str, Any]) -> JobRecord:
    try:
        return JobRecord.model_validate(content)
    except ValidationError as error:
        raise InvalidField("The document is no job's record.") from error
