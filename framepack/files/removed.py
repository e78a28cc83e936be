"""What a clean-up removed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RemovedFiles:
    """How many files were removed, and how many bytes they had."""

    files: int = 0
    size_bytes: int = 0

    def __add__(self, other: RemovedFiles) -> RemovedFiles:
        """Both together."""
        return RemovedFiles(self.files + other.files, self.size_bytes + other.size_bytes)
