"""Uploads: files of clients, kept in the store for a while as sources of later requests."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from framepack.storage.base import DEFAULT_CONTENT_TYPE
from framepack.storage.documents import STATE
from framepack.storage.keys import Key
from framepack.storage.outputs import Outputs

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from framepack.storage.base import Storage

UPLOADS: Final = Key("uploads")

_OWNERS: Final = STATE / "uploads"


@dataclass(frozen=True, slots=True)
class KeptUploads:
    """The uploads of one owner that are kept.

    Attributes:
        count: Their number.
        size_bytes: Their size in sum.
    """

    count: int
    size_bytes: int


def keep_upload(storage: Storage, path: Path, filename: str, owner: str = "") -> Key:
    """Store an uploaded file under a unique name.

    The unique part of the name is removed again when results are named after the file.

    Args:
        storage: The store.
        path: The file.
        filename: Its name, which must be safe.
        owner: Id of the API key that it counts against; if empty, it counts against nobody.
    """
    name = PurePath(filename)
    key = UPLOADS / f"{name.stem}_{Outputs(storage, 0).stamp()}{name.suffix}"
    if owner:  # first: otherwise it would count against nobody if this process ended in between
        storage.put_bytes(_OWNERS / owner / key.name, b"")
    content_type = mimetypes.guess_type(name.name)[0] or DEFAULT_CONTENT_TYPE
    storage.put_file(key, path, content_type=content_type)
    return key


def kept_uploads(storage: Storage, owner: str) -> KeptUploads:
    """Number and size of the uploads of an owner."""
    names = {stored.key.name for stored in storage.list(_OWNERS / owner)}
    sizes = [stored.size_bytes for stored in storage.list(UPLOADS) if stored.key.name in names] if names else []
    return KeptUploads(len(sizes), sum(sizes))


def remove_uploads_before(storage: Storage, oldest: datetime) -> None:
    """Delete the uploads that were stored before ``oldest``, and what was stored about them."""
    for folder in (UPLOADS, _OWNERS):
        for stored in storage.list(folder):
            if stored.modified < oldest:
                storage.delete(stored.key)
