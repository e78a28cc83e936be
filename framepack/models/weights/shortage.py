"""What a machine lacks for a model, in a sentence for its user."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from framepack.units import MB


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why a model cannot be used at once.

    Attributes:
        sentence: What is missing, and where to put it or how it is downloaded.
        ends_itself: Whether the first job that needs the model downloads what is missing.
    """

    sentence: str
    ends_itself: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """Files of a model that are not on this machine.

    Attributes:
        model: Its name, which ``framepack weights fetch`` takes.
        files: Their names, or a word for all of them.
        is_one: Whether it is one file.
        size_bytes: Of all of them; 0 if it is unknown.
        url: An address where they are published.
        folder: Where they belong; it may not exist yet.
        may_download: Whether the settings permit downloads.
    """

    model: str
    files: str
    is_one: bool
    size_bytes: int
    url: str
    folder: Path
    may_download: bool

    def shortage(self) -> Shortage:
        """Say what is missing, and what to do."""
        are, them = ("is", "it") if self.is_one else ("are", "them")
        put = f"put {them} into {self.folder}, or run `framepack weights fetch {self.model}`"
        if not self.may_download:
            reason = f"{self.files} {are} missing and the server may not download {them}"
        elif not _is_writable(self.folder):
            reason = f"{self.files} {are} missing and the server may not write to {self.folder}"
            put += " as another user"
        else:
            size = f" ({max(1, round(self.size_bytes / MB))} MB)" if self.size_bytes else ""
            return Shortage(
                f"{self.model} is not on this machine yet: {self.files}{size} {are} downloaded from "
                f"{urlsplit(self.url).hostname} into {self.folder} when the model is first used.",
                ends_itself=True,
            )
        return Shortage(f"{self.model} cannot be used, because {reason}: {put}.")


def _is_writable(folder: Path) -> bool:
    """Whether this process may make files in a folder, which may not exist yet."""
    nearest = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
