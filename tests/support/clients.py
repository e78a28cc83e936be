"""Generators of clients, which read our OpenAPI document; what they make is checked and run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.control_plane import ROOT

PACKAGE: Final = "frame_pack_worker_client"
"""Name of the generated Python package."""

_PROGRAMS: Final = ROOT / ".venv" / "clients" / "bin"
_PYTHON: Final = _PROGRAMS / "python"

needs_generator = pytest.mark.skipif(
    not (_PROGRAMS / "openapi-python-client").is_file(),
    reason="the generator of clients is not installed; `make .venv/clients/.ready` does it",
)


def example(language: str) -> str:
    """The client that the section "Clients" of docs/rest.md shows in a language."""
    section = (ROOT / "docs" / "rest.md").read_text().partition("\n## Clients\n")[2].partition("\n## ")[0]
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


def generate_python(document: Path, folder: Path) -> str:
    """Make the Python package in a folder; return what the generator says."""
    generator, made = _PROGRAMS / "openapi-python-client", folder / "made"
    path = f"{_PROGRAMS}{os.pathsep}{os.environ['PATH']}"  # the generator calls ruff
    environment = {**os.environ, "PATH": path}
    done = _finished(
        generator, "generate", "--path", document, "--output-path", made, folder=folder, environment=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (made / PACKAGE).rename(folder / PACKAGE)
    return done.stdout + done.stderr


def check_python(*files: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Check files or packages strictly, with the packages of the generator's environment."""
    options = ["--strict", "--python-executable", str(_PYTHON), "--config-file", os.devnull, "--cache-dir", "cache"]
    return _finished(sys.executable, "-m", "mypy", *options, *files, folder=folder)


def run_python(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program with the packages of the generator's environment, and with those in the folder."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder)}
    return _finished(_PYTHON, *arguments, folder=folder, environment=environment)


def _finished(
    *command: str | Path, folder: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
