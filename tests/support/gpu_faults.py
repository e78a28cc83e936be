"""Networks that fail as on a GPU whose context is lost, in real processes. Product code knows nothing of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Final

ROOT = Path(__file__).parents[2]
LOST: Final = "CUDA error: an illegal memory access was encountered"
_VARIABLE: Final = "TEST_GPU_FAULT_FILE"
_MODULE: Final = "framepack.models.upscale.upscaler"
_START: Final = "import tests.support.gpu_faults as faults\nfaults.install()\n"


class FaultyGpu:
    """Has processes fail in their upscaling network. A process that has failed once fails from then on.

    Args:
        folder: Where its files are; a new one.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "sitecustomize.py").write_text(_START)
        self._folder = folder
        self._file = folder / "fault"

    @property
    def environment(self) -> dict[str, str]:
        """Variables for the processes that may fail."""
        return {"PYTHONPATH": f"{self._folder}:{ROOT}", _VARIABLE: str(self._file)}

    def fail_next(self) -> None:
        """Let the next process fail that upscales."""
        self._file.write_text("")

    @property
    def has_struck(self) -> bool:
        """Whether a process has failed."""
        return not self._file.exists()


def install() -> None:
    """Wrap the network's call in this process when its module is imported."""
    sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds the module of the upscaler, and wraps the call of its network."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The module as it is otherwise found."""
        if name != _MODULE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        assert spec is not None
        loader: Any = spec.loader
        execute = loader.exec_module

        def execute_and_wrap(module: Any) -> None:
            execute(module)
            _wrap(module.Upscaler)

        loader.exec_module = execute_and_wrap
        return spec


def _wrap(upscaler: Any) -> None:
    upscale = upscaler._upscale
    file = Path(os.environ[_VARIABLE])
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
