"""What a clean-up removed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Freed:
    """How many files were removed, and how many bytes they had."""

    files: int = 0
    size_bytes: int = 0

    def __add__(self, other: Freed) -> Freed:
        """Both together."""
        return Freed(self.files + other.files, self.size_bytes + other.size_bytes)
