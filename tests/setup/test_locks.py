"""The lock files agree with pyproject.toml, with each other, and with how they are installed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUNTIME = PROJECT["project"]["dependencies"]
GROUPS = PROJECT["dependency-groups"]
DEVELOPMENT = [*RUNTIME, *PROJECT["project"]["optional-dependencies"]["weights"], *GROUPS["dev"]]
LOCKS = {
    "requirements": RUNTIME,
    "requirements-dev": DEVELOPMENT,
    "requirements-tools": GROUPS["tools"],
    "requirements-clients": GROUPS["clients"],
}
"""Each lock, and what it is resolved from."""


def entries(lock: str) -> list[str]:
    """The entries of a lock, each in one line."""
    text = (ROOT / "builder" / f"{lock}.txt").read_text(encoding="utf-8")
    lines = text.replace("\\\n", "").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def pins(lock: str) -> dict[str, set[str]]:
    """The locked versions by package: several where they depend on the Python."""
    found: dict[str, set[str]] = {}
    for entry in entries(lock):
        requirement = Requirement(entry.partition(" --hash")[0])
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        found.setdefault(canonicalize_name(requirement.name), set()).add(specifier.version)
    return found


@pytest.mark.parametrize(("lock", "wanted"), LOCKS.items(), ids=LOCKS)
def test_every_lock_satisfies_pyproject(lock: str, wanted: list[str]) -> None:
    """Every required package is locked in a suitable version; otherwise `make lock` was forgotten."""
    locked = pins(lock)

    for requirement in map(Requirement, wanted):
        versions = locked.get(canonicalize_name(requirement.name), {""})
        assert all(version and requirement.specifier.contains(version) for version in versions), requirement


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_file_has_a_hash(lock: str) -> None:
    """Each entry has an exact version and hashes, and no URL."""
    assert all(re.search(r"==\S+ .*--hash=sha256:[0-9a-f]{64}", entry) for entry in entries(lock))
    assert not any("//" in entry for entry in entries(lock))


def test_the_development_lock_has_the_versions_of_the_image() -> None:
    """So tests run with the packages of the image."""
    development = pins("requirements-dev")

    assert {name: development.get(name) for name in pins("requirements")} == pins("requirements")


def test_every_dependency_has_an_upper_bound_below_the_next_major_version() -> None:
    """`pip install .` does not use the lock."""
    requirements = [*RUNTIME, *PROJECT["build-system"]["requires"]]
    ceilings = {"<", "~=", "=="}

    assert [
        each for each in requirements if not ceilings & {part.operator for part in Requirement(each).specifier}
    ] == []
