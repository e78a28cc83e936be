"""Jobs for RunPod, whose calls carry 10 MB: files that came inline go into the store, and their addresses on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from framepack.errors import TooLarge
from framepack.files.source import Source
from framepack.files.workspace import Workspace
from framepack.storage.base import Storage
from framepack.storage.uploads import keep_upload

MAX_INPUT_BYTES: Final = 9_900_000  # the platform takes 10 MB with its envelope

_INLINE: Final = "_base64"


def fitted(fields: dict[str, Any], storage: Storage | None, temp_dir: Path, max_bytes: int) -> dict[str, Any]:
    """What a job was given, small enough for the platform: as it is, or with addresses in place of inline files.

    Args:
        fields: What the job was given.
        storage: A store that the workers reach; None if they reach none of ours.
        temp_dir: Where files are unpacked on their way.
        max_bytes: Largest file.

    Raises:
        TooLarge: it stays too large.
        InvalidSource: an inline file is not valid base64.
    """
    if _fits(fields):
        return fields
    if storage is not None:
        with Workspace(temp_dir) as workspace:
            fields = _with_addresses(fields, storage, workspace, max_bytes)
    if not _fits(fields):
        raise TooLarge("RunPod takes inline files of 7 MB in all: give the address of a larger file.")
    return fields


def _fits(fields: dict[str, Any]) -> bool:
    is_long = any(isinstance(each, str) and len(each) > MAX_INPUT_BYTES for each in fields.values())
    return not is_long and len(json.dumps(fields)) <= MAX_INPUT_BYTES  # in this order: writing JSON takes its time


def _with_addresses(value: Any, storage: Storage, workspace: Workspace, max_bytes: int) -> Any:
    if isinstance(value, list):
        return [_with_addresses(each, storage, workspace, max_bytes) for each in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for name, each in value.items():
        if name.endswith(_INLINE) and isinstance(each, str):
            source = Source.from_base64(each, workspace, max_bytes)
            found[name.removesuffix(_INLINE) + "_url"] = storage.url(
                keep_upload(storage, source.path, source.filename)
            )
        else:
            found[name] = _with_addresses(each, storage, workspace, max_bytes)
    return found
