"""The project as people get it: what `make dist` builds of the tracked files, and the wheel installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True)
class Built:
    """What `make dist` left.

    Attributes:
        tree: the source tree that it was built from.
        sdist: the source archive.
        wheel: the wheel, which was built from the archive.
    """

    tree: Path
    sdist: Path
    wheel: Path

    def unpacked(self, folder: Path) -> Path:
        """Unpack the source archive below `folder`; its one top folder."""
        with tarfile.open(self.sdist) as archive:
            archive.extractall(folder, filter="data")
        return folder / self.sdist.name.removesuffix(".tar.gz")


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel, and beside it the packages of the environment that runs the tests.

    Attributes:
        python: its interpreter.
        command: the command `framepack`.
        folder: an empty folder to run them in.
    """

    python: Path
    command: Path
    folder: Path

    def run(self, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program in `folder`, with `variables` added to an environment that knows nothing of this checkout."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FRAMEPACK_", "PYTHON"))}
        environment = {**kept, "HOME": str(self.folder), "FRAMEPACK_WEIGHTS_DOWNLOAD": "false", **variables}
        return subprocess.run(
            list(map(str, arguments)), cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )


def tracked(*, and_new: bool = False) -> list[str]:
    """Paths of the files that git tracks, new ones, too; the test is skipped outside a checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("compares with what git tracks, and this is no checkout")
    new = ["--others", "--exclude-standard"] if and_new else []
    command = ["git", "ls-files", "--cached", *new, "-z"]
    paths = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted(path for path in paths if path and (ROOT / path).is_file())


def build(folder: Path) -> Built:
    """Copy what git tracks, or would, into `folder` and run `make dist` there, with the tools of this environment."""
    tree = folder / "tree"
    for path in tracked(and_new=True):
        target = tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target)
    make = shutil.which("make")
    assert make is not None
    ready = f"{sys.prefix}/.ready"  # told to be old, so that nothing is installed
    made = subprocess.run(
        [make, "dist", f"VENV={sys.prefix}", "-o", ready], cwd=tree, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stdout + made.stderr
    (sdist,), (wheel,) = (tree / "dist").glob("*.tar.gz"), (tree / "dist").glob("*.whl")
    return Built(tree, sdist, wheel)


def install(wheel: Path, folder: Path) -> Installed:
    """Install the wheel without its dependencies, which a `.pth` file lends from this environment."""
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = venv / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    (packages,) = (venv / "lib").glob("python*/site-packages")
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    return Installed(python, venv / "bin" / "framepack", elsewhere)
