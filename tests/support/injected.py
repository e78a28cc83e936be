"""Changes of product code in processes of a test, made on import. Product code knows nothing of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

ROOT = Path(__file__).parents[2]
_VARIABLE: Final = "TEST_FAULT_FILE"


class Injection:
    """Has processes call the function ``install`` of modules of the tests when they start.

    Args:
        folder: Where its files are; a new one.
        modules: The modules' names.
    """

    def __init__(self, folder: Path, *modules: str) -> None:
        folder.mkdir(parents=True)
        lines = [f"import {module} as injected\ninjected.install()\n" for module in modules]
        (folder / "sitecustomize.py").write_text("".join(lines))
        self._folder = folder
        self._file = folder / "fault"

    @property
    def environment(self) -> dict[str, str]:
        """Variables for the processes."""
        return {"PYTHONPATH": f"{self._folder}:{ROOT}", _VARIABLE: str(self._file)}

    @property
    def has_struck(self) -> bool:
        """Whether what was asked for in the file has happened: the process that does it deletes the file."""
        return not self._file.exists()


def fault_file() -> Path:
    """The file that tells this process what to do."""
    return Path(os.environ[_VARIABLE])


def on_import(modules: Collection[str], change: Callable[[ModuleType], None]) -> None:
    """Change modules in this process when they are imported, before anybody else sees them."""
    sys.meta_path.insert(0, _Finder(modules, change))


def before_each_frame(act: Callable[[], None]) -> None:
    """Call a function in this process before its upscaling network computes a frame."""

    def change(module: ModuleType) -> None:
        upscaler: Any = module.Upscaler
        upscale = upscaler._upscale

        def act_and_upscale(self: Any, frames: Any) -> Any:
            act()
            return upscale(self, frames)

        upscaler._upscale = act_and_upscale

    on_import({"framepack.models.upscale.upscaler"}, change)


@dataclass(eq=False)
class _Finder:
    modules: Collection[str]
    change: Callable[[ModuleType], None]

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The module as it is otherwise found, which is changed when it has been executed."""
        if name not in self.modules:
            return None
        others = sys.meta_path[sys.meta_path.index(self) + 1 :]  # which may have changes of their own
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)))
        loader: Any = spec.loader
        execute = loader.exec_module

        def execute_and_change(module: ModuleType) -> None:
            execute(module)
            self.change(module)

        loader.exec_module = execute_and_change
        return spec
