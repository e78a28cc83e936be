"""Claims on attempts: of several processes that want to attempt a delivery, at most one does."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from framepack.errors import FramepackError
from framepack.outbox.message import parts_of
from framepack.outbox.messages import ROOT

if TYPE_CHECKING:
    from framepack.storage.base import Storage
    from framepack.storage.keys import Key

LEASE: Final = timedelta(minutes=5)
"""How long a claim counts. Whether the attempt of an older one was made, nobody knows, so the next one is made."""

_CLAIMS: Final = ROOT / "claims"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make the next attempt to deliver a message.

    Attributes:
        key: The object in the store.
        expired: Claims of processes that died: attempts that may have been made and are not recorded.
        is_valid: Whether there is still time for an attempt before the claim expires.
    """

    key: Key
    expired: tuple[Key, ...]
    is_valid: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims in a store.

    Everybody first writes a claim of their own and then lists those of others. So of two processes, at least one
    sees the other and gives up, and never both make the attempt. (Both may give up; then they try again later.)
    Conditional writes, which would be shorter, are silently ignored by some S3 stores.

    Who has a claim must read the record of the message before the attempt: everybody else has recorded theirs before
    they released their claim.

    Ages are computed with the store's clock only, so clocks of machines may differ.

    Attributes:
        storage: The deployment's store.
        monotonic: Returns seconds on a clock that never jumps.
    """

    storage: Storage
    monotonic: Callable[[], float] = field(default=time.monotonic)

    def claim(self, name: str) -> Claim | None:
        """Claim the next attempt to deliver the message of this id; None if another process is making one."""
        job, digest = parts_of(name) or ("", "")
        started = self.monotonic()
        own = self.storage.put_bytes(_CLAIMS / job / f"{digest}.{uuid4().hex}", b"")
        others = [
            stored
            for stored in self.storage.list(_CLAIMS / job)
            if stored.key != own.key and stored.key.name.startswith(f"{digest}.")
        ]
        expired = tuple(stored.key for stored in others if own.modified - stored.modified >= LEASE)
        claim = Claim(own.key, expired, lambda: self.monotonic() - started < LEASE.total_seconds() / 2)
        if len(expired) < len(others):
            self._delete(own.key)
            return None
        return claim

    def release(self, claim: Claim, *, is_recorded: bool) -> None:
        """Give a claim up. If that fails, it expires.

        Args:
            claim: The claim.
            is_recorded: Whether the attempts of expired claims have been recorded.
        """
        for key in (*(claim.expired if is_recorded else ()), claim.key):
            self._delete(key)

    def expire(self, before: datetime, is_pending: Callable[[str], bool]) -> None:
        """Delete claims from before a time on messages that are no longer pending: of processes that died.

        Args:
            before: The time.
            is_pending: Whether the message of an id is pending.
        """
        for stored in self.storage.list(_CLAIMS):
            job, digest = stored.key.segments[-2], stored.key.name.partition(".")[0]
            if stored.modified < before and not is_pending(f"msg_{job}_{digest}"):
                self._delete(stored.key)

    def _delete(self, key: Key) -> None:
        with suppress(FramepackError):
            self.storage.delete(key)
