"""Job records in the store, which survive the server: input, state and result of every job.

Each job has up to three objects below ``state``:

* ``jobs/ID.json``, the record: small, kept until the job is forgotten.
* ``job_results/ID.json``: its answer or error envelope, from its end until it is forgotten.
* ``job_inputs/ID.json``: its fields, until the job has ended and its callback is in the outbox.

The input is what the client sent, including any secrets in its URLs. The other two hold no secrets, only links that
expire; every read of a result creates new links.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from framepack.errors import DeviceLost, FramepackError, InvalidField, NotFound, StorageUnavailable, Unavailable
from framepack.files.parallel import in_parallel
from framepack.spelling import shortened
from framepack.storage.answers import attached, detached, with_new_links
from framepack.storage.documents import STATE, Documents
from framepack.storage.reservations import reservation

if TYPE_CHECKING:
    from framepack.answer import Answer
    from framepack.storage.base import Storage
    from framepack.storage.keys import Key

_RECORDS: Final = "jobs"
_INPUTS: Final = STATE / "job_inputs"
_RESULTS: Final = STATE / "job_results"

_PASSING: Final = frozenset({each.code for each in (FramepackError, Unavailable, StorageUnavailable, DeviceLost)})
_TRIES: Final = 40
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 1.0


class State(StrEnum):
    """The state of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self not in {State.QUEUED, State.RUNNING}


