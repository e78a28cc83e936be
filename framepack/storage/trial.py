"""A trial of a store: a small object is written, read back and deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid4

from framepack.errors import StorageFailed
from framepack.storage.keys import Key

if TYPE_CHECKING:
    from framepack.storage.base import Storage

_CONTENT: Final = b"trial"


def try_out(storage: Storage, folder: Key | None = None) -> None:
    """Write a small object, read it back and delete it.

    Args:
        storage: The store.
        folder: Where; None: at the top.

    Raises:
        FramepackError: This failed.
    """
    name = f"trial-{uuid4().hex}"
    key = Key(name) if folder is None else folder / name
    storage.put_bytes(key, _CONTENT)
    if storage.read(key) != _CONTENT:
        raise StorageFailed("The object read differs from the object written.")
    storage.delete(key)
