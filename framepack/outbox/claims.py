"""Claims on attempts: of several processes that want to attempt a delivery, at most one does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from framepack.errors import FramepackError, StorageUnavailable
from framepack.outbox.message import parts_of
from framepack.outbox.messages import ROOT
from framepack.storage.patience import briefly

if TYPE_CHECKING:
    from framepack.storage.base import Storage
    from framepack.storage.keys import Key

LEASE: Final = timedelta(seconds=90)
"""How long a claim counts: longer than an attempt and its record may take, see `Claim`."""

_SPARE_SECONDS: Final = 10.0  # before the end of the lease, for a write that is under way
_LEFT_TO_SEND_SECONDS: Final = 45.0  # for an attempt of 20 seconds, and for its record
_DELETE_SECONDS: Final = 5.0

_CLAIMS: Final = ROOT / "claims"
_LOOKING: Final = b""
_SENDING: Final = b"sending"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make the next attempt to deliver a message.

    Attributes:
        key: The object in the store.
        unknown: Expired claims of processes that had come as far as sending: attempts that may have been made.
        seconds_left: Returns how much time is left for the attempt and its record.
    """

    key: Key
    unknown: tuple[Key, ...]
    seconds_left: Callable[[], float]

    def check(self) -> None:
        """Return if there is still time to record the attempt.

        Raises:
            StorageUnavailable: the claim expires, so the attempt is another process's to make.
        """
        if self.seconds_left() <= 0:
            raise StorageUnavailable("The outcome of an attempt could not be stored in time.")


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims in a store.

    Everybody first writes a claim of their own and then lists those of others. So of two processes, at least one
    sees the other and gives up, and never both make the attempt. (Both may give up; then they try again later.)
    Conditional writes, which would be shorter, are silently ignored by some S3 stores.

    Just before it sends, a process writes so into its claim. Only such a claim, when it has expired, stands for an
    attempt that may have been made. Any other is what is left of a process that had not come so far, or could not
    reach the store; it counts for nothing.

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
        """Claim the next attempt to deliver the message of this id; None if another process is making one.

        Raises:
            FramepackError: the store is away. The claim is removed, if that is possible.
        """
        job, digest = parts_of(name) or ("", "")
        started = self.monotonic()
        key = _CLAIMS / job / f"{digest}.{uuid4().hex}"
        try:
            own = self.storage.put_bytes(key, _LOOKING)
            others = [
                stored
                for stored in self.storage.list(_CLAIMS / job)
                if stored.key != key and stored.key.name.startswith(f"{digest}.")
            ]
        except BaseException:  # the claim may be there even if the store's answer was lost
            self._delete(key)
            raise
        expired = [stored for stored in others if own.modified - stored.modified >= LEASE]
        if len(expired) < len(others):
            self._delete(key)
            return None
        for stored in expired:
            if not stored.size_bytes:
                self._delete(stored.key)
        limit = LEASE.total_seconds() - _SPARE_SECONDS
        unknown = tuple(stored.key for stored in expired if stored.size_bytes)
        return Claim(key, unknown, lambda: limit - (self.monotonic() - started))

    def begin_to_send(self, claim: Claim) -> bool:
        """Write into a claim that the attempt is made now; return whether there is still time for it."""
        self.storage.put_bytes(claim.key, _SENDING)
        return claim.seconds_left() >= _LEFT_TO_SEND_SECONDS

    def forget(self, keys: Iterable[Key]) -> None:
        """Delete expired claims whose attempts have been recorded."""
        for key in keys:
            self._delete(key)

    def release(self, claim: Claim) -> None:
        """Give a claim up. If that fails, it expires."""
        self._delete(claim.key)

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
            briefly(lambda: self.storage.delete(key), _DELETE_SECONDS)
