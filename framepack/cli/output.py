"""What scripts read on stdout: names of files and JSON, right in every locale."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def print_json(value: Any) -> None:
    """Print JSON; characters that stdout's encoding has not are escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(_encoding())
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    print(text)


def print_path(path: str | Path) -> None:
    """Print the name of a file, byte for byte what the file system calls it."""
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
