"""The autosave switch of a deployment: whether finished videos go to the folder of saved ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from framepack.errors import InvalidField, NotFound
from framepack.storage.documents import Documents

if TYPE_CHECKING:
    from framepack.storage.base import Storage

_FOLDER: Final = "settings"
_NAME: Final = "autosave"


def autosave_enabled(state: Storage) -> bool:
    """Whether finished videos go to ``saved_videos``; off by default."""
    try:
        return _documents(state).read(_NAME)
    except NotFound:
        return False


def save_autosave(state: Storage, *, enabled: bool) -> None:
    """Turn autosave on or off for all workers, until it is set again."""
    _documents(state).save(_NAME, {"enabled": enabled})


def _documents(state: Storage) -> Documents[bool]:
    return Documents(state, _FOLDER, _parse)


def _parse(content: dict[str, Any]) -> bool:
    enabled = content.get("enabled")
    if not isinstance(enabled, bool):
        raise InvalidField("enabled must be true or false.")
    return enabled
