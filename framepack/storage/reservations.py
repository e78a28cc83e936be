"""Names that are being taken: of several workers that want one name at the same moment, at most one gets it."""

from __future__ import annotations

from collections.abc import Iterator
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
def reservation(storage: Storage, name: str) -> Iterator[bool]:
    """Announce that ``name`` is about to be taken; the value says whether nobody else has announced it.

    Everybody first leaves a mark and then looks for the marks of others, so of two at least one sees the other. That
    needs nothing but a listing that shows what was written before it; conditional writes, which would be shorter, are
    silently ignored by some stores. Whether the name was taken earlier is for the caller to look up, inside.

    Args:
        storage: where the name is wanted.
        name: the name, of any length.
    """
    wanted = sha256(name.encode()).hexdigest()
    mark = RESERVED / f"{wanted}-{uuid4().hex}"
    storage.put_bytes(mark, b"")
    try:
        yield not any(other != mark and other.name.startswith(wanted) for other in _living_marks(storage))
    finally:
        with suppress(FramepackError):  # it would go stale
            storage.delete(mark)


def _living_marks(storage: Storage) -> list[Key]:
    """All marks, without those whose writers must have died, which are removed."""
    now = datetime.now(UTC)
    marks = list(storage.list(RESERVED))
    for dead in marks:
        if now - dead.modified > STALE_AFTER:
            storage.delete(dead.key)
    return [mark.key for mark in marks if now - mark.modified <= STALE_AFTER]
