"""An upscaling network that gets stuck in a frame, in real processes. Product code knows nothing of it."""

from __future__ import annotations

import time
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from tests.support.injected import Injection, fault_file, on_import

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
    """Wrap the network's call in this process when its module is imported."""
    on_import({"framepack.models.upscale.upscaler"}, _wrap)


def _wrap(module: ModuleType) -> None:
    upscaler: Any = module.Upscaler
    upscale = upscaler._upscale
    file = fault_file()

    def sticky(self: Any, frames: Any) -> Any:
        if file.exists():
            file.unlink()
            time.sleep(_SECONDS)
        return upscale(self, frames)

    upscaler._upscale = sticky
