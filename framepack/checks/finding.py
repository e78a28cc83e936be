"""What a check found out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "error"]
"""``warning``: jobs run, but not all of them or not as intended; ``error``: jobs cannot run."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        name: What was checked, in a word or two.
        state: How it is.
        sentence: What was found.
        remedy: What to do about it; None if there is nothing to do.
    """

    name: str
    state: State
    sentence: str
    remedy: str | None = None

    def __str__(self) -> str:
        return self.sentence if self.remedy is None else f"{self.sentence} {self.remedy}"
