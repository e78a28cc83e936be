"""The result of a clean-up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RemovedFiles:
    """Number and total size of removed files."""

    files: int = 0
    size_bytes: int = 0

    def __add__(self, other: RemovedFiles) -> RemovedFiles:
        """The sum of both."""
        return RemovedFiles(self.files + other.files, self.size_bytes + other.size_bytes)
