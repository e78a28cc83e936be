"""Output for scripts on stdout: file names and JSON, valid in every locale."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def print_json(value: Any) -> None:
    """Print JSON. Characters are escaped if the encoding of stdout lacks one of them."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(_encoding())
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    print(text)


def print_path(path: str | Path) -> None:
    """Print the name of a file, with the bytes that the file system uses."""
    text = str(path)
    try:
        text.encode(_encoding())
    except UnicodeEncodeError:
        sys.stdout.flush()
        sys.stdout.buffer.write(os.fsencode(text) + b"\n")
    else:
        print(text)


def _encoding() -> str:
    return "utf-8" if sys.stdout is None else sys.stdout.encoding
