"""Uploads: files of clients, kept in the store for a while as sources of later requests."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from framepack.storage.keys import Key
from framepack.storage.outputs import Outputs

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from framepack.storage.base import Storage

UPLOADS: Final = Key("uploads")


def keep_upload(storage: Storage, path: Path, filename: str) -> Key:
    """Store an uploaded file under a unique name.

    The unique part of the name is removed again when results are named after the file.
    """
    name = PurePath(filename)
    key = UPLOADS / f"{name.stem}_{Outputs(storage, 0).stamp()}{name.suffix}"
    storage.put_file(key, path)
    return key


def remove_uploads_before(storage: Storage, oldest: datetime) -> None:
    """Delete the uploads that were stored before ``oldest``."""
    for stored in storage.list(UPLOADS):
        if stored.modified < oldest:
            storage.delete(stored.key)
