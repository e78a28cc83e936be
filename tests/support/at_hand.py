"""Published weights and photographs that the project does not bring: tests on them are skipped where they are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def at_hand(name: str) -> Path:
    """A file or a repository in the folder that FRAMEPACK_TEST_FILES names; the test is skipped without it."""
    path = Path(os.environ.get("FRAMEPACK_TEST_FILES", ""), name)
    if not path.is_file() and not (path / "config.json").is_file():
        pytest.skip(f"FRAMEPACK_TEST_FILES names no folder with {name}")
    return path
