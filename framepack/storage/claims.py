"""Claims to results: a job that publishes several over a long time keeps them until it has answered.

A claim is a small document with the names of the results so far, written anew as the job goes on. Results of jobs
that publish one, as the last thing they do, need none: nothing that new is ever cleared away.
"""

from __future__ import annotations

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
    """The results of one job that is not done yet; use it in a ``with`` statement.

    That the store fails to take it down is logged and harms no job: what is lost is protection, not a result.
    """

    state: Storage
    _id: str = field(default_factory=lambda: uuid4().hex)
    _names: list[str] = field(default_factory=list)
    _written: float = 0.0

    def __enter__(self) -> Self:
        """Claim nothing yet."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Let go of the results; they stay as long as any new ones, so that the answer can be read."""
        if self._names:
            self._write(released=True)

    def add(self, name: str) -> None:
        """Claim one more result, by its file name."""
        self._names.append(name)
        self._write()

    def refresh(self) -> None:
        """Show that the job is alive, if that has not been shown for a while."""
        if self._names and time.monotonic() - self._written > _REFRESH_SECONDS:
            self._write()

    def _write(self, *, released: bool = False) -> None:
        self._written = time.monotonic()
        try:
            _documents(self.state).save(self._id, {"results": self._names, "released": released})
        except FramepackError:
            log.warning("the results of a running job could not be claimed", exc_info=True)


@dataclass(frozen=True, slots=True)
class _Claimed:
    """What a claim's document says."""

    results: tuple[str, ...]
    released: bool


def claimed_results(state: Storage, now: datetime, *, grace: timedelta, lifetime: timedelta) -> frozenset[str]:
    """The file names of all results that a living job claims, or claimed a moment ago. Dead claims are removed.

    Args:
        state: The deployment's store.
        now: The present, UTC.
        grace: How long a claim counts after its job has let go.
        lifetime: How long one counts that is not refreshed.
    """
    documents = _documents(state)
    names: set[str] = set()
    for owner, stored in documents.stored():
        age = now - stored.modified
        try:
            claimed = documents.read(owner)
        except (NotFound, InvalidField):  # let go or set aside meanwhile
            continue
        if age > (grace if claimed.released else lifetime):
            documents.delete(owner)
        else:
            names.update(claimed.results)
    return frozenset(names)


def _documents(state: Storage) -> Documents[_Claimed]:
    return Documents(state, _FOLDER, _parse)


def _parse(content: dict[str, Any]) -> _Claimed:
    results, released = content.get("results"), content.get("released")
    if not (isinstance(results, list) and all(isinstance(name, str) for name in results)):
        raise InvalidField("results must be a list of names.")
    return _Claimed(tuple(results), released is True)
