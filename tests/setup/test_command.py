"""``framepack`` in a checkout: the command that ``make demo`` leaves in the environment works from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from framepack import __version__

ROOT = Path(__file__).parents[2]


def test_the_command_of_a_checkout_works_in_any_folder(tmp_path: Path) -> None:
    """It runs the checkout's code with the environment's Python, and passes its arguments on."""
    programs, ready = tmp_path / "bin", tmp_path / "ready"  # the environment is there already
    programs.mkdir()
    (programs / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (programs / "python").chmod(0o755)
    ready.touch()
    command = programs / "framepack"
    subprocess.run(["make", f"BIN={programs}", f"READY={ready}", str(command)], cwd=ROOT, check=True)

    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    asked = [str(command), "run", "analyze", "no such file.mp4"]
    version = subprocess.run([command, "--version"], cwd=tmp_path, env=environment, capture_output=True, check=True)
    refused = subprocess.run(asked, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert __version__ in version.stdout.decode()
    assert "no such file.mp4" in refused.stderr
    assert refused.returncode != 0