class JobRecord(BaseModel):
    """The record of a job. It is immutable: every change makes a new record.

    Attributes:
        id: The job's id, as in ``/jobs/ID``.
        operation: Name of the operation.
        state: State of the job.
        created: When it was submitted.
        started: When its last attempt started.
        ended: When it ended.
        attempts: Number of attempts, without those that a stopping server interrupted.
        worker_deaths: Number of attempts that ended with the death of a worker which ran only this job, while its
            server lived on. Only these are held against the job.
        owner: Id of the server that manages the job; None if the next server is to resume it.
        remote_id: Id of the job at RunPod, if it was sent there.
        request: Digest of the request, if it had an idempotency key.
        callback_pending: Whether the callback of a job that no worker has reported is yet to be put into the outbox.
        progress: The last progress update: frames done, frames in total, percent, seconds left, as far as known.
        is_here: Whether its owner runs it without a backend. No other server can resume it.
        code: The error code of a job that has failed.
        lane: Name of the lane that it waits and runs in; None: that of its operation.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    id: str
    operation: str
    state: State
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    attempts: int = 0
    worker_deaths: int = 0
    owner: str | None = None
    remote_id: str | None = None
    request: str | None = None
    callback_pending: bool = Field(default=False, validation_alias=AliasChoices("callback_pending", "untold"))  # 0.1
    progress: dict[str, Any] | None = None
    is_here: bool = False
    code: str | None = None
    lane: str | None = None

    @property
    def may_run_again(self) -> bool:
        """Whether a repeated request runs the job again, because it failed through no fault of its own."""
        return self.state is State.FAILED and self.code in _PASSING and not self.worker_deaths

    def with_changes(self, **changes: Any) -> JobRecord:
        """A copy of the record with other values."""
        return self.model_copy(update=changes)

    def with_state(self, state: State, **changes: Any) -> JobRecord:
        """A copy of the record that has entered ``state`` now, with other values."""
        started = now() if state is State.RUNNING else self.started
        return self.with_changes(state=state, started=started, ended=now() if state.is_final else None, **changes)


@dataclass
class JobRecords:
    """The records, inputs and results of all jobs of a deployment.

    Attributes:
        storage: The deployment's store.
    """

    storage: Storage

    def create(self, record: JobRecord, fields: dict[str, Any], is_gone: Callable[[str], bool]) -> JobRecord:
        """Write a new job, completely or not at all, and return its record.

        If there is a job of this id already, which only an idempotency key can cause, then its record is returned and
        nothing is written. Of several servers that create the same job at the same moment, one succeeds.

        Args:
            record: The record.
            fields: The fields of the job.
            is_gone: Whether a server, given by its id, has died.

        Raises:
            Unavailable: another server is creating the job, and does not finish.
        """
        if record.request is None:
            self._write_new(record, fields)
            return record
        owner, pause = record.owner or "", _FIRST_PAUSE_SECONDS  # what this server has reserved before, it has left
        for _ in range(_TRIES):
            with reservation(self.storage, record.id, owner, lambda each: each == owner or is_gone(each)) as is_ours:
                known = self._known(record.id)
                if known is not None and not known.may_run_again:
                    return known
                # The input of a failed job is deleted last: until then, its server would also delete the new one.
                if is_ours and (known is None or self.storage.stat(_key(_INPUTS, record.id)) is None):
                    self._write_new(record, fields)
                    return record
            time.sleep(pause * random.random())  # noqa: S311 - keeps two servers from colliding again and again
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        raise Unavailable("Another request with this Idempotency-Key is being accepted; try again in a moment.")

    def _write_new(self, record: JobRecord, fields: dict[str, Any]) -> None:
        try:
            self.save_input(record.id, fields)
            self.save(record)
        except FramepackError:
            with suppress(FramepackError):
                self.delete(record.id)
            raise

    def save(self, record: JobRecord) -> None:
        """Write a record."""
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
        raise NotFound(f"Job '{shortened(job_id)}' not found")

    def newest(self, limit: int) -> tuple[list[JobRecord], int]:
        """The last records that were written, the newest job first, and the number of all records."""
        stored = sorted(self._records.stored(), key=lambda each: each[1].modified, reverse=True)
        found = self._found(job_id for job_id, _ in stored[:limit])
        return sorted(found, key=lambda record: record.created, reverse=True), len(stored)

    def unfinished(self) -> list[JobRecord]:
        """The records of all jobs that still have an input, the oldest first."""
        found = self._found(_job_id(stored.key) for stored in self.storage.list(_INPUTS))
        return sorted(found, key=lambda record: record.created)

    def save_input(self, job_id: str, fields: dict[str, Any]) -> None:
        """Write the fields of a job; with inline files they may be as large as a video, and they may hold secrets."""
        self.storage.put_bytes(_key(_INPUTS, job_id), to_json(fields), private=True)

    def read_input(self, job_id: str) -> dict[str, Any]:
        """The fields of a job.

        Raises:
            NotFound: the job has ended, or the object is damaged.
        """
        return self._read(_key(_INPUTS, job_id))

    def delete_input(self, job_id: str) -> None:
        """Delete the fields of a job that has ended."""
        self.storage.delete(_key(_INPUTS, job_id))

    def save_result(self, job_id: str, answer: Answer) -> None:
        """Write the answer or error envelope of a job, without inline files: the store has these files already."""
        self.storage.put_bytes(_key(_RESULTS, job_id), json.dumps(detached(answer)).encode())

    def read_result(self, job_id: str, *, inline_files: bool = False) -> Answer:
        """The answer or error envelope of a job, with new links.

        Args:
            job_id: The job's id.
            inline_files: Whether inline files are read from the store again.

        Raises:
            NotFound: there is none.
        """
        stored = attached(self._read(_key(_RESULTS, job_id)), self.storage if inline_files else None)
        answer: Answer = with_new_links(stored, self.storage)
        return answer

    def delete(self, job_id: str) -> None:
        """Delete everything about a job."""
        for key in (_key(_INPUTS, job_id), _key(_RESULTS, job_id), self._records.key(job_id)):
            self.storage.delete(key)

    def expire(self, before: datetime) -> None:
        """Delete jobs that ended before a time, and inputs from before it that have no record."""
        for folder, is_old in ((STATE / _RECORDS, _ended_before(before)), (_INPUTS, lambda record: record is None)):
            for stored in self.storage.list(folder):
                if stored.modified < before and is_old(self._known(_job_id(stored.key))):
                    self.delete(_job_id(stored.key))

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
            raise NotFound("The stored data of this job is damaged.") from error
        if not isinstance(content, dict):
            raise NotFound("The stored data of this job is damaged.")
        return content

    @cached_property
    def _records(self) -> Documents[JobRecord]:
        return Documents(self.storage, _RECORDS, _record)


def now() -> datetime:
    """The time, as in records."""
    return datetime.now(UTC)


def _key(folder: Key, job_id: str) -> Key:
    return folder / f"{job_id}.json"


def _job_id(key: Key) -> str:
    return key.name.removesuffix(".json")


def _ended_before(before: datetime) -> Callable[[JobRecord | None], bool]:
    return lambda record: record is not None and record.ended is not None and record.ended < before


def _record(content: dict[str, Any]) -> JobRecord:
    try:
        return JobRecord.model_validate(content)
    except ValidationError as error:
        raise InvalidField("The document is not a job record.") from error
