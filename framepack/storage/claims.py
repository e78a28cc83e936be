"""Claims on results: a job that publishes several results over a long time protects them until it has answered.

A claim is a small document with the names of the job's results so far, rewritten as the job goes on. A job whose only
result is published at its end needs none: ``clear-temp`` never deletes new results.
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import uuid4

from framepack.errors import FramepackError, InvalidField, NotFound
from framepack.storage.documents import Documents

if TYPE_CHECKING:
    from framepack.storage.base import Storage

log = logging.getLogger("framepack.storage")

_FOLDER: Final = "claims"
_REFRESH_SECONDS: Final = 60.0


@dataclass(slots=True)
class Claim:
    """The claim of one running job; use it in a ``with`` statement.

    If the store cannot write it, that is logged and the job goes on: its results lose their protection, nothing else.
    """

    state: Storage
    _id: str = field(default_factory=lambda: uuid4().hex)
    _names: list[str] = field(default_factory=list)
    _written: float = 0.0

    def __enter__(self) -> Self:
        """Start without any result."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Release the results; they stay protected for the grace period, so that the client can fetch them."""
        if self._names:
            self._write(released=True)

    def add(self, name: str) -> None:
        """Claim one more result, by its file name."""
        self._names.append(name)
        self._write()

    def refresh(self) -> None:
        """Write the claim again if the last time was a while ago, to show that the job is running."""
        if self._names and time.monotonic() - self._written > _REFRESH_SECONDS:
            self._write()

    def _write(self, *, released: bool = False) -> None:
        self._written = time.monotonic()
        try:
            _documents(self.state).save(self._id, {"results": self._names, "released": released})
        except FramepackError:
            log.warning("the results of a running job could not be claimed", exc_info=True)


@dataclass(frozen=True, slots=True)
class _StoredClaim:
    """The content of a claim's document."""

    results: tuple[str, ...]
    released: bool


def claimed_results(state: Storage, now: datetime, *, grace: timedelta, lifetime: timedelta) -> frozenset[str]:
    """The file names of all results that are claimed; expired claims are deleted.

    Args:
        state: The deployment's store.
        now: The present, UTC.
        grace: How long a claim counts after its job has released it.
        lifetime: How long a claim counts that is neither released nor refreshed.
    """
    documents = _documents(state)
    names: set[str] = set()
    for owner, stored in documents.stored():
        age = now - stored.modified
        try:
            claim = documents.read(owner)
        except (NotFound, InvalidField):  # deleted, or set aside as damaged, since it was listed
            continue
        if age > (grace if claim.released else lifetime):
            documents.delete(owner)
        else:
            names.update(claim.results)
    return frozenset(names)


def is_in_use(state: Storage, name: str, now: datetime, lifetime: timedelta) -> bool:
    """Whether a running job claims the result.

    Args:
        state: The deployment's store.
        name: The result's file name.
        now: The present, UTC.
        lifetime: How long a claim counts that is neither released nor refreshed.
    """
    documents = _documents(state)
    for owner, stored in documents.stored():
        if now - stored.modified <= lifetime:
            with contextlib.suppress(NotFound, InvalidField):  # deleted, or set aside as damaged, since it was listed
                claim = documents.read(owner)
                if name in claim.results and not claim.released:
                    return True
    return False


def _documents(state: Storage) -> Documents[_StoredClaim]:
    return Documents(state, _FOLDER, _parse)


def _parse(content: dict[str, Any]) -> _StoredClaim:
    results, released = content.get("results"), content.get("released")
    if not (isinstance(results, list) and all(isinstance(name, str) for name in results)):
        raise InvalidField("results must be a list of names.")
    return _StoredClaim(tuple(results), released is True)
