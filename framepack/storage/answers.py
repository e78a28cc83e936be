"""Stored answers: without their files, which the store has; with new links and files when they are read."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

from framepack.answer import is_inline
from framepack.errors import NotFound
from framepack.storage.keys import Key
from framepack.storage.outputs import PUBLIC_ROOT

if TYPE_CHECKING:
    from framepack.storage.base import Storage

_PATHS: Final = ("output_path", "saved_path", "path")
_PATHS_OF_URL: Final = ("path", "video_url")
_STORED: Final = "stored"
_NO_FILE: Final = "The file of this result was deleted, so it is not inline."


def with_new_links(value: Any, storage: Storage) -> Any:
    """``value`` with a new link for every path in the store that has one, at any depth.

    The link of ``NAME_path`` is ``NAME_url``, and that of ``path`` and of an upload's ``video_url`` is ``url``.
    """
    if isinstance(value, list):
        return [with_new_links(each, storage) for each in value]
    if not isinstance(value, dict):
        return value
    found = {name: with_new_links(each, storage) for name, each in value.items()}
    for name, path in value.items():
        url_name = "url" if name in _PATHS_OF_URL else f"{name.removesuffix('_path')}_url"
        is_path = name in _PATHS_OF_URL or name.endswith("_path")
        if is_path and found.get(url_name) and str(path).startswith(PUBLIC_ROOT):
            key = Key(path.removeprefix(PUBLIC_ROOT))
            found[url_name] = storage.url(key, filename=key.name) or found[url_name]
    return found


def detached(value: Any) -> Any:
    """``value`` with a reference to the store in place of every inline file, at any depth."""
    if isinstance(value, list):
        return [detached(each) for each in value]
    if not isinstance(value, dict):
        return value
    path = next((value[name] for name in _PATHS if str(value.get(name) or "").startswith(PUBLIC_ROOT)), None)
    found = {name: detached(each) for name, each in value.items() if not is_inline(name) or not each}
    inline = [name for name, each in value.items() if is_inline(name) and each]
    if path is not None and len(inline) == 1:
        found[inline[0]] = {_STORED: path}
    return found


def attached(value: Any, storage: Storage | None) -> Any:
    """The argument of `detached`, with the files as they are now.

    Args:
        value: What `detached` returned.
        storage: Has the files; None leaves all of them out.

    Returns:
        The value. Files that were deleted are left out, with a warning in their place.

    Raises:
        FramepackError: the store failed.
    """
    if isinstance(value, list):
        return [attached(each, storage) for each in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    lost = False
    for name, each in value.items():
        if not (is_inline(name) and isinstance(each, dict) and _STORED in each):
            found[name] = attached(each, storage)
        elif storage is not None:
            try:
                found[name] = b64encode(storage.read(Key(each[_STORED].removeprefix(PUBLIC_ROOT)))).decode()
            except NotFound:
                lost = True
    return {**found, "warnings": [*(found.get("warnings") or ()), _NO_FILE]} if lost else found
