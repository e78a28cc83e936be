"""Reservations of names: when several workers want one name at the same moment, at most one of them gets it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from framepack.errors import FramepackError
from framepack.storage.documents import STATE

if TYPE_CHECKING:
    from framepack.storage.base import Storage
    from framepack.storage.keys import Key

RESERVED: Final = STATE / "reserved_names"
STALE_AFTER: Final = timedelta(hours=1)


@contextmanager
def reservation(
    storage: Storage, name: str, holder: str = "", is_gone: Callable[[str], bool] = lambda _holder: False
) -> Iterator[bool]:
    """Reserve ``name`` in a ``with`` block; the value says whether that succeeded.

    Whether an object of that name exists already is for the caller to check, inside the block.

    Args:
        storage: where the name is wanted.
        name: the name, of any length.
        holder: identifies the worker to those who ask ``is_gone``; without "-".
        is_gone: whether another holder of this name has crashed, so that its reservation does not count. Without it,
            the reservation of a crashed worker counts until it is stale.
    """
    # Everybody first writes an object of their own and then lists the objects of others. So of two workers, at least
    # one sees the other, and never both of them get the name. Any store with consistent listings can do that, while
    # conditional writes, which would be shorter, are silently ignored by some S3 stores.
    prefix = sha256(name.encode()).hexdigest()
    own = RESERVED / f"{prefix}-{uuid4().hex}-{holder}"
    storage.put_bytes(own, b"")
    try:
        current = _current_reservations(storage)
        others = [other for other in current if other != own and other.name.startswith(prefix)]
        yield all(is_gone(other.name.rpartition("-")[2]) for other in others)
    finally:
        with suppress(FramepackError):  # it would become stale
            storage.delete(own)


def _current_reservations(storage: Storage) -> list[Key]:
    """All reservations except stale ones, whose writers must have crashed; those are deleted."""
    now = datetime.now(UTC)
    found = list(storage.list(RESERVED))
    for stale in found:
        if now - stale.modified > STALE_AFTER:
            storage.delete(stale.key)
    return [stored.key for stored in found if now - stored.modified <= STALE_AFTER]
