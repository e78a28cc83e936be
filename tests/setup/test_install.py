"""``builder/install.sh`` installs a lock with any pip, also after newer releases of what is locked."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIPS = Path(sys.prefix) / "pips"  # `make test` puts them there
RUNS_ON = {"23.0.1": (3, 11), "23.2.1": (3, 12), "26.3": (3, 14)}
"""The pips of builder/requirements-pips.txt, each with the newest Python that it was made for."""
LOOKS_UP = ("23.0.1", "23.2.1")
"""The pips that look ``name[extra]`` up apart from the pinned ``name``."""


def wheel(folder: Path, name: str, version: str, *more: str) -> str:
    """Write a wheel with one empty module; returns its line of a lock."""
    info = f"{name}-{version}.dist-info"
    contents = {
        f"{name}.py": "",
        f"{info}/METADATA": "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *more, ""]),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text)}\n"
    contents[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    file = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in contents.items():
            archive.writestr(path, text)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


@dataclass(frozen=True)
class Index:
    """A folder of wheels, and the lock that was made before the newest of them was released."""

    folder: Path
    lock: Path

    def environment(self) -> dict[str, str]:
        """The environment of a pip that knows this index only, whatever the machine's settings are."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "PYTHON"))}
        return kept | {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.folder),
            "PIP_CACHE_DIR": str(self.folder.parent / "cache"),
        }

    def run(self, *command: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command that may call pip; ``more`` goes to its environment."""
        return subprocess.run(
            command, cwd=ROOT, env=self.environment() | more, text=True, capture_output=True, check=False
        )

    def installed(self, python: Path) -> dict[str, str]:
        """The packages of an environment but pip's own, with their versions."""
        listed = self.run(python, "-m", "pip", "freeze", "--all").stdout
        packages = dict(line.partition("==")[::2] for line in listed.splitlines() if "==" in line)
        return {name: version for name, version in packages.items() if name not in {"pip", "setuptools", "wheel"}}


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """``app`` needs ``library[extra]``, which is locked as 1.0; then 2.0 was released."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    extra = ("Provides-Extra: extra", "Requires-Dist: helper; extra == 'extra'")
    lines = [
        wheel(folder, "app", "1.0", "Requires-Dist: library[extra]>=1"),
        wheel(folder, "helper", "1.0"),
        wheel(folder, "library", "1.0", *extra),
    ]
    wheel(folder, "library", "2.0", *extra)
    lock = tmp_path / "lock.txt"
    lock.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return Index(folder, lock)


LOCKED = {"app": "1.0", "helper": "1.0", "library": "1.0"}


def environment_with_pip(index: Index, version: str) -> Path:
    """The interpreter of a new environment that has a certain pip."""
    if sys.version_info[:2] > RUNS_ON[version]:
        pytest.skip(f"pip {version} does not run on Python {sys.version_info[0]}.{sys.version_info[1]}")
    file = PIPS / f"pip-{version}-py3-none-any.whl"
    if not file.exists():
        pytest.skip(f"there is no {file}; `make test` fetches it")
    folder = index.folder.parent / "environment"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    done = index.run(python, file / "pip", "install", file)
    assert done.returncode == 0, done.stderr
    assert f"pip {version} " in index.run(python, "-m", "pip", "--version").stdout
    return python


def install(index: Index, python: str | Path, *more: str | Path, **environment: str) -> tuple[int, str]:
    """Run install.sh; returns its status and all that it said."""
    done = index.run("sh", "builder/install.sh", python, index.lock, *more, **environment)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["23.0.1", pytest.param("23.2.1", marks=pytest.mark.slow), "26.3"])
def test_a_lock_is_installed_although_a_newer_release_exists(index: Index, version: str) -> None:
    """The oldest and the newest pip install the locked versions. An old pip that resolves dependencies would fail."""
    python = environment_with_pip(index, version)
    if version in LOOKS_UP:  # the index really holds the trap
        done = index.run(python, "-m", "pip", "install", "--require-hashes", "-r", index.lock)
        assert done.returncode != 0
        assert "all requirements must have their versions pinned with ==" in done.stderr
        assert index.installed(python) == {}

    status, said = install(index, python)

    assert status == 0, said
    assert index.installed(python) == LOCKED


def test_the_pip_versions_of_the_tests_are_the_ones_set_up_fetches() -> None:
    """They are locked in a file of their own."""
    lines = (ROOT / "builder" / "requirements-pips.txt").read_text(encoding="utf-8").splitlines()

    assert [line.split()[0].removeprefix("pip==") for line in lines if line.startswith("pip==")] == list(RUNS_ON)


def test_the_third_argument_creates_an_environment(index: Index, tmp_path: Path) -> None:
    """The packages are installed there, and no other file remains."""
    folder = tmp_path / "a new" / "environment"

    status, said = install(index, sys.executable, folder)

    assert status == 0, said
    assert index.installed(folder / "bin" / "python") == LOCKED
    assert not (folder / "tmp").exists()


def test_a_package_with_another_hash_is_refused(index: Index, tmp_path: Path) -> None:
    """The output of pip is shown."""
    wheel(index.folder, "helper", "1.0", "Summary: another")

    status, said = install(index, sys.executable, tmp_path / "environment")

    assert status == 1
    assert "DO NOT MATCH THE HASHES" in said
    assert said.splitlines()[-1].startswith(f"install: pip could not install {index.lock}")
    assert index.installed(tmp_path / "environment" / "bin" / "python") == {}


def test_a_lock_without_a_needed_package_is_refused(index: Index, tmp_path: Path) -> None:
    """Dependencies are not resolved, so a lock must be complete."""
    whole = index.lock.read_text(encoding="utf-8")
    index.lock.write_text(re.sub("library.*\n", "", whole), encoding="utf-8")

    status, said = install(index, sys.executable, tmp_path / "environment")

    assert status == 1
    assert "app 1.0 requires library, which is not installed" in said


def program(folder: Path, name: str, script: str) -> Path:
    """A small program, to stand for one that this machine has not."""
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    file.chmod(0o755)
    return file


def test_an_old_python_is_refused_with_its_version(index: Index, tmp_path: Path) -> None:
    """The message has its version and the supported ones. Nothing has been created."""
    old = program(tmp_path, "python3.10", 'case $1 in --version) echo "Python 3.10.12" ;; *) exit 1 ;; esac')

    status, said = install(index, old, tmp_path / "environment")

    assert status == 1
    assert said.startswith(f"install: Python 3.11 to 3.14 is needed, but {old} is Python 3.10.12")
    assert said.count("\n") == 1
    assert not (tmp_path / "environment").exists()


def test_a_missing_python_is_named(index: Index, tmp_path: Path) -> None:
    """The name is not that of a program."""
    status, said = install(index, "python3.99", tmp_path / "environment")

    assert status == 1
    assert said.startswith("install: Python 3.11 to 3.14 is needed, but python3.99 is not there")
    assert said.count("\n") == 1


def test_a_python_without_ensurepip_names_the_package_that_brings_it(index: Index, tmp_path: Path) -> None:
    """On Debian and Ubuntu environments need python3-venv."""
    (tmp_path / "ensurepip.py").write_text("raise ImportError", encoding="utf-8")

    status, said = install(index, sys.executable, tmp_path / "environment", PYTHONPATH=str(tmp_path))

    assert status == 1
    assert "apt-get install python3-venv" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "environment").exists()


@pytest.mark.parametrize(("cache", "needed"), [({}, 14), ({"PIP_NO_CACHE_DIR": "1"}, 11)], ids=["cache", "no cache"])
def test_too_little_disk_space_is_reported_before_installing(
    index: Index, tmp_path: Path, cache: dict[str, str], needed: int
) -> None:
    """A lock with torch needs several gigabytes, including pip's cache."""
    index.lock.write_text("torch==2.15.0 --hash=sha256:00\n", encoding="utf-8")
    program(tmp_path, "df", "echo Filesystem; echo /dev/disk 99 99 10500000 99% /")
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"

    status, said = install(index, sys.executable, tmp_path / "environment", PATH=path, **cache)

    assert status == 1
    assert said.startswith(f"install: {needed} GB of free disk are needed, but {tmp_path} has 10 GB")
    assert said.count("\n") == 1
    assert not (tmp_path / "environment").exists()
