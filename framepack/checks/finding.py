"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "error"]
"""``warning``: some jobs fail or run differently than intended; ``error``: jobs cannot run."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        name: Name of what was checked.
        state: The outcome.
        sentence: What was found.
        remedy: How to fix it; None if nothing needs fixing.
    """

    name: str
    state: State
    sentence: str
    remedy: str | None = None

    def __str__(self) -> str:
        return self.sentence if self.remedy is None else f"{self.sentence} {self.remedy}"
