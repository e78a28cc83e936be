"""An upscaling network that gets stuck in a frame, in real processes. Product code knows nothing of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from tests.support.injected import Injection, before_each_frame, fault_file

_SECONDS: Final = 600


class StuckNetwork(Injection):
    """Has a process get stuck in its upscaling network, as in a frame that takes very long.

    Args:
        folder: Where its files are; a new one.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, __name__)

    def stick(self) -> None:
        """Let the next frame never end; `has_struck` tells when it has begun."""
        self._file.write_text("")


def install() -> None:
    """Have the network of this process get stuck when it is told to."""
    file = fault_file()

    def get_stuck() -> None:
        if file.exists():
            file.unlink()
            time.sleep(_SECONDS)

    before_each_frame(get_stuck)
