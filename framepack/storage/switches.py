"""Switches of the whole deployment that last: whether finished videos are kept in the folder of saved ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from framepack.errors import InvalidField, NotFound
from framepack.storage.documents import Documents

if TYPE_CHECKING:
    from framepack.storage.base import Storage

_FOLDER: Final = "settings"
_AUTOSAVE: Final = "autosave"


def autosave_enabled(state: Storage) -> bool:
    """Whether finished videos go to ``saved_videos``; off until somebody turns it on."""
    try:
        return _switch(state).read(_AUTOSAVE)
    except NotFound:
        return False


def set_autosave(state: Storage, *, enabled: bool) -> None:
    """Turn autosave on or off, for every worker and for good."""
    _switch(state).save(_AUTOSAVE, {"enabled": enabled})


def _switch(state: Storage) -> Documents[bool]:
    return Documents(state, _FOLDER, _parse)


def _parse(content: dict[str, Any]) -> bool:
    enabled = content.get("enabled")
    if not isinstance(enabled, bool):
        raise InvalidField("enabled must be true or false.")
    return enabled
