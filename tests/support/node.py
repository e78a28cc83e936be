"""Node.js with the packages of ``tools/node``: TypeScript's checker and its generator of clients."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

_PACKAGES: Final = Path(__file__).parents[2] / "tools" / "node" / "node_modules"
_NODE: Final = shutil.which("node")

needs_node = pytest.mark.skipif(
    _NODE is None or not _PACKAGES.is_dir(), reason="there is no Node.js with the packages of tools/node"
)


def node(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """The finished run of a JavaScript file, with its output as text; whoever calls looks at its exit status.

    Args:
        command: A command of ``tools/node`` by its name, such as ``tsc``, or a file, and its arguments.
        folder: Where it runs.
    """
    program = _PACKAGES / ".bin" / str(command[0])
    script = str(program if program.exists() else command[0])
    arguments = [str(_NODE), script, *map(str, command[1:])]
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
