"""Many commands of ``framepack``, each in a process of its own, for the price of one start.

``python -m tests.support.forked_commands`` reads lists of arguments as JSON from stdin, runs one command after the
other and prints how each one ended. Commands are forked from this program, which has imported what takes a second.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

from tests.support.control_plane import ROOT

_HEAVY: Final = ("av", "cv2", "rich.progress", "torch", "typer", "framepack.operations", "framepack.runtime")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit status, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def run_commands(
    commands: Sequence[Sequence[str]], folder: Path, environment: Mapping[str, str], seconds: float
) -> list[Ended]:
    """Run commands, given by their arguments, in a folder, within so many seconds together."""
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        input=json.dumps(commands),
        stdout=subprocess.PIPE,
        text=True,
        timeout=seconds,
        check=True,
    )
    return [Ended(*each) for each in json.loads(done.stdout)]


def _ended(arguments: Sequence[str]) -> tuple[int, str, str]:
    """Run one command in a child."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if not child:
            _be_command(arguments, out.fileno(), err.fileno())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = [os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode() for file in (out, err)]
    return status, texts[0], texts[1]


def _be_command(arguments: Sequence[str], out: int, err: int) -> None:
    """Be ``framepack`` with these arguments until the end of this process."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    status = 1
    try:
        from framepack.cli import main

        sys.argv = ["framepack", *arguments]
        status = main()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - the child must not go on as its parent
        sys.excepthook(*sys.exc_info())
    finally:
        atexit._run_exitfuncs()
        os._exit(status)


if __name__ == "__main__":
    for name in _HEAVY:
        import_module(name)
    print(json.dumps([_ended(each) for each in json.load(sys.stdin)]))  # noqa: T201 - the program's answer
