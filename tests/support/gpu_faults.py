"""Networks that fail as on a GPU whose context is lost, in real processes. Product code knows nothing of it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, Final

from tests.support.injected import Injection, fault_file, on_import

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
    """Wrap the network's call in this process when its module is imported."""
    on_import({"framepack.models.upscale.upscaler"}, _wrap)


def _wrap(module: ModuleType) -> None:
    upscaler: Any = module.Upscaler
    upscale = upscaler._upscale
    file = fault_file()
    is_lost = False

    def faulty(self: Any, frames: Any) -> Any:
        nonlocal is_lost
        if is_lost or file.exists():
            import torch

            is_lost = True
            file.unlink(missing_ok=True)
            raise torch.AcceleratorError(LOST)
        return upscale(self, frames)

    upscaler._upscale = faulty
