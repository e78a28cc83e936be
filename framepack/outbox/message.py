"""A callback in the outbox: the message as it is sent, and how far its delivery has come."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

_PLAIN_JOB_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_DIGEST_LENGTH: Final = 12
_MESSAGE_ID: Final = re.compile(rf"msg_([A-Za-z0-9_-]{{1,100}})_([0-9a-f]{{{_DIGEST_LENGTH}}})")


class CallbackState(StrEnum):
    """The state of a callback."""

    PENDING = "pending"
    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"


class CallbackRecord(BaseModel):
    """How far the delivery of a callback has come. It holds no secrets, so it may be shown and logged.

    Attributes:
        id: Id of the message, the ``webhook-id`` of every attempt.
        job_id: Id of the job.
        operation: Name of the operation.
        receiver: Scheme, host and port of the receiver; the path may be a secret.
        created: When the job ended.
        state: State of the callback.
        attempts: Attempts so far.
        first_attempts: Attempts before the last request to deliver it again, from which the schedule starts anew.
        next_attempt: When the next attempt is due; None if there is none.
        last_attempt: When the last attempt ended; None before the first.
        status: HTTP status of the last answer; None if there was none.
        reason: Why the last attempt failed; None if it did not.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    job_id: str
    operation: str
    receiver: str
    created: datetime
    state: CallbackState = CallbackState.PENDING
    attempts: int = 0
    first_attempts: int = 0
    next_attempt: datetime | None = None
    last_attempt: datetime | None = None
    status: int | None = None
    reason: str | None = None

    def with_changes(self, **changes: Any) -> CallbackRecord:
        """A copy with other values."""
        return self.model_copy(update=changes)


class Message(BaseModel):
    """A callback as it is stored: once, when its job ends, and not changed while it is pending.

    Attributes:
        record: How far its delivery had come when it was stored.
        url: The receiver's address, which may hold secrets.
        token: Sent as ``Authorization: Bearer``; None if the client gave none.
        body: The body of the first attempt.
        renews_links: Whether later attempts have new links in it, since links expire: not if the files are in a store
            that the job has brought.
        headers: Headers of every attempt, without the signature and the token.
        answer: The job's answer or error envelope, detached from its files.
    """

    model_config = ConfigDict(frozen=True)

    record: CallbackRecord
    url: str = Field("", repr=False)
    token: str | None = Field(None, repr=False)
    body: str = Field("", repr=False)
    renews_links: bool = False
    headers: dict[str, str] = Field(default_factory=dict)
    answer: dict[str, Any] = Field(default_factory=dict, repr=False)

    @property
    def id(self) -> str:
        """Id of the message."""
        return self.record.id

    def with_record(self, record: CallbackRecord) -> Message:
        """A copy with another record."""
        return self.model_copy(update={"record": record})

    def without_secrets(self) -> Message:
        """What is kept of a delivered message: its record, and the answer for a job that is given out again."""
        return Message(record=self.record, answer=self.answer)


def job_name(job_id: str) -> str:
    """A job's id as part of message ids and of keys: itself, or its digest if it has other characters."""
    if _PLAIN_JOB_ID.fullmatch(job_id):
        return job_id
    return hashlib.sha256(job_id.encode("utf-8", "replace")).hexdigest()[:32]


def message_id(job_id: str, outcome: Mapping[str, Any]) -> str:
    """The id of the message about one outcome of a job: the same outcome always has the same id, another one another.

    Args:
        job_id: The job's id.
        outcome: What is said about the job, without what changes by itself, such as the time and links.
    """
    digest = hashlib.sha256(json.dumps(outcome, sort_keys=True).encode()).hexdigest()
    return f"msg_{job_name(job_id)}_{digest[:_DIGEST_LENGTH]}"


def parts_of(name: str) -> tuple[str, str] | None:
    """The name of the job and the digest of the outcome in a message's id; None if it is not such an id."""
    found = _MESSAGE_ID.fullmatch(name)
    return (found[1], found[2]) if found else None
