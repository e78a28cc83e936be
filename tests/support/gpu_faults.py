"""Networks that fail as on a GPU whose context is lost, in real processes. Product code knows nothing of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.support.injected import Injection, before_each_frame, fault_file

LOST: Final = "CUDA error: an illegal memory access was encountered"


class FaultyGpu(Injection):
    """Has processes fail in their upscaling network. A process that has failed once fails from then on.

    Args:
        folder: Where its files are; a new one.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, __name__, "tests.support.short_pauses")

    def fail_next(self) -> None:
        """Let the next process fail that upscales."""
        self._file.write_text("")


def install() -> None:
    """Have the network of this process fail from when it is told to."""
    file = fault_file()
    is_lost = False

    def fail() -> None:
        nonlocal is_lost
        if is_lost or file.exists():
            import torch

            is_lost = True
            file.unlink(missing_ok=True)
            raise torch.AcceleratorError(LOST)

    before_each_frame(fail)
